"""The control plane's services: they read requests, ask the driver or the nodes, and write answers."""

"""The world of a control plane: the embedded store, its client, peers, nodes, the process."""

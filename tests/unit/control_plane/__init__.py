"""The control plane's pure decisions."""

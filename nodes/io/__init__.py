"""The worldly side of a node: links, control plane streams, the process."""

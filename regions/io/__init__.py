"""The edge of the world: documents on disk, processes, pipes and signals."""

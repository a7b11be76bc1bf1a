"""What a node serves over gRPC."""

"""Decides where every shard lives, and what to do when a node or a data center is lost."""

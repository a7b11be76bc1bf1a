"""Holds shards: journals, replicates and serves what the tenants write."""

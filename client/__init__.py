"""Reaches the node that owns a tenant, and keeps every acknowledged write across failovers."""

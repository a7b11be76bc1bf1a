"""Simulated runs: production machines and drivers on virtual time."""

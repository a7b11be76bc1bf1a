"""Tests of the pure modules and small edges, floor by floor."""

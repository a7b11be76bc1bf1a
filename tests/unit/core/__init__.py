"""Tests of the core: names, errors, assignments, the map, the wire."""

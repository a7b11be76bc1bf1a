"""The world: topology presets, links, hosts of nodes and data centers, the fleet."""

"""The simulated world: virtual time, one seeded source of chance, hosts that crash, links that fail."""

"""Tests against the real servers of others: `make servers` fetches them, `make test-engines` runs these."""

"""The chat load for Locust: sync stubs and pure load profiles; nobody imports it, as Locust patches the world."""

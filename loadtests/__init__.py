"""The Locust file, run as a process of its own."""

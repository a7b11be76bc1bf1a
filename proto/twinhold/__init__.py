"""The wire contract of Twinhold, and the Python generated from it."""

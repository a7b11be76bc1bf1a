"""Tests of the pure half of chaos."""

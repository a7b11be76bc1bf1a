"""Tests of the command line against small real servers."""

"""Measures writes, map changes, failovers and switchovers: ``python -m chaos.bench [GROUP]``, into ``bench.json``."""

"""Measures writes, map changes, failovers and switchovers: ``python -m chaos.bench [GROUP]``, into ``bench.json``."""

import os

# gRPC's C core reads this once, at its first import, which is later: its own lines must not stand among the figures.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

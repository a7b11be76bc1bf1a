"""What holds for every test."""

import os

# gRPC's C core reads this once, at its first import: its own lines must not stand among what our programs say.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

"""What the host's tests run: processes that wait, spin, or fail."""

import os
import signal
import sys


def wait(config: object) -> int:
    """Wait until the life pipe, whose descriptor is the config, reports end of file."""
    assert isinstance(config, int)
    os.read(config, 1)
    return 0


def stubborn(config: object) -> int:
    """Wait, deaf to SIGTERM."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    return wait(config)


def fail(config: object) -> int:
    """Say why, and end."""
    sys.stderr.write("no luck today\n")
    return 3

"""What the host's tests run: processes that wait, spin, or fail."""

import os
import signal
import sys


def wait(config: object) -> int:
    """Wait until the life pipe, whose descriptor is the config, reports end of file; without one, until killed."""
    if config is None:
        signal.pause()
    assert isinstance(config, int)
    os.read(config, 1)
    return 0


def stubborn(config: object) -> int:
    """Wait, deaf to SIGTERM."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    return wait(config)


def obey(config: object) -> int:
    """Wait until asked to end; the exit code says how that was done."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    return int(signal.sigwait({signal.SIGTERM}))


def niceness(config: object) -> int:
    """Say with the exit code how nice this process is."""
    return os.nice(0)


def fail(config: object) -> int:
    """Say why, and end."""
    sys.stderr.write("no luck today\n")
    return 3

"""Runs processes that are forked from one preloaded server: quick to start, and light."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from regions.io.process_host import ProcessHost

PRELOAD_S = 30.0
BIRTH_S = 20.0
ENVIRONMENT: Mapping[str, str] = {
    "GRPC_VERBOSITY": "NONE",
    # NumPy's BLAS starts threads when imported; a process that forks must have none.
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}


class Host(ProcessHost):
    """Owns a forkserver and what is forked from it; ``open`` makes one."""

    @classmethod
    async def open(cls, log: Path, modules: Sequence[str]) -> "Host":
        """Start a forkserver.

        Args:
            log: where its standard error goes.
            modules: what it imports before it forks anything.

        Raises:
            UnavailableError: it could not import them; says the last line of the log.
        """
        return await cls._served(
            "regions.io.forkserver", modules, log, environment=ENVIRONMENT, preload_s=PRELOAD_S, birth_s=BIRTH_S
        )

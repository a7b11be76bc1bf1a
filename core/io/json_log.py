"""One line of JSON per event, to a file that is bounded: the present one and the one before."""

import json
import logging
import time
from logging.handlers import RotatingFileHandler
from pathlib import Path

LOG_BYTES_MAX = 16 * 1024 * 1024


class JsonFormatter(logging.Formatter):
    """Writes time, level, event and the facts given as ``extra={'facts': {...}}``."""

    def format(self, record: logging.LogRecord) -> str:
        """Make one line."""
        line: dict[str, object] = {
            "at": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "event": record.getMessage(),
        }
        line.update(getattr(record, "facts", {}))
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, ensure_ascii=False)


def log_to(path: Path) -> logging.Logger:
    """Send the process's log to a file; returns the logger to use."""
    handler = RotatingFileHandler(path, maxBytes=LOG_BYTES_MAX, backupCount=1, encoding="utf-8", delay=False)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    return logging.getLogger("twinhold")


def tell(event: str, **facts: object) -> None:
    """Log one event with its facts."""
    logging.getLogger("twinhold").info(event, extra={"facts": facts})


def warn(event: str, **facts: object) -> None:
    """Log one event that somebody should look at."""
    logging.getLogger("twinhold").warning(event, extra={"facts": facts})

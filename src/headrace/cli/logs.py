"""What a worker of a fleet logs to stderr: our own lines, and of the libraries' no more than one a second."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime

_LIBRARIES = ("aiokafka", "asyncio", "faust", "mode", "py.warnings", "headrace.kafka.transport")
"""Loggers by the beginning of their names; the last one is that of Faust's services that we have extended."""
_NORMAL = ("because it is rebalancing", "username and password in the clear", "was never awaited")
"""In what libraries warn of although it belongs to the life of a group, was asked for, or comes with a stop."""
_PAUSE_S = 1.0


def log_to_stderr(worker: str, *, debug: bool = False) -> None:
    """Log plain lines: time, worker, text. Libraries only warn, and their tracebacks stay out unless ``debug``."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Line(worker, tracebacks=debug))
    handler.addFilter(Throttle())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.captureWarnings(capture=True)
    logging.getLogger("headrace").setLevel(logging.DEBUG if debug else logging.INFO)
    # Of each unit; the narrator says it of the worker.
    logging.getLogger("headrace.fleet").setLevel(logging.DEBUG if debug else logging.WARNING)


class Throttle(logging.Filter):
    """Passes one record of the libraries a second: a broker that is away makes them log many times a second.

    What was held back is counted on the next line that passes. Our own records always pass.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin with nothing held back."""
        super().__init__()
        self._clock, self._next, self._held = clock, float("-inf"), 0

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether the record is to be printed."""
        if not record.name.startswith(_LIBRARIES):
            return True
        if record.levelno < logging.WARNING or any(text in record.getMessage() for text in _NORMAL):
            return False
        now = self._clock()
        if now < self._next:
            self._held += 1
            return False
        record.held, self._next, self._held = self._held, now + _PAUSE_S, 0
        return True


class _Line(logging.Formatter):
    """``2024-05-01T12:00:00Z worker-0 WARNING aiokafka: text``, always one line; ours have no level and name."""

    def __init__(self, worker: str, *, tracebacks: bool) -> None:
        super().__init__()
        self._worker, self._tracebacks = worker, tracebacks

    def format(self, record: logging.LogRecord) -> str:
        text = " ".join(record.getMessage().split("\n", 1)[0].split())
        if record.name.startswith(_LIBRARIES):
            text = f"{record.levelname} {record.name}: {text}"
        elif record.levelno >= logging.WARNING:
            text = f"{record.levelname} {record.getMessage()}"
        held = getattr(record, "held", 0)
        more = f" ({held} more of the libraries held back)" if held else ""
        line = f"{datetime.fromtimestamp(record.created, UTC):%Y-%m-%dT%H:%M:%SZ} {self._worker}: {text}{more}"
        if record.exc_info and self._tracebacks:
            line = f"{line}\n{self.formatException(record.exc_info)}"
        return line

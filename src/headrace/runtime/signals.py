"""Stopping on signals."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Protocol

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stoppable(Protocol):
    """What can be asked to stop."""

    def stop(self) -> None:
        """Ask it to stop at its next good moment."""


@contextmanager
def stop_on_signals(worker: Stoppable) -> Iterator[None]:
    """Stop the worker on SIGINT or SIGTERM while the block runs; a second signal ends the process.

    For the main thread. The second signal leaves at once: what was not checkpointed is done
    again at the next start.
    """
    asked = False

    def handle(number: int, _frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            os._exit(128 + number)
        asked = True
        worker.stop()

    before = {number: signal.signal(number, handle) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

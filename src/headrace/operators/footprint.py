"""How much memory states take: estimated from the size of their stored form, which every cut shows."""

from __future__ import annotations

from itertools import islice
from typing import Any

from headrace.state.protocol import Put

_BASE = 180  # bytes of a key, its entry in a dict and an empty state
_GROWTH = 8  # a stored byte in memory: 8 for small numbers in lists, less for text; measured with 1,000,000 states
_UNKNOWN = 30  # stored bytes of a state, until one was stored
_SAMPLE = 16


class Footprint:
    """The mean size of the states of one step: a moving average over its cuts."""

    __slots__ = ("_stored",)

    def __init__(self) -> None:
        """Begin with a guess."""
        self._stored = float(_UNKNOWN)

    def learn(self, puts: list[Put], begin: int) -> None:
        """Take note of the states that a cut wrote from ``begin`` on; every 16th is looked at."""
        sample = puts[begin::_SAMPLE]
        if sample:
            mean = sum(len(value) for _, _, value in sample) / len(sample)
            self._stored += (mean - self._stored) / 2

    @property
    def state_bytes(self) -> int:
        """About how many bytes one state takes in memory."""
        return int(_BASE + _GROWTH * self._stored)


def forget(clean: dict[Any, Any], surplus: int) -> None:
    """Forget so many states that are in the store, those that came in first."""
    for key in list(islice(clean, max(surplus, 0))):
        del clean[key]

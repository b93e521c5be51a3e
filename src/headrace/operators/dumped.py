"""States that are objects in memory and bytes in the store."""

from __future__ import annotations

from abc import ABC, abstractmethod


class Dumped(ABC):
    """A value of a slot that the codec writes as bytes; who reads the slot makes an object of them again."""

    __slots__ = ()

    @abstractmethod
    def dump(self) -> bytes:
        """Return all of it as bytes."""

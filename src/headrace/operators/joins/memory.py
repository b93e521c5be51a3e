"""Which keys were forgotten: a small summary, so that keys that never were need not be looked for in the store."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

_BITS = 8  # for each key: one in eight keys that never were is taken for one that was


class Lost:
    """A set of keys that may name some too many, never too few: Bloom filters of one hash, each twice the last.

    A key may be in it if for any of the ``filters`` (bits, mask): ``bits[spot >> 3 & mask] >> (spot & 7) & 1``, where
    ``spot`` is the hash of ``(key,)``: of a tuple, for hashes of numbers are the numbers, and fill unevenly. Who asks
    for every record does so itself: a call would take longer than the answer.
    """

    __slots__ = ("_room", "filters")

    def __init__(self, expected: int) -> None:
        """Make room for about that many."""
        self.filters: list[tuple[bytes | bytearray, int]] = []
        self._room = 0
        self._grow(max(expected, 1024))

    @staticmethod
    def all_keys() -> Lost:
        """Return the set of all keys."""
        made = Lost(0)
        made.filters = [(b"\xff", 0)]
        return made

    def _grow(self, expected: int) -> bytearray:
        bits = bytearray(1 << (expected * _BITS // 8 - 1).bit_length())
        self.filters.append((bits, len(bits) - 1))
        self._room = len(bits)
        return bits

    def update(self, keys: Iterable[Any]) -> None:
        """Add keys."""
        bits, mask = self.filters[-1]
        if isinstance(bits, bytes):
            return  # all are in it
        room = self._room
        for key in keys:
            if not room:
                bits = self._grow(2 * len(bits))
                mask, room = len(bits) - 1, self._room
            room -= 1
            spot = hash((key,))
            bits[spot >> 3 & mask] |= 1 << (spot & 7)
        self._room = room

"""Where the states of one stateful step and one partition lie in their store, and in which form.

Keys begin with the partition (two bytes), then the window's start (eight bytes, if there are
windows), then the key columns in their sort order: the windows of one start lie together, so that
an expired one is a single range.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from headrace.event.dtypes import DType, Kind
from headrace.operators.codec import State, StateCodec
from headrace.operators.keys import canonical_decimal
from headrace.state.keys import key_codec, prefix_end
from headrace.state.protocol import Backend, Store

_PARTITION = struct.Struct(">H")
_INSTANT = struct.Struct(">Q")
_SIGN = 1 << 63


def instant(value_ms: int) -> bytes:
    """Return an instant as eight bytes that sort like it."""
    return _INSTANT.pack(value_ms + _SIGN)


def read_instant(data: bytes, at: int = 0) -> int:
    """Return the instant at a position."""
    value: int = _INSTANT.unpack_from(data, at)[0]
    return value - _SIGN


def store_name(topology: str, step: str) -> str:
    """Return the name of a step's store: ids are joined by what no id may hold, so no two steps mean one store."""
    return f"{topology}/{step}"


@dataclass(frozen=True, slots=True)
class StateView:
    """One step's store, seen from one partition. ``name`` is the store's name in batches."""

    name: str
    backend: Backend
    partition: int
    key_types: tuple[DType, ...]
    slot_types: tuple[Any, ...]

    @property
    def store(self) -> Store:
        """The store itself."""
        return self.backend.store(self.name)

    def beside(self, suffix: str) -> Store:
        """Return a second store of the same step, named ``name/suffix``."""
        return self.backend.store(f"{self.name}/{suffix}")

    def codec(self) -> StateCodec:
        """Return the codec of this step's states."""
        return StateCodec(self.slot_types)

    @property
    def prefix(self) -> bytes:
        """The beginning of all keys of this partition."""
        return _PARTITION.pack(self.partition)

    def keys(self) -> KeyForm:
        """Return the conversion between keys and bytes."""
        return KeyForm(self.key_types)

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield all entries whose keys begin with the prefix."""
        return self.store.scan(prefix, prefix_end(prefix))


class KeyForm:
    """Keys as the operators use them (a tuple, or the value itself if there is one column) to bytes and back."""

    __slots__ = ("_codec", "_decimals", "_single", "encode")

    def __init__(self, types: tuple[DType, ...]) -> None:
        """Prepare for key columns of these types."""
        self._codec = key_codec(types)
        self._single = len(types) == 1
        self._decimals = any(dtype.kind is Kind.DECIMAL for dtype in types)
        self.encode = self._codec.encode_value if self._single else self._codec.encode

    def decode(self, data: bytes) -> Any:
        """Return the key."""
        key = self._codec.decode(data)
        if self._decimals:  # the store keeps the number; its form is the one that the key had before
            key = tuple(canonical_decimal(part) if isinstance(part, Decimal) else part for part in key)
        return key[0] if self._single else key

    def encode_prefix(self, values: tuple[Any, ...]) -> bytes:
        """Return the bytes with which all keys begin that start with these columns."""
        return self._codec.encode_prefix(values)


__all__ = ["KeyForm", "State", "StateCodec", "StateView", "instant", "read_instant"]

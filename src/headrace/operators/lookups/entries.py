"""States by key, as a cache in front of a store."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from headrace.operators.footprint import forget
from headrace.operators.view import KeyForm
from headrace.state.protocol import Batch, Store

_V = TypeVar("_V")
_UNREAD: Any = object()


class Entries(Generic[_V]):
    """States of one store and one partition; None is none."""

    def __init__(
        self,
        store: tuple[str, Store],
        prefix: bytes,
        keys: KeyForm,
        encode: Callable[[_V], bytes],
        decode: Callable[[bytes], _V],
    ) -> None:
        """Begin with nothing in memory; ``store`` comes with its name."""
        (self._name, self._store), self._prefix = store, prefix
        self._key, self._encode, self._decode = keys.encode, encode, decode
        self._hot: dict[Any, _V | None] = {}
        self._cold: dict[Any, _V | None] = {}

    def get(self, key: Any) -> _V | None:
        """Return the state of a key."""
        state = self._hot.get(key, _UNREAD)
        if state is _UNREAD:
            state = self._cold.get(key, _UNREAD)
            if state is _UNREAD:
                raw = self._store.get(self._prefix + self._key(key))
                state = self._cold[key] = None if raw is None else self._decode(raw)
        return state

    def put(self, key: Any, state: _V | None) -> None:
        """Set the state of a key; None removes it."""
        self._hot[key] = state

    def cut(self, batch: Batch) -> None:
        """Write what has changed."""
        if self._hot:
            keys = [self._prefix + self._key(key) for key in self._hot]
            values = [None if state is None else self._encode(state) for state in self._hot.values()]
            batch.put_all(self._name, keys, values)
            self._cold.update(self._hot)
            self._hot.clear()

    def size(self) -> int:
        """Return the number of states in memory."""
        return len(self._hot) + len(self._cold)

    def evict(self, keep: int) -> None:
        """Forget states that are in the store, those that came in first."""
        forget(self._cold, self.size() - keep)


__all__ = ["Entries"]

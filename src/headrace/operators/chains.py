"""What windows that slide keep of each key: numbered states, of which the older ones are folded.

In the store ``/live`` a key has an entry that says how far it is folded, and one per numbered state, so that a
checkpoint writes what is new in a window and not the window.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from headrace.operators.folds import Folds, Join
from headrace.operators.view import State, StateView, instant, read_instant
from headrace.state.keys import prefix_end
from headrace.state.protocol import Batch

_INSTANT = 8
_head = msgspec.msgpack.Decoder(tuple[int | None, int | None, int | None]).decode


class Chain:
    """The states of one key.

    ``open`` ones may change yet. ``folded``: the number of the last one that is in ``folds``. ``indexed``, ``expires``:
    for who has to find the key again by time.
    """

    __slots__ = ("changed", "expires", "folded", "folds", "gone", "indexed", "key", "open", "raw")

    def __init__(self, key: Any, raw: bytes, join: Join) -> None:
        """Begin with nothing."""
        self.key, self.raw = key, raw
        self.folds = Folds(join)
        self.open: dict[int, State] = {}
        self.changed: dict[int, State] = {}
        self.gone: list[int] = []
        self.indexed: set[int] = set()
        self.folded: int | None = None
        self.expires: int | None = None

    @property
    def newest(self) -> int | None:
        """The highest number."""
        return max(self.open) if self.open else self.folds.newest

    def __len__(self) -> int:
        """Return the number of states, and one for the key."""
        return 1 + len(self.open) + len(self.folds)


class Chains:
    """The chains of one task: ``hot`` ones have changed since the last cut."""

    def __init__(self, view: StateView, merge: Callable[[State, State], None], own: Callable[[State, State], None]):
        """Begin with nothing in memory. ``own(a, b)`` joins the operator's own slots of ``b`` into those of ``a``."""
        self._view, self._live = view, view.beside("live")
        self._codec, self._keys = view.codec(), view.keys()
        self._prefix = view.prefix
        self._entries = 0
        self.hot: dict[Any, Chain] = {}
        self._cold: dict[Any, Chain] = {}

        def join(a: State, b: State) -> State:
            made = list(a)
            merge(made, b)
            own(made, b)
            return made

        self._join = join

    def find(self, key: Any) -> Chain:
        """Return the chain of a key, hot from now on."""
        chain = self.hot.get(key)
        if chain is None:
            chain = self.hot[key] = self.look(key)
            self._cold.pop(key, None)
        return chain

    def look(self, key: Any) -> Chain:
        """Return the chain of a key, without a trace."""
        chain = self.hot.get(key) or self._cold.get(key)
        if chain is None:
            chain = self._cold[key] = self._load(key)
            self._entries += len(chain)
        return chain

    def _load(self, key: Any) -> Chain:
        raw = self._keys.encode(key)
        chain = Chain(key, raw, self._join)
        start = self._prefix + raw
        found = self._live.scan(start, prefix_end(start))
        head = next(found, None)
        if head is None:
            return chain
        turned, chain.folded, chain.expires = _head(head[1])
        items = [(read_instant(place, len(start)), self._codec.decode(data)) for place, data in found]
        done = [item for item in items if chain.folded is not None and item[0] <= chain.folded]
        chain.folds.load(done, turned)
        chain.open.update(items[len(done) :])
        chain.indexed.update(chain.open)
        return chain

    def add(self, chain: Chain, number: int, state: State) -> None:
        """Open a state."""
        chain.open[number] = chain.changed[number] = state
        self._entries += 1

    def fold(self, chain: Chain, number: int) -> None:
        """Fold an open state; it must not change any more."""
        chain.folds.push(number, chain.open.pop(number))
        chain.folded = number

    def drop(self, chain: Chain) -> None:
        """Drop the oldest folded state."""
        number = chain.folds.pop()
        chain.changed.pop(number, None)
        chain.gone.append(number)
        self._entries -= 1

    def cut(self, batch: Batch) -> None:
        """Write what has changed."""
        name, encode = f"{self._view.name}/live", self._codec.encode
        for chain in self.hot.values():
            start = self._prefix + chain.raw
            batch.put(name, start, msgspec.msgpack.encode((chain.folds.turned, chain.folded, chain.expires)))
            for number, state in chain.changed.items():
                batch.put(name, start + instant(number), encode(state))
            for number in chain.gone:
                batch.delete(name, start + instant(number))
            chain.changed.clear()
            chain.gone.clear()
        self._cold.update(self.hot)
        self.hot.clear()

    def forget(self, batch: Batch, chain: Chain) -> None:
        """Remove a chain with all its states."""
        name, start = f"{self._view.name}/live", self._prefix + chain.raw
        batch.delete(name, start)
        for number in (*chain.folds.numbers(), *chain.open, *chain.gone):
            batch.delete(name, start + instant(number))
        self.hot.pop(chain.key, None)
        self._cold.pop(chain.key, None)
        self._entries -= len(chain)

    def size(self) -> int:
        """Return the number of states in memory."""
        return self._entries

    def evict(self, keep: int) -> None:
        """Forget clean chains, those that came in first."""
        surplus, drop = self._entries - keep, []
        for key, chain in self._cold.items():
            if surplus <= 0:
                break
            drop.append(key)
            surplus -= len(chain)
        for key in drop:
            self._entries -= len(self._cold.pop(key))

"""The runs of a key in the store.

Most keys have few runs, of few events: they are one entry. A key that holds many events has one entry for each node
and one for where its runs are: what a checkpoint writes is what has changed, and one list of numbers.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, get_args

import msgspec

from headrace.operators.codec import StateCodec
from headrace.operators.logic import NEVER_MS
from headrace.operators.patterns.automaton import Automaton, Event, Folds
from headrace.operators.patterns.code import KEY, TIME, Layout
from headrace.operators.patterns.matcher import Rules
from headrace.operators.patterns.runs import Complete, Node, Runs
from headrace.operators.view import StateView, instant
from headrace.state.keys import prefix_end
from headrace.state.protocol import Batch

SPILL = 64  # nodes of a key from which on each has an entry of its own: about 4 KB, written again with each change

_Event = Any  # its time and its columns: a tuple, or bytes
_Written = tuple[int, int, int, int, _Event]
"""A node: its number, that of the one before it, its step, its position, and its event."""

_State = tuple[int, int, int, int, bool, list[tuple[tuple[int, ...], list[int]]], list[tuple[int, int]], list[_Written]]
"""The runs of a key: position, turn, last number of a node, when the next window ends by the list of alarms (0: never),
whether the nodes lie elsewhere, the last nodes by place, the waiting matches with their turns, and the nodes."""

_UNTYPED = b"\xc1"  # before what is written with each event as bytes; msgpack uses this byte for nothing
_encode = msgspec.msgpack.Encoder(decimal_format="string").encode


class _Form:
    """States and nodes to bytes and back: in one go where msgpack can, else with each event encoded by itself."""

    def __init__(self, types: tuple[Any, ...], codec: StateCodec) -> None:
        self._codec = codec
        event: Any = tuple.__class_getitem__(tuple(t | None if t is not Any else Any for t in types))
        node: Any = tuple.__class_getitem__((*get_args(_Written)[:-1], event))
        state: Any = tuple.__class_getitem__((*get_args(_State)[:-1], list.__class_getitem__(node)))
        self._state, self._node = msgspec.msgpack.Decoder(state).decode, msgspec.msgpack.Decoder(node).decode
        self._any_state = msgspec.msgpack.Decoder(_State).decode
        self._any_node = msgspec.msgpack.Decoder(_Written).decode

    def encode(self, value: _State | _Written) -> bytes:
        """Return a state, or a node, as bytes."""
        if self._codec.typed:
            try:
                return _encode(value)
            except (OverflowError, UnicodeEncodeError):
                pass
        *most, last = value
        if isinstance(last, list):
            return _UNTYPED + _encode((*most, [(*row[:-1], self._codec.encode(row[-1])) for row in last]))
        return _UNTYPED + _encode((*most, self._codec.encode(last)))

    def state(self, data: bytes) -> _State:
        """Return a state from its bytes."""
        if data[:1] != _UNTYPED:
            found: _State = self._state(data)
            return found
        *most, nodes = self._any_state(data[1:])
        return (*most, [(*row[:-1], self._codec.decode(row[-1])) for row in nodes])

    def node(self, data: bytes) -> _Written:
        """Return a node from its bytes."""
        if data[:1] != _UNTYPED:
            found: _Written = self._node(data)
            return found
        *most, event = self._any_node(data[1:])
        return (*most, self._codec.decode(event))


class RunStore:
    """Reads and writes the runs of keys."""

    def __init__(self, view: StateView, automaton: Automaton, rules: Rules, layout: Layout) -> None:
        """Look at the stores of a step."""
        self._view, self._automaton, self._rules = view, automaton, rules
        self._keys, self._codec = view.keys(), view.codec()
        self._live, self._begin, self._prefix = view.beside("live"), layout.begin, view.prefix
        self._filling = (None,) * (layout.begin - KEY - 1)
        self._form = _Form(layout.python_types, self._codec)

    def raw(self, key: Any) -> bytes:
        """Return the bytes of a key."""
        return self._prefix + self._keys.encode(key)

    def key(self, raw: bytes) -> Any:
        """Return the key of its bytes."""
        return self._keys.decode(raw[len(self._prefix) :])

    def any(self) -> bool:
        """Tell whether anything is stored."""
        prefix = self._prefix
        return next(iter(self._live.scan(prefix, prefix_end(prefix))), None) is not None

    def read_many(self, keys: list[Any]) -> list[Runs | None]:
        """Return the runs of keys; None where there are none."""
        found = self._live.get_many([self.raw(key) for key in keys])
        return [None if data is None else self._read(key, data) for key, data in zip(keys, found, strict=True)]

    def read_all(self) -> list[Runs]:
        """Return the runs of all keys."""
        prefix = self._prefix
        return [self._read(self.key(raw), data) for raw, data in self._live.scan(prefix, prefix_end(prefix))]

    def event(self, key: Any, data: bytes) -> Event:
        """Return a stored event."""
        time_ms, *columns = self._codec.decode(data)
        return (time_ms, key, *self._filling, *columns)

    def data(self, event: Event) -> bytes:
        """Return an event as it is stored: its time and its columns."""
        return self._codec.encode([event[TIME], *event[self._begin :]])

    def _read(self, key: Any, data: bytes) -> Runs:
        position, turn, number, due_ms, spilled, places, waiting, written = self._form.state(data)
        if spilled:
            written = [self._form.node(value) for _, value in self._view.scan(self.raw(key))]
        nodes: dict[int, Node] = {}
        for row in written:
            nodes[row[0]] = self._node(key, row, nodes)
        runs = Runs(key, position=position, turn=turn, number=number, stored=True)
        runs.stored_due_ms = due_ms if due_ms else NEVER_MS
        runs.spilled = set(nodes) if spilled else None
        for address, numbers in places:
            runs.put(self._automaton.place(address), [nodes[number] for number in numbers])
            runs.total += len(numbers)
        runs.ordered = runs.ordered and all(map(_in_order, runs.places.values()))
        runs.waiting = [Complete(nodes[number], turn) for number, turn in waiting]
        return runs

    def _node(self, key: Any, row: _Written, nodes: dict[int, Node]) -> Node:
        number, before, step, position, (time_ms, *columns) = row
        event, fold = (time_ms, key, *self._filling, *columns), self._rules.folds.get(step)
        if before:
            parent = nodes[before]
            folds: Folds = parent.folds if fold is None else fold(event, parent.folds)
            node = Node(parent, step, event, folds, position, parent.first, parent.start_ms)
        else:
            folds = self._rules.nothing if fold is None else fold(event, self._rules.nothing)
            node = Node(None, step, event, folds, position, position, event[TIME])
        node.number = number
        return node

    def write(self, runs: Runs, raw: bytes, live: dict[bytes, bytes | None], nodes: dict[bytes, bytes | None]) -> None:
        """Add what has changed of a key to the entries of both stores; None: an entry is to be removed."""
        held = [] if runs.empty else _held(runs)
        for node in held:
            if not node.number:
                runs.number += 1
                node.number = runs.number
        if runs.spilled is not None or len(held) > SPILL:
            self._spill(runs, raw, held, nodes)
        if runs.empty:
            live[raw] = None
            return
        live[raw] = self._form.encode(
            (
                runs.position,
                runs.turn,
                runs.number,
                runs.stored_due_ms if runs.stored_due_ms < NEVER_MS else 0,
                runs.spilled is not None,
                [(place.address, [node.number for node in found]) for place, found in runs.places.items()],
                [(complete.node.number, complete.turn) for complete in runs.waiting],
                [] if runs.spilled is not None else [self._written(node) for node in held],
            )
        )

    def _spill(self, runs: Runs, raw: bytes, held: list[Node], nodes: dict[bytes, bytes | None]) -> None:
        before, numbers = runs.spilled or set(), {node.number for node in held}
        for node in held:
            if node.number not in before:
                nodes[raw + instant(node.number)] = self._form.encode(self._written(node))
        for number in before - numbers:
            nodes[raw + instant(number)] = None
        runs.spilled = numbers

    def _written(self, node: Node) -> _Written:
        before = 0 if node.before is None else node.before.number
        event = node.event
        return node.number, before, node.step, node.position, (event[TIME], *event[self._begin :])


def _held(runs: Runs) -> list[Node]:
    """Return all nodes that runs and waiting matches hold, each behind the one before it."""
    heads = [*runs.heads(), *(complete.node for complete in runs.waiting)]
    if len(heads) == 1:
        return heads[0].chain()
    seen: set[int] = set()
    found: list[Node] = []
    for head in heads:
        chain: list[Node] = []
        node: Node | None = head
        while node is not None and id(node) not in seen:
            seen.add(id(node))
            chain.append(node)
            node = node.before
        found.extend(reversed(chain))
    return found


def _in_order(nodes: list[Node]) -> bool:
    return all(a.first <= b.first and a.start_ms <= b.start_ms for a, b in pairwise(nodes))


def put(batch: Batch, store: str, entries: dict[bytes, bytes | None]) -> None:
    """Add entries to a batch; a second cut of one checkpoint may take back what the first one put."""
    if entries:
        batch.put_all(store, list(entries), list(entries.values()))


__all__ = ["RunStore", "put"]

"""Windows by the number of events of a key, in order of arrival: tumbling and sliding.

Events are aggregated in panes of so many that windows begin and end between them. A full pane is folded behind those
before it; where a window ends, the fold over its panes is its row.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from headrace.operators.agent import OperatorSpec
from headrace.operators.chains import Chain, Chains
from headrace.operators.folds import Broken, Fold
from headrace.operators.footprint import Footprint
from headrace.operators.logic import NEVER_MS, Emit
from headrace.operators.newest import Newest
from headrace.operators.view import State, StateView
from headrace.state.protocol import Batch
from headrace.time.instants import START_OF_TIME_MS
from headrace.topology.windows import Counted

LOWEST, HIGHEST, EVENTS = 0, 1, 2  # the operator's own slots: event times, and the number of events


class CountedLogic:
    """Windows by number of one task. Panes are numbered from 0."""

    def __init__(
        self, spec: OperatorSpec, window: Counted, view: StateView, emit: Emit, opened: Callable[[], None]
    ) -> None:
        """Begin with nothing in memory; ``opened`` is called when ``next_ms`` has become earlier."""
        self._view, self._emit, self._opened = view, emit, opened
        self._init: Callable[[], State] = spec.kit.init
        self._chains = Chains(view, spec.kit.merge, _join_own)
        node: Any = spec.step.node
        self._newest = Newest(view, emit, node.every_ms)
        self._panes, self._step = window.size // window.pane, window.every // window.pane
        self._watermark = START_OF_TIME_MS
        self.next_ms = NEVER_MS
        self.closed_ms = START_OF_TIME_MS
        self.footprint = Footprint()

    def restore(self, watermark_ms: int) -> None:
        """Take up the early rows that are owed; panes are read as their keys come."""
        self._watermark = watermark_ms
        self._newest.restore()
        self.next_ms = self._newest.next_ms

    def catch_up(self) -> None:
        """Do nothing: records are added as they come."""

    def touch(self, key: Any, time_ms: int) -> State:
        """Return the state of the pane that the key is at; the event is counted."""
        chain = self._chains.find(key)
        number = _following(chain)
        state = chain.open.get(number)
        if state is None:
            state = self._init()
            state[LOWEST] = state[HIGHEST] = time_ms
            state[EVENTS] = 1
            self._chains.add(chain, number, state)
            return state
        chain.changed[number] = state
        if time_ms < state[LOWEST]:
            state[LOWEST] = time_ms
        elif time_ms > state[HIGHEST]:
            state[HIGHEST] = time_ms
        state[EVENTS] += 1
        return state

    def state(self, key: Any) -> State:
        """Return the state of the pane that the key is at, without a trace."""
        chain = self._chains.look(key)
        return chain.open.get(_following(chain)) or self._init()

    def fill(self, key: Any, watermark_ms: int) -> None:
        """Fold the pane of a key, which is full; emit the window if one ends here."""
        chain = self._chains.find(key)
        number = _following(chain)
        last = chain.open[number]
        self._chains.fold(chain, number)
        if (number + 1) % self._step == 0:
            self._close(key, chain.folds.fold(), last, watermark_ms)
        while len(chain.folds) >= self._panes:
            self._chains.drop(chain)

    def _close(self, key: Any, found: Fold, last: State, watermark_ms: int) -> None:
        if isinstance(found, Broken):
            self._emit("close", [(key, Broken(found.error, tuple(last[: EVENTS + 1])))], 0, 0, watermark_ms)
            return
        row = list(found)
        self._emit("close", [(key, row)], 0, 0, watermark_ms)
        self._newest.closed(key, row, watermark_ms)
        if self._newest.next_ms < self.next_ms:
            self.next_ms = self._newest.next_ms
            self._opened()

    def advance(self, watermark_ms: int) -> None:
        """Emit the early rows that are due."""
        while self.next_ms <= watermark_ms:
            self._newest.emit_early(self.next_ms, self._watermark)
            self.next_ms = self._newest.next_ms
        self._watermark = max(self._watermark, watermark_ms)

    def cut(self, batch: Batch) -> None:
        """Emit the newest window of each key; write what has changed."""
        self._newest.emit_updates(self._watermark)
        begin = len(batch.puts)
        self._chains.cut(batch)
        self.footprint.learn(batch.puts, begin)
        self._newest.cut(batch)

    def size(self) -> int:
        """Return the number of states in memory."""
        return self._chains.size()

    def evict(self, keep: int) -> None:
        """Forget clean keys, those that came in first."""
        self._chains.evict(keep)


def _following(chain: Chain) -> int:
    """Return the number of the pane that is not full yet."""
    return 0 if chain.folded is None else chain.folded + 1


def _join_own(a: State, b: State) -> None:
    a[LOWEST], a[HIGHEST] = min(a[LOWEST], b[LOWEST]), max(a[HIGHEST], b[HIGHEST])
    a[EVENTS] += b[EVENTS]

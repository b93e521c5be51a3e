"""A queue of states and the fold over all of them in order: it grows at one end and shrinks at the other.

Nothing need be subtracted: two stacks (after the "two-stack" algorithm for sliding windows, Tangwongsan et al. 2017).
The back one has one fold over all of it; of the front one each state knows the fold of itself and all newer ones
there. When the front is empty the back is turned over: a merge per state, once. So the folds are a function of the
states and of where the front ends, and a queue that is read from its store gives the same results to the last bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

State = list[Any]
Join = Callable[[State, State], State]


class Broken:
    """A fold that failed: who reads more of it than ``own`` slots gets the error, as a row that cannot be computed."""

    __slots__ = ("_own", "error")

    def __init__(self, error: Exception, own: tuple[int, ...] = ()) -> None:
        """Keep the error until then."""
        self.error, self._own = error, own

    def __getitem__(self, place: int) -> int:
        """Return one of the slots that are known."""
        if place < len(self._own):
            return self._own[place]
        raise self.error


Fold = State | Broken


class Folds:
    """Numbered states in a queue. ``join`` makes a new state of two; it must change neither."""

    __slots__ = ("_back", "_front", "_join", "_tail")

    def __init__(self, join: Join) -> None:
        """Begin empty."""
        self._join = join
        self._front: list[tuple[int, State, Fold]] = []  # the oldest last
        self._back: list[tuple[int, State]] = []
        self._tail: Fold | None = None

    def load(self, items: Iterable[tuple[int, State]], turned: int | None) -> None:
        """Take states from a store, oldest first; those numbered up to ``turned`` were in front."""
        for number, state in items:
            self.push(number, state)
            if number == turned:
                self._turn()

    @property
    def turned(self) -> int | None:
        """The number of the newest state in front."""
        return self._front[0][0] if self._front else None

    @property
    def oldest(self) -> int | None:
        """The number of the oldest state."""
        if self._front:
            return self._front[-1][0]
        return self._back[0][0] if self._back else None

    @property
    def newest(self) -> int | None:
        """The number of the newest state."""
        if self._back:
            return self._back[-1][0]
        return self._front[0][0] if self._front else None

    def __len__(self) -> int:
        """Return the number of states."""
        return len(self._front) + len(self._back)

    def numbers(self) -> list[int]:
        """Return the numbers of all states."""
        return [number for number, *_ in self._front] + [number for number, _ in self._back]

    def push(self, number: int, state: State) -> None:
        """Add a state behind all others."""
        self._back.append((number, state))
        self._tail = state if self._tail is None else self._joined(self._tail, state)

    def pop(self) -> int:
        """Remove the oldest state; return its number."""
        if not self._front:
            self._turn()
        return self._front.pop()[0]

    def fold(self) -> Fold:
        """Return the fold over all states; there must be one."""
        if not self._front:
            return self._tail if self._tail is not None else []
        first = self._front[-1][2]
        return first if self._tail is None else self._joined(first, self._tail)

    def _turn(self) -> None:
        fold: Fold | None = None
        for number, state in reversed(self._back):
            fold = state if fold is None else self._joined(state, fold)
            self._front.append((number, state, fold))
        self._back.clear()
        self._tail = None

    def _joined(self, a: Fold, b: Fold) -> Fold:
        if isinstance(a, Broken):
            return a
        if isinstance(b, Broken):
            return b
        try:
            return self._join(a, b)
        except Exception as error:  # of a user's function, or of numbers that have no sum: of that window alone
            return Broken(error)

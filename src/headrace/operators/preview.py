"""What a record would find, without a trace: the states that a step's ``prepare`` code reads.

A record may turn out to be bad while it is being added. Until then no window may open, no session
may grow and no state may count as changed. So steps that can fail look here first, and go to
the logic itself only once nothing can fail any more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from headrace.operators.agent import OperatorSpec
from headrace.operators.sessions import FIRST, LAST, SessionLogic
from headrace.operators.view import State, StateView, instant
from headrace.operators.windowed import WindowedLogic

_list = msgspec.msgpack.Decoder(list[bytes]).decode


class WindowPreview:
    """States of windows, or of all time."""

    __slots__ = ("_codec", "_init", "_keys", "_logic", "_view")

    def __init__(self, spec: OperatorSpec, view: StateView, logic: WindowedLogic) -> None:
        """Look into the memory of ``logic`` and into its store."""
        self._logic, self._view = logic, view
        self._init: Callable[[], State] = spec.kit.init
        self._codec, self._keys = view.codec(), view.keys()

    def state(self, start: int, key: Any) -> State:
        """Return the state of a key in the window that begins at ``start``, or an empty one."""
        window = self._logic.windows.get(start)
        if window is None:
            return self._init()
        for states in (window.hot, window.dirty, window.cold):
            found = states.get(key)
            if found is not None:
                return found
        data = None
        if not window.complete:
            data = self._view.store.get(self._view.prefix + instant(start) + self._keys.encode(key))
        if data is None:
            return self._init()
        state = window.cold[key] = self._codec.decode(data)  # as it is in the store: it need not be read again
        return state


class SessionPreview:
    """States of sessions."""

    __slots__ = ("_codec", "_init", "_keys", "_logic", "_merge", "_view", "_window")

    def __init__(self, spec: OperatorSpec, view: StateView, logic: SessionLogic) -> None:
        """Look into the memory of ``logic`` and into its store."""
        self._logic, self._window, self._view = logic, logic.window, view
        self._init: Callable[[], State] = spec.kit.init
        self._merge: Callable[[State, State], None] = spec.kit.merge
        self._codec, self._keys = view.codec(), view.keys()

    def state(self, key: Any, time_ms: int, watermark_ms: int) -> State | None:
        """Return the state that the event's session would have without it; None if the event is late.

        If the event joins sessions, so do copies of their states.
        """
        gap = self._window.gap_ms
        near = [s for s in self._sessions(key) if s[FIRST] - gap <= time_ms <= s[LAST] + gap]
        if not near:
            return None if time_ms + gap + self._window.grace_ms < watermark_ms else self._init()
        if len(near) == 1:
            return near[0]
        joined = list(near[0])
        for other in near[1:]:
            self._merge(joined, other)
        return joined

    def _sessions(self, key: Any) -> list[State]:
        for sessions in (self._logic.hot, self._logic.cold):
            found = sessions.get(key)
            if found is not None:
                return found
        stored = self._view.beside("live").get(self._view.prefix + self._keys.encode(key))
        if stored is None:
            return []
        self._logic.cold[key] = [self._codec.decode(item) for item in _list(stored)]
        return self._logic.cold[key]

"""Several worker processes under one: restarted when they die, stopped together, one exit code.

Knows neither Faust nor Kafka: the processes do.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

_log = logging.getLogger("headrace.supervisor")

_FINAL = frozenset({2, 3})
"""Exit codes of mistakes that a restart does not mend: usage and settings, a state directory that another one has."""
_FAILED = 1
_INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class Child:
    """A process to keep running."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(repr=False)  # passwords are in it


@dataclass(frozen=True, slots=True)
class Restarts:
    """How processes that die are restarted, and how long all together may take to stop."""

    first_s: float = 1.0
    longest_s: float = 30.0
    healthy_s: float = 60.0
    """After living for that long, a process that dies is restarted at once, as if it were the first time."""
    most: int = 10
    """So often in a row, each within ``healthy_s``, a process may die; then all stop."""
    stop_s: float = 25.0
    """Longer than a worker takes to give up its last commit: what then still runs is killed."""

    def pause_s(self, failures: int) -> float:
        """Return how long to wait before the next start, after so many failures in a row.

        >>> [Restarts().pause_s(n) for n in (1, 2, 3, 9)]
        [1.0, 2.0, 4.0, 30.0]
        """
        return float(min(self.first_s * 2 ** (failures - 1), self.longest_s))


def supervise(children: Sequence[Child], restarts: Restarts | None = None) -> int:
    """Run processes until SIGTERM or SIGINT, which they get too; return one exit code for all.

    0: all ended well after SIGTERM; 130: the same after SIGINT; else that of a process that cannot go on, or 1 if one
    did not end well.
    """
    return asyncio.run(_Supervisor(children, restarts or Restarts()).run())


class _Supervisor:
    def __init__(self, children: Sequence[Child], restarts: Restarts) -> None:
        self._children, self._restarts = children, restarts
        self._processes: dict[str, asyncio.subprocess.Process] = {}
        self._stopping = asyncio.Event()
        self._signal: int | None = None
        self._code = 0

    async def run(self) -> int:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._pass_on, number)
        keeping = [asyncio.create_task(self._keep(child)) for child in self._children]
        await self._stopping.wait()
        _, late = await asyncio.wait(keeping, timeout=self._restarts.stop_s)
        if late:
            _log.error("killing what did not stop in %g s: %s", self._restarts.stop_s, ", ".join(self._processes))
            self._code = self._code or _FAILED
            self._send(signal.SIGKILL)
            await asyncio.wait(keeping)
        for task in keeping:
            task.result()
        return self._code or (_INTERRUPTED if self._signal == signal.SIGINT else 0)

    def _pass_on(self, number: int) -> None:
        again = self._stopping.is_set()
        self._signal = number
        self._stopping.set()
        # Asked a second time, workers end at once.
        _log.info(
            "%s%s: passing it on to %d processes", signal.Signals(number).name, " again" * again, len(self._processes)
        )
        self._send(number)

    def _send(self, number: int) -> None:
        for process in self._processes.values():
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(number)

    def _give_up(self, code: int) -> None:
        self._code = self._code or code
        self._stopping.set()
        self._send(signal.SIGTERM)

    async def _keep(self, child: Child) -> None:
        """Run one process again and again, until all stop."""
        failures = 0
        while not self._stopping.is_set():
            started = time.monotonic()
            code = await self._once(child)
            if self._stopping.is_set():
                if code not in {0, _INTERRUPTED}:
                    _log.error("%s %s while stopping", child.name, _describe(code))
                    self._code = self._code or _FAILED
                return
            failures = 1 if time.monotonic() - started >= self._restarts.healthy_s else failures + 1
            if code in _FINAL or failures >= self._restarts.most:
                why = "a restart would not help" if code in _FINAL else f"{failures} times in a row"
                _log.error("%s %s (%s): stopping all", child.name, _describe(code), why)
                self._give_up(code if code > 0 else _FAILED)
                return
            pause_s = self._restarts.pause_s(failures)
            _log.warning("%s %s: starting it again in %g s", child.name, _describe(code), pause_s)
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause_s)

    async def _once(self, child: Child) -> int:
        # A session of its own: Ctrl-C on the terminal reaches it once, through us.
        process = await asyncio.create_subprocess_exec(
            *child.command, env=dict(child.environment), stdin=asyncio.subprocess.DEVNULL, start_new_session=True
        )
        self._processes[child.name] = process
        if self._stopping.is_set() and self._signal is not None:
            process.send_signal(self._signal)  # it came while this one was being started
        _log.info("%s runs as process %d", child.name, process.pid)
        try:
            return await process.wait()
        finally:
            del self._processes[child.name]


def _describe(code: int) -> str:
    """Return how a process ended, in words.

    >>> _describe(1), _describe(-9)
    ('ended with exit code 1', 'was ended by SIGKILL')
    """
    return f"ended with exit code {code}" if code >= 0 else f"was ended by {signal.Signals(-code).name}"

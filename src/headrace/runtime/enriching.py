"""Values for records that wait: asked of the user's async function, remembered for a time.

The function runs in a loop of its own, in a thread: a task asks from the midst of a batch, whether a loop runs there or
not, and waits until all values of the batch have come or failed. What the function keeps between calls (a client, a
pool) it keeps in that loop, in every kind of worker.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from headrace.event.dtypes import DType
from headrace.operators.calls import returned
from headrace.operators.enriching import Arguments, EnrichLogic, Failed
from headrace.runtime.handlers import attempts_of, is_cancelled
from headrace.topology.enrich import Enrich
from headrace.topology.typing import to_dtype


class Values:
    """The values of one step of one task. Those that failed are not remembered."""

    def __init__(self, node: Enrich, now_ms: Callable[[], int]) -> None:
        """Begin with none."""
        self._node, self._now_ms = node, now_ms
        dtype: DType = to_dtype(node.returns).optional()
        self._checked = returned(_same, dtype)
        self._known: dict[Arguments, tuple[int, Any]] = {}
        """Until when, and what; those asked for last at the end."""

    def __call__(self, asked: set[Arguments]) -> Mapping[Arguments, Any]:
        """Return the value of each, or why there is none."""
        now_ms, known, found = self._now_ms(), self._known, dict[Arguments, Any]()
        for args in asked:
            until = known.pop(args, None)
            if until is not None and until[0] > now_ms:
                known[args] = until
                found[args] = until[1]
        missing = [args for args in asked if args not in found]
        if missing:
            made = asyncio.run_coroutine_threadsafe(self._ask(missing), _loop()).result()
            found |= made
            until_ms = now_ms + self._node.cache_ms
            known |= {args: (until_ms, value) for args, value in made.items() if not isinstance(value, Failed)}
        for args in [args for args, _ in zip(known, range(len(known) - self._node.entries), strict=False)]:
            del known[args]
        return found

    async def _ask(self, missing: list[Arguments]) -> dict[Arguments, Any]:
        gate = asyncio.Semaphore(self._node.concurrency)

        async def ask(args: Arguments) -> Any:
            async with gate:
                try:
                    async for attempt in attempts_of(self._node):
                        with attempt:
                            answer = await asyncio.wait_for(self._node.function(*args), self._node.timeout_ms / 1000)
                    return self._checked(answer)
                except Exception as error:
                    return Failed(error)
                except asyncio.CancelledError:
                    if is_cancelled():
                        raise
                    return Failed(RuntimeError("the function was cancelled from within"))

        return dict(zip(missing, await asyncio.gather(*map(ask, missing)), strict=True))


def connect(logic: object, now_ms: Callable[[], int], failed: Callable[..., None]) -> None:
    """Give a logic that waits for values what it asks for them, and what takes the records that get none."""
    if isinstance(logic, EnrichLogic):
        logic.fetch, logic.failed = Values(logic.node, now_ms), failed


@cache
def _loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="headrace-enrich", daemon=True).start()
    return loop


def _same(value: object) -> object:
    return value


__all__ = ["Values", "connect"]

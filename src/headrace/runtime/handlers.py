"""Async side effects: each record is handed to the user's function, with retry, before the checkpoint."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Protocol

from tenacity import AsyncRetrying, stop_after_attempt, wait_exponential_jitter

from headrace.topology.nodes import Handle

Row = dict[str, Any]
LONGEST_WAIT = 30.0  # seconds between attempts, if the declared backoff is not longer itself: a checkpoint waits


async def call_handler(node: Handle, rows: Sequence[Row]) -> list[tuple[Row, Exception]]:
    """Call the function for every row, some at a time; return the rows that failed for good."""
    gate = asyncio.Semaphore(node.concurrency)

    async def call(row: Row) -> tuple[Row, Exception] | None:
        async with gate:
            try:
                async for attempt in attempts_of(node):
                    with attempt:
                        await asyncio.wait_for(node.function(row), node.timeout_ms / 1000)
            except Exception as error:
                return row, error
            except asyncio.CancelledError:
                if is_cancelled():
                    raise
                return row, RuntimeError("the function was cancelled from within")
        return None

    done = await asyncio.gather(*(call(row) for row in rows))
    return [failure for failure in done if failure is not None]


def is_cancelled() -> bool:
    """Tell whether somebody wants the running task to end: else a CancelledError is of another's making."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


class Retried(Protocol):
    """What says how often a function is called, and how long is waited in between."""

    @property
    def attempts(self) -> int:
        """How often at most."""

    @property
    def backoff_ms(self) -> int:
        """The first pause; the next ones are longer."""


def attempts_of(node: Retried) -> AsyncRetrying:
    """Return the attempts to call a function."""
    backoff = node.backoff_ms / 1000
    return AsyncRetrying(
        stop=stop_after_attempt(node.attempts),
        wait=wait_exponential_jitter(multiplier=backoff, jitter=backoff, max=max(LONGEST_WAIT, backoff)),
        reraise=True,
    )

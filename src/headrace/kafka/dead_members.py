"""Transactions that dead workers left open: found and settled, so that nobody waits for their timeout.

A worker that was killed, or that the group has dropped, may have an open transaction. Until it ends, readers of
committed records stop before it. The worker that takes over its partitions fences it: that aborts the transaction.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from headrace.kafka.client import Client, refuse_old_broker
from headrace.kafka.codes import Code
from headrace.kafka.producing import fence
from headrace.kafka.protocol import ListTransactions

_ATTEMPTS, _TIMEOUT_S, _PAUSE_S = 4, 2.0, 0.2


async def fence_dead(client: Client, prefix: str, live: Collection[str]) -> list[str]:
    """Fence every transactional id with this prefix that has an open transaction and is not ``live``; return them.

    Raises:
        BrokerError: a broker did not answer.
    """
    dead = sorted(name for name in await open_transactions(client, prefix) if name not in live)
    await asyncio.gather(*(fence(client, name) for name in dead))
    return dead


async def open_transactions(client: Client, prefix: str) -> set[str]:
    """Return the transactional ids with this prefix whose transaction is not completed.

    A broker that does not answer is asked again, and then passed over: what it coordinated moves to another one,
    and at the latest the transaction's own timeout settles it.
    """
    found: set[str] = set()
    waiting = {broker.nodeId for broker in client.cluster.brokers()}
    for attempt in range(_ATTEMPTS):
        nodes = sorted(waiting)
        answers = await asyncio.gather(
            *(asyncio.wait_for(client.send(node, ListTransactions()), _TIMEOUT_S) for node in nodes),
            return_exceptions=True,
        )
        for node, answer in zip(nodes, answers, strict=True):
            if isinstance(answer, Exception):
                refuse_old_broker(answer, "listing transactions")
            elif isinstance(answer, BaseException):
                raise answer
            elif answer.error_code == Code.NONE:
                waiting.discard(node)
                found |= {state[0] for state in answer.transaction_states if state[0].startswith(prefix)}
        if not waiting:
            break
        await asyncio.sleep(_PAUSE_S * (attempt + 1))
        await client.force_metadata_update()
        waiting = {broker.nodeId for broker in client.cluster.brokers()} & waiting
    return found

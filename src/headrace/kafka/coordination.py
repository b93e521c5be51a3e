"""Requests to the broker that coordinates one transactional id, or one group."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import IntEnum
from typing import Any

from aiokafka.client import ConnectionGroup
from aiokafka.protocol.coordination import FindCoordinatorRequest

from headrace.kafka.client import TRANSIENT, Client, Patience, refuse_old_broker
from headrace.kafka.codes import COORDINATOR_BUSY, COORDINATOR_MOVED, Code, error_for, name_of
from headrace.kafka.protocol import InitProducerId

_FIND_TRY_S = 3.0
"""Every broker can answer where the coordinator is, at once: if one does not, the next one is asked."""
_MARKERS_PAUSE_S = 0.02
"""While the broker writes the markers of the last transaction: a longer pause spares nobody."""

_Codes = Callable[[Any], list[int]]


class Kind(IntEnum):
    """What a broker coordinates."""

    GROUP = 0
    TRANSACTION = 1


class Coordinator:
    """Sends requests to the coordinator of ``key``, and finds it again when it has moved.

    Only for requests that may be sent twice: after a lost answer a request is sent again.
    """

    def __init__(self, client: Client, kind: Kind, key: str) -> None:
        self._client = client
        self._kind = kind
        self._key = key
        self._node: int | None = None

    async def call(self, request: Any, codes: _Codes, patience: Patience, *, busy: frozenset[int] = frozenset()) -> Any:
        """Return the answer, of which no code says "moved" or "busy"; the caller judges all other codes.

        ``codes`` takes the error codes out of an answer; ``busy`` are codes on which to ask again, beside the usual.

        Raises:
            UnreachableError: there is no such answer in the time that ``patience`` allows.
            BrokerError: the broker does not know the request, or does not let us find the coordinator.
        """
        while True:
            why: object
            try:
                node = self._node if self._node is not None else await self._find(patience)
                response = await asyncio.wait_for(
                    self._client.send(node, request, group=ConnectionGroup.COORDINATION), patience.remaining_s
                )
            except TRANSIENT as error:
                refuse_old_broker(error, patience.action)
                self._node = None
                why = error
                await patience.refresh(self._client)
            else:
                found = codes(response)
                wait = [code for code in found if code in COORDINATOR_MOVED or code in COORDINATOR_BUSY or code in busy]
                if not wait:
                    return response
                if COORDINATOR_MOVED.intersection(wait):
                    self._node = None
                why = name_of(wait[0])
                if Code.CONCURRENT_TRANSACTIONS in wait:
                    await patience.pause(why, longest_s=_MARKERS_PAUSE_S)
                    continue
            await patience.pause(why)

    async def _find(self, patience: Patience) -> int:
        request = FindCoordinatorRequest(self._key, self._kind)
        while True:
            node = self._client.get_random_node()
            limit_s = min(patience.remaining_s, _FIND_TRY_S)
            response = await asyncio.wait_for(self._client.send(node, request), limit_s)
            code = response.error_code
            if code == Code.NONE:
                self._node = int(response.coordinator_id)
                return self._node
            if code not in COORDINATOR_MOVED and code not in COORDINATOR_BUSY:
                raise error_for(code, f"finding the coordinator of {self._kind.name.lower()} {self._key!r}")
            await patience.pause(name_of(code))


def one_code(response: Any) -> list[int]:
    """Return the only error code of an answer."""
    return [response.error_code]


def partition_codes(topics: Any) -> list[int]:
    """Return the error codes of an answer's ``[(topic, [(partition, code, ...), ...]), ...]``."""
    return [fields[1] for topic in topics for fields in topic[1]]


async def take_producer_id(
    coordinator: Coordinator | None, client: Client, request: InitProducerId, patience: Patience
) -> tuple[int, int]:
    """Return a producer's id and epoch. Without a coordinator any broker gives one.

    An open transaction of the id is aborted first: that is waited for.

    Raises:
        FencedError: the request names an owner who is it no longer.
        UnreachableError: there is no answer in time.
    """
    if coordinator is None:
        while True:
            try:
                response = await asyncio.wait_for(client.send(client.get_random_node(), request), patience.remaining_s)
            except TRANSIENT as error:
                refuse_old_broker(error, patience.action)
                await patience.pause(error)
                continue
            if response.error_code not in COORDINATOR_BUSY and response.error_code not in COORDINATOR_MOVED:
                break
            await patience.pause(name_of(response.error_code))
    else:
        response = await coordinator.call(request, one_code, patience)
    if response.error_code != Code.NONE:
        raise error_for(response.error_code, patience.action)
    return int(response.producer_id), int(response.producer_epoch)

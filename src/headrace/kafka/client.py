"""The connection to the brokers: one ``AIOKafkaClient``, its failures as ours, and bounded waiting."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from typing import Any, Protocol

from aiokafka.client import AIOKafkaClient, ConnectionGroup
from aiokafka.errors import IncompatibleBrokerVersion, KafkaError

from headrace.kafka.errors import BrokerError, UnreachableError
from headrace.kafka.model import Partition

_FIRST_PAUSE_S = 0.002
_LONGEST_PAUSE_S = 0.25
# A broker that is cut off is out of the cluster after 9 s (broker.session.timeout.ms): longer waits gain nothing.
_REQUEST_TIMEOUT_MS = 10_000

TRANSIENT = (KafkaError, OSError, asyncio.TimeoutError)
"""What sending a request may raise because of the network or the broker."""


class Client(Protocol):
    """What is used of an ``AIOKafkaClient``: a connection per broker and purpose, and the cluster's metadata."""

    cluster: Any

    async def send(self, node_id: int, request: Any, *, group: int = ConnectionGroup.DEFAULT) -> Any:
        """Send a request to a node and return its answer."""

    def get_random_node(self) -> int:
        """Return any node."""

    def force_metadata_update(self) -> Awaitable[bool]:
        """Ask for the metadata again."""

    def add_topic(self, topic: str) -> Awaitable[bool]:
        """Include a topic in the metadata."""

    async def close(self) -> None:
        """Close all connections."""


async def connect(bootstrap: str, *, request_timeout_ms: int = _REQUEST_TIMEOUT_MS, **options: Any) -> Client:
    """Return a client that knows the cluster. Close it with ``await client.close()``.

    Args:
        bootstrap: addresses as host:port, separated by commas.
        request_timeout_ms: how long one request waits for its answer, before it is sent again elsewhere.
        options: security settings under aiokafka's names (``security_protocol``, ``ssl_context``, ``sasl_...``).

    Raises:
        UnreachableError: none of the addresses answers.
    """
    client = AIOKafkaClient(bootstrap_servers=bootstrap, request_timeout_ms=request_timeout_ms, **options)
    try:
        await client.bootstrap()
    except TRANSIENT as error:
        await client.close()
        message = f"no broker answers at {bootstrap}. Check the addresses, and that the brokers run"
        raise UnreachableError(message) from error
    connected: Client = client
    return connected


def leader_of(client: Client, partition: Partition) -> int | None:
    """Return the node that leads the partition, as far as is known now."""
    leader = client.cluster.leader_for_partition(partition)
    return None if leader is None or leader < 0 else int(leader)


def refuse_old_broker(error: BaseException, action: str) -> None:
    """Raise BrokerError if ``error`` says that the broker does not know the request: that will not pass."""
    if isinstance(error, IncompatibleBrokerVersion | NotImplementedError):
        message = f"{action}: the broker is too old: {error}. Headrace needs Apache Kafka 2.5 or newer"
        raise BrokerError(message) from error


class Patience:
    """Bounded waiting between tries: short pauses that grow.

    ``action`` names what is tried, for the error.
    """

    def __init__(self, action: str, timeout_ms: int) -> None:
        self.action = action
        self._timeout_ms = timeout_ms
        self._end = time.monotonic() + timeout_ms / 1000
        self._pause_s = _FIRST_PAUSE_S
        self._why: object = None

    @property
    def remaining_s(self) -> float:
        """Return the seconds left, zero at the least."""
        return max(0.0, self._end - time.monotonic())

    async def pause(self, why: object, *, longest_s: float = _LONGEST_PAUSE_S) -> None:
        """Wait a little before the next try, ``longest_s`` at most.

        Raises:
            UnreachableError: the time is over. ``why`` is its cause.
        """
        if self._why is None or not isinstance(why, TimeoutError):
            self._why = why  # else what was wrong before says more than that the last try was cut short
        if self.remaining_s <= 0:
            cause = self._why if isinstance(self._why, BaseException) else None
            reason = f"{type(cause).__name__} {cause}".rstrip() if cause is not None else self._why
            message = f"{self.action}: not done in {self._timeout_ms / 1000:g} s: {reason}"
            raise UnreachableError(message) from cause
        await asyncio.sleep(min(self._pause_s, self.remaining_s))
        self._pause_s = min(self._pause_s * 2, longest_s)

    async def refresh(self, client: Client) -> None:
        """Ask for the cluster's metadata again, without waiting longer than is allowed."""
        try:
            await asyncio.wait_for(client.force_metadata_update(), max(self.remaining_s, _FIRST_PAUSE_S))
        except TRANSIENT:
            return  # the caller tries again and then pauses: that is where the time is bounded

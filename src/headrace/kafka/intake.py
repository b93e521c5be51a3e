"""What the transport asks of the runtime, and what it offers in return.

The order of events for one generation of the group::

    assign  ->  take, take, ...  ->  revoke  (or lost)  ->  assign of the next generation
                                 ->  revoke  (the worker stops)

They are never under way at the same time, with one exception: ``assign`` may take long, and a rebalance does not wait
for it. It is cancelled then, and ``revoke`` follows when it has ended.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Protocol

from headrace.kafka.model import Fetched, GroupMember, Partition


class Intake(Protocol):
    """Takes the records of topology topics. All methods are called on the main event loop."""

    topics: frozenset[str]
    """The topics that topologies read; known before the worker starts."""

    async def revoke(self, partitions: set[Partition]) -> None:
        """Commit and give up: these are all that this member has.

        The group waits for it (JoinGroup is sent when it has returned), at most for four fifths of the rebalance
        timeout: then it is cancelled. In that case, and when it raises, ``lost`` follows, and the partitions go.
        """

    async def assign(self, partitions: set[Partition], member: GroupMember) -> Mapping[Partition, int]:
        """Take over: these are all that this member has from now on; there may be none.

        Return the offset to read from for each that can run already. Those left out stay paused until
        ``Control.start``. Heartbeats go on meanwhile. What it raises ends the worker.
        """

    def take(self, batch: Fetched) -> None:
        """Take a batch: it begins where the last one of the partition ended, or where the partition was started.

        A batch without records moves the position all the same. A partition may still deliver what was fetched before
        ``Control.pause`` from within ``take``. What it raises ends the worker.
        """

    async def lost(self) -> None:
        """Drop everything without a commit: the group went on without this member (session expired, fenced)."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A live member of the group, as of the last rebalance."""

    member_id: str
    transactional_id: str
    address: str
    partitions: frozenset[Partition]
    standbys: frozenset[Partition]
    """The input partitions of the tasks of which this member keeps a copy."""


class Control(Protocol):
    """What the runtime may do to the flow of records. Call it on the main event loop.

    Partitions that are not ours (any more) are passed over: a restore may end just after a rebalance began.
    """

    def start(self, partition: Partition, offset: int) -> None:
        """Read from an offset on; also where the partition runs already."""

    def seek(self, partition: Partition, offset: int) -> None:
        """Go on reading elsewhere; a paused partition stays paused. What was fetched is dropped."""

    def pause(self, partitions: Collection[Partition]) -> None:
        """Deliver no more of these, and keep what was fetched."""

    def resume(self, partitions: Collection[Partition]) -> None:
        """Deliver again, where it was paused."""

    def drained(self) -> frozenset[Partition]:
        """Return the partitions that were read to their end, as far as brokers have said lately.

        Those left out may have records: a broker that does not answer says nothing about silence.
        """

    def membership(self) -> GroupMember:
        """Return our place in the group, as of the last rebalance; also after it was lost, so that commits fail.

        Raises:
            BrokerError: there was no rebalance yet.
        """

    def peers(self) -> tuple[Peer, ...]:
        """Return all live members, this one included, as of the last rebalance."""

    def standbys(self) -> frozenset[tuple[int, int]]:
        """Return (number of the group, partition) of the tasks of which this member is to keep a copy."""

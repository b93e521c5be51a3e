"""The group's partition assignor: topology topics by :mod:`headrace.kafka.placement`, all others by Faust's own.

A member's subscription carries what it has, how fresh its copies of states are, and who it is; the assignment tells
everybody who is there and who has what. Both wrap Faust's own data, which Faust gets to see as it knows it.
"""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, TypeVar

import msgspec
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment, ConsumerProtocolMemberMetadata
from faust.assignor.partition_assignor import PartitionAssignor

from headrace.kafka.intake import Peer
from headrace.kafka.model import Partition
from headrace.kafka.placement import Member, Task, choose_standbys, merge, place

Metadata = Mapping[str, ConsumerProtocolMemberMetadata]
Topics = dict[str, list[int]]
"""Partitions by topic."""

_VERSION = 1
T = TypeVar("T")


class Claim(msgspec.Struct, frozen=True, array_like=True):
    """What a member says in its subscription. New fields go to the end, with a default."""

    faust: bytes
    groups: list[list[str]]
    owned: Topics
    generation: int
    held: list[tuple[int, int, int]]
    """Number of the group in ``groups``, partition, how far the copy is."""
    transactional_id: str = ""
    address: str = ""
    standbys: int = 0


class Share(msgspec.Struct, frozen=True, array_like=True):
    """What the assignment says of a member, to everybody."""

    member_id: str
    transactional_id: str
    address: str
    owned: Topics
    standbys: Topics


class Grant(msgspec.Struct, frozen=True, array_like=True):
    """What a member is told: its own part of Faust's assignment, and everybody's of ours."""

    faust: bytes
    member_id: str
    shares: list[Share]


def assign(partitions: Mapping[str, int], claims: Mapping[str, Claim]) -> dict[str, Share]:
    """Return what each member gets of the topology topics.

    Args:
        partitions: how many partitions each topic has; topics that do not exist are missing.
        claims: by member id. Members of different versions may read different topics, or group them differently:
            groups that share a topic are one, and only who reads all of it can run it.
    """
    reads = {name: frozenset(t for group in claim.groups for t in group) for name, claim in claims.items()}
    topics_of = {_name(group): group for group in _groups(claims, reads)}
    sizes = {
        name: size
        for name, topics in topics_of.items()
        if (size := max((partitions.get(topic, 0) for topic in topics), default=0))
    }
    members = {name: _member(claims[name], reads[name], topics_of) for name in sorted(claims)}
    placed = place(sizes, members)
    owners = {task: name for name, tasks in placed.items() for task in tasks}
    replicas = max((claim.standbys for claim in claims.values()), default=0)
    copies = choose_standbys(owners, members, replicas) if replicas else {}
    return {
        name: Share(
            name,
            claim.transactional_id,
            claim.address,
            _topics(placed[name], topics_of, partitions),
            _topics(copies.get(name, ()), topics_of, partitions),
        )
        for name, claim in claims.items()
    }


def _groups(claims: Mapping[str, Claim], reads: Mapping[str, frozenset[str]]) -> list[frozenset[str]]:
    """Return the groups of all members; one that nobody can run as a whole is taken apart."""
    found: list[frozenset[str]] = []
    for group in merge(frozenset(group) for claim in claims.values() for group in claim.groups):
        whole = any(group <= topics for topics in reads.values())
        found += [group] if whole else [frozenset({topic}) for topic in sorted(group)]
    return found


def _member(claim: Claim, reads: frozenset[str], topics_of: Mapping[str, frozenset[str]]) -> Member:
    group_of = {topic: name for name, topics in topics_of.items() for topic in topics}
    held: defaultdict[Task, int] = defaultdict(int)
    for number, partition, offset in claim.held:
        for name in {group_of[topic] for topic in claim.groups[number]}:
            held[Task(name, partition)] += offset  # several states of one task: the sum is a measure as good as any
    return Member(
        groups=frozenset(name for name, topics in topics_of.items() if topics <= reads),
        owned=frozenset(Task(group_of[t], p) for t, numbers in claim.owned.items() if t in group_of for p in numbers),
        generation=claim.generation,
        held=held,
    )


def _name(group: Iterable[str]) -> str:
    return ",".join(sorted(group))


def _topics(tasks: Collection[Task], topics_of: Mapping[str, frozenset[str]], partitions: Mapping[str, int]) -> Topics:
    found: defaultdict[str, list[int]] = defaultdict(list)
    for task in sorted(tasks):
        for topic in topics_of[task.group]:
            if task.partition < partitions.get(topic, 0):
                found[topic].append(task.partition)
    return dict(found)


class TopologyAssignor(PartitionAssignor):
    """Faust's assignor for the app's own topics, and ours for those of topologies.

    It lives in the consumer's thread; what it is told and asked from the main loop are single attributes.
    """

    def __init__(self, app: Any, groups: tuple[frozenset[str], ...], *, transactional_id: str, address: str) -> None:
        super().__init__(app, replicas=app.conf.table_standby_replicas)
        self.groups = groups
        self.topics = frozenset[str]().union(*groups)
        self.copies = 0
        self.transactional_id = transactional_id
        self.address = address
        self.held: Mapping[tuple[int, int], int] = {}
        """(number of the group, partition): how far our copy of the state is."""
        self.generation = -1
        self.shares: tuple[Share, ...] = ()
        self.mine = Share("", "", "", {}, {})
        self.on_assigned: Callable[[], None] = lambda: None
        """Called at once when there is a new assignment, before anything is fetched."""

    @property
    def name(self) -> str:
        """Return the name of the protocol: members with another one do not get into the group."""
        return "headrace"

    def metadata(self, topics: set[str]) -> ConsumerProtocolMemberMetadata:
        """Return our subscription, and what we say about ourselves."""
        theirs = super().metadata(set(topics) - self.topics)
        claim = Claim(
            faust=theirs.user_data,
            groups=[sorted(group) for group in self.groups],
            owned=self.mine.owned,
            generation=self.generation,
            held=[(group, partition, offset) for (group, partition), offset in self.held.items()],
            transactional_id=self.transactional_id,
            address=self.address,
            standbys=self.copies,
        )
        return ConsumerProtocolMemberMetadata(_VERSION, sorted(topics), _pack(claim))

    def assign(self, cluster: Any, members: Metadata) -> dict[str, ConsumerProtocolMemberAssignment]:
        """Return what everybody gets. Only the group's leader is asked."""
        claims = {name: _unpack(metadata.user_data, Claim) for name, metadata in members.items()}
        ours = {topic for claim in claims.values() for group in claim.groups for topic in group}
        theirs = super().assign(
            cluster,
            {
                name: ConsumerProtocolMemberMetadata(
                    super(TopologyAssignor, self).version,
                    [topic for topic in metadata.subscription if topic not in ours],
                    claims[name].faust,
                )
                for name, metadata in members.items()
            },
        )
        counts = {topic: len(cluster.partitions_for_topic(topic) or ()) for topic in ours}
        shares = assign({topic: count for topic, count in counts.items() if count}, claims)
        everybody = [shares[name] for name in sorted(shares)]
        return {
            name: ConsumerProtocolMemberAssignment(
                _VERSION,
                [*theirs[name].assignment, *sorted(shares[name].owned.items())],
                _pack(Grant(theirs[name].user_data, name, everybody)),
            )
            for name in members
        }

    def on_assignment(self, assignment: ConsumerProtocolMemberAssignment) -> None:
        """Note what we got, and what everybody else has."""
        grant = _unpack(assignment.user_data, Grant)
        self.shares = tuple(grant.shares)
        self.mine = next(share for share in grant.shares if share.member_id == grant.member_id)
        self.on_assigned()
        theirs = [entry for entry in assignment.assignment if entry[0] not in self.mine.owned]
        super().on_assignment(ConsumerProtocolMemberAssignment(assignment.version, theirs, grant.faust))

    def peers(self) -> tuple[Peer, ...]:
        """Return all members, as of the last assignment."""
        return tuple(
            Peer(s.member_id, s.transactional_id, s.address, _partitions(s.owned), _partitions(s.standbys))
            for s in self.shares
        )

    def standbys(self) -> frozenset[tuple[int, int]]:
        """Return (number of the group, partition) of the tasks of which we are to keep a copy."""
        copies = self.mine.standbys
        return frozenset(
            (number, partition)
            for number, group in enumerate(self.groups)
            for topic in group
            for partition in copies.get(topic, ())
        )


def _partitions(topics: Topics) -> frozenset[Partition]:
    return frozenset(Partition(topic, partition) for topic, numbers in topics.items() for partition in numbers)


def _pack(data: msgspec.Struct) -> bytes:
    return zlib.compress(msgspec.msgpack.encode(data))


def _unpack(packed: bytes, kind: type[T]) -> T:
    return msgspec.msgpack.decode(zlib.decompress(packed), type=kind)

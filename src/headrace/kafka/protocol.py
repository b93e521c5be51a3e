"""Requests newer than the client library's, declared beside its own with its own classes.

* InitProducerId 3 (KIP-360): a producer may raise its own epoch, and is told if another did so first.
* TxnOffsetCommit 3 (KIP-447): offsets are taken only from a member of the group's present generation.
* OffsetFetch 7 (KIP-447): says so when a transaction has offsets pending, rather than giving older ones.
* ListTransactions 0 (KIP-664): which transactional ids have an open transaction.
* Metadata 10 (KIP-516): the id of each topic, which is another one when a topic is deleted and made anew.
* AddPartitionsToTxn, AddOffsetsToTxn, EndTxn: the library's.

The layouts are those of Kafka's message definitions (``clients/src/main/resources/common/message``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any, ClassVar

from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Int64,
    Schema,
    TaggedFields,
)

from headrace.kafka.model import GroupMember, Partition, Position

_NO_TAGS: dict[int, bytes] = {}
_NO_EPOCH = -1
_TAGS = ("tags", TaggedFields)
_TEXT = CompactString("utf-8")
_PARTITION_ERRORS = CompactArray(
    ("name", _TEXT),
    ("partitions", CompactArray(("partition_index", Int32), ("error_code", Int16), _TAGS)),
    _TAGS,
)


class InitProducerIdResponse3(Response):  # type: ignore[misc]
    """The producer's id and epoch."""

    API_KEY = 22
    API_VERSION = 3
    SCHEMA = Schema(
        ("throttle_time_ms", Int32), ("error_code", Int16), ("producer_id", Int64), ("producer_epoch", Int16), _TAGS
    )


class InitProducerIdRequest3(RequestStruct):  # type: ignore[misc]
    """Ask for an id, or, with id and epoch given, for the next epoch."""

    FLEXIBLE_VERSION = True
    API_KEY = 22
    API_VERSION = 3
    RESPONSE_TYPE = InitProducerIdResponse3
    SCHEMA = Schema(
        ("transactional_id", _TEXT),
        ("transaction_timeout_ms", Int32),
        ("producer_id", Int64),
        ("producer_epoch", Int16),
        _TAGS,
    )


class InitProducerId(Request[InitProducerIdRequest3]):  # type: ignore[misc]
    """Take a transactional id: its open transaction is aborted and its former owner fenced.

    With the owner's own id and epoch it is the owner who goes on, in a new epoch, unless another took over.
    """

    API_KEY = 22

    def __init__(self, transactional_id: str | None, timeout_ms: int, *, owner: tuple[int, int] = (-1, -1)) -> None:
        self._fields = (transactional_id, timeout_ms, *owner, _NO_TAGS)

    def build(self, request_struct_class: Any) -> Any:
        """Return the wire form."""
        return request_struct_class(*self._fields)


class TxnOffsetCommitResponse3(Response):  # type: ignore[misc]
    """An error code for each partition."""

    API_KEY = 28
    API_VERSION = 3
    SCHEMA = Schema(("throttle_time_ms", Int32), ("topics", _PARTITION_ERRORS), _TAGS)


class TxnOffsetCommitRequest3(RequestStruct):  # type: ignore[misc]
    """Offsets of a member of a generation, as a part of a transaction."""

    FLEXIBLE_VERSION = True
    API_KEY = 28
    API_VERSION = 3
    RESPONSE_TYPE = TxnOffsetCommitResponse3
    SCHEMA = Schema(
        ("transactional_id", _TEXT),
        ("group_id", _TEXT),
        ("producer_id", Int64),
        ("producer_epoch", Int16),
        ("generation_id", Int32),
        ("member_id", _TEXT),
        ("group_instance_id", _TEXT),
        (
            "topics",
            CompactArray(
                ("name", _TEXT),
                (
                    "partitions",
                    CompactArray(
                        ("partition_index", Int32),
                        ("committed_offset", Int64),
                        ("committed_leader_epoch", Int32),
                        ("committed_metadata", _TEXT),
                        _TAGS,
                    ),
                ),
                _TAGS,
            ),
        ),
        _TAGS,
    )


class TxnOffsetCommit(Request[TxnOffsetCommitRequest3]):  # type: ignore[misc]
    """Put offsets into a transaction."""

    API_KEY = 28

    def __init__(
        self, transactional_id: str, owner: tuple[int, int], member: GroupMember, offsets: Mapping[Partition, Position]
    ) -> None:
        topics = [
            (
                topic,
                [(p.partition, offsets[p].offset, _NO_EPOCH, offsets[p].metadata, _NO_TAGS) for p in found],
                _NO_TAGS,
            )
            for topic, found in by_topic(offsets)
        ]
        who = (member.generation, member.member_id, member.instance_id)
        self._fields = (transactional_id, member.group, *owner, *who, topics, _NO_TAGS)

    def build(self, request_struct_class: Any) -> Any:
        """Return the wire form."""
        return request_struct_class(*self._fields)


class OffsetFetchResponse7(Response):  # type: ignore[misc]
    """An offset, or an error code, for each partition."""

    API_KEY = 9
    API_VERSION = 7
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "topics",
            CompactArray(
                ("name", _TEXT),
                (
                    "partitions",
                    CompactArray(
                        ("partition_index", Int32),
                        ("committed_offset", Int64),
                        ("committed_leader_epoch", Int32),
                        ("metadata", _TEXT),
                        ("error_code", Int16),
                        _TAGS,
                    ),
                ),
                _TAGS,
            ),
        ),
        ("error_code", Int16),
        _TAGS,
    )


class OffsetFetchRequest7(RequestStruct):  # type: ignore[misc]
    """Ask for a group's offsets; with ``require_stable``, only for those that no open transaction can change."""

    FLEXIBLE_VERSION = True
    API_KEY = 9
    API_VERSION = 7
    RESPONSE_TYPE = OffsetFetchResponse7
    SCHEMA = Schema(
        ("group_id", _TEXT),
        ("topics", CompactArray(("name", _TEXT), ("partition_indexes", CompactArray(Int32)), _TAGS)),
        ("require_stable", Boolean),
        _TAGS,
    )


class OffsetFetch(Request[OffsetFetchRequest7]):  # type: ignore[misc]
    """Read a group's offsets, none of which an open transaction can still change."""

    API_KEY = 9
    REQUIRE_STABLE: ClassVar[bool] = True

    def __init__(self, group: str, partitions: Iterable[Partition]) -> None:
        topics = [(topic, [p.partition for p in found], _NO_TAGS) for topic, found in by_topic(partitions)]
        self._fields = (group, topics, self.REQUIRE_STABLE, _NO_TAGS)

    def build(self, request_struct_class: Any) -> Any:
        """Return the wire form."""
        return request_struct_class(*self._fields)


def by_topic(partitions: Iterable[Partition]) -> list[tuple[str, list[Partition]]]:
    """Return the partitions grouped by topic, both in order.

    >>> by_topic([Partition("b", 1), Partition("a", 0), Partition("b", 0)])[1]
    ('b', [Partition(topic='b', partition=0), Partition(topic='b', partition=1)])
    """
    ordered = sorted(Partition(*partition) for partition in partitions)
    return [(topic, list(found)) for topic, found in groupby(ordered, key=lambda partition: partition.topic)]


class ListTransactionsResponse0(Response):  # type: ignore[misc]
    """The transactions that one broker coordinates."""

    API_KEY = 66
    API_VERSION = 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("error_code", Int16),
        ("unknown_state_filters", CompactArray(_TEXT)),
        (
            "transaction_states",
            CompactArray(("transactional_id", _TEXT), ("producer_id", Int64), ("transaction_state", _TEXT), _TAGS),
        ),
        _TAGS,
    )


class ListTransactionsRequest0(RequestStruct):  # type: ignore[misc]
    """Ask a broker for the transactions in some states."""

    FLEXIBLE_VERSION = True
    API_KEY = 66
    API_VERSION = 0
    RESPONSE_TYPE = ListTransactionsResponse0
    SCHEMA = Schema(
        ("state_filters", CompactArray(_TEXT)),
        ("producer_id_filters", CompactArray(Int64)),
        _TAGS,
    )


class ListTransactions(Request[ListTransactionsRequest0]):  # type: ignore[misc]
    """Ask a broker for its transactions that are open or being ended."""

    API_KEY = 66

    def build(self, request_struct_class: Any) -> Any:
        """Return the wire form."""
        return request_struct_class(["Ongoing", "PrepareCommit", "PrepareAbort"], [], _NO_TAGS)


_NODES = CompactArray(Int32)
_TOPIC_ID = (("topic_id_high", Int64), ("topic_id_low", Int64))


class MetadataResponse10(Response):  # type: ignore[misc]
    """Brokers, and the topics that were asked for."""

    API_KEY = 3
    API_VERSION = 10
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("brokers", CompactArray(("node_id", Int32), ("host", _TEXT), ("port", Int32), ("rack", _TEXT), _TAGS)),
        ("cluster_id", _TEXT),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("name", _TEXT),
                *_TOPIC_ID,
                ("is_internal", Boolean),
                (
                    "partitions",
                    CompactArray(
                        ("error_code", Int16),
                        ("partition_index", Int32),
                        ("leader_id", Int32),
                        ("leader_epoch", Int32),
                        ("replica_nodes", _NODES),
                        ("isr_nodes", _NODES),
                        ("offline_replicas", _NODES),
                        _TAGS,
                    ),
                ),
                ("topic_authorized_operations", Int32),
                _TAGS,
            ),
        ),
        ("cluster_authorized_operations", Int32),
        _TAGS,
    )


class MetadataRequest10(RequestStruct):  # type: ignore[misc]
    """Ask for topics by name."""

    FLEXIBLE_VERSION = True
    API_KEY = 3
    API_VERSION = 10
    RESPONSE_TYPE = MetadataResponse10
    SCHEMA = Schema(
        ("topics", CompactArray(*_TOPIC_ID, ("name", _TEXT), _TAGS)),
        ("allow_auto_topic_creation", Boolean),
        ("include_cluster_authorized_operations", Boolean),
        ("include_topic_authorized_operations", Boolean),
        _TAGS,
    )


class TopicIds(Request[MetadataRequest10]):  # type: ignore[misc]
    """Ask for the ids of topics; none is created."""

    API_KEY = 3

    def __init__(self, topics: Iterable[str]) -> None:
        self._fields = ([(0, 0, topic, _NO_TAGS) for topic in topics], False, False, False, _NO_TAGS)

    def build(self, request_struct_class: Any) -> Any:
        """Return the wire form."""
        return request_struct_class(*self._fields)

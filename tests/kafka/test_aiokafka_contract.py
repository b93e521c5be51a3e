"""What Headrace uses of the client library's private parts: a new version that changes one fails here, by name."""

from __future__ import annotations

import hashlib
import inspect

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.client import AIOKafkaClient, ConnectionGroup
from aiokafka.consumer import consumer as consumer_module
from aiokafka.consumer import fetcher
from aiokafka.consumer.group_coordinator import GroupCoordinator, NoGroupCoordinator
from aiokafka.consumer.subscription_state import SubscriptionState, TopicPartitionState
from aiokafka.protocol.coordination import FindCoordinatorRequest
from aiokafka.protocol.offset import OffsetRequest
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.protocol.transaction import AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, EndTxnRequest
from aiokafka.record.control_record import ABORT_MARKER
from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder
from aiokafka.structs import TopicPartition

from headrace.kafka.model import Partition
from headrace.kafka.protocol import InitProducerId, OffsetFetch, TxnOffsetCommit


def parameters(function: object) -> list[str]:
    return list(inspect.signature(function).parameters)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("owner", "names"),
    [
        (
            fetcher.PartitionRecords,
            "_tp _records _aborted_producers _check_crcs _isolation_level next_fetch_offset "
            "_consume_aborted_up_to _contains_abort_marker",
        ),
        (
            fetcher.FetchResult,
            "_topic_partition _partition_records _assignment _update_position check_assignment has_more",
        ),
        (fetcher.FetchError, "check_raise calculate_backoff"),
        (
            fetcher.Fetcher,
            "_records _fetch_waiters _subscriptions _wait_consume_future _closed _create_fetch_waiter _notify",
        ),
        (AIOKafkaConsumer, "_fetcher _coordinator _subscription _group_id _group_instance_id _closed"),
        (SubscriptionState, "reassignment_in_progress wait_for_assignment is_assigned fetch_context"),
        (TopicPartitionState, "paused position"),
        (GroupCoordinator, "generation member_id check_errors"),
        (NoGroupCoordinator, "check_errors"),
    ],
)  # fmt: skip
def test_the_parts_of_the_consumer_have_their_names(owner: type, names: str) -> None:
    source = inspect.getsource(owner)
    missing = [name for name in names.split() if not hasattr(owner, name) and f"self.{name} " not in source]
    assert missing == []


def test_records_are_unpacked_as_our_reader_assumes() -> None:
    # The reader stands in for this generator. When its text changes, compare the two, then update the digest.
    source = inspect.getsource(fetcher.PartitionRecords._unpack_records)
    source += inspect.getsource(fetcher.PartitionRecords._consume_aborted_up_to)
    source += inspect.getsource(fetcher.PartitionRecords._contains_abort_marker)
    assert hashlib.sha256(source.encode()).hexdigest()[:16] == "39d0047672948284"


def test_fetched_records_are_waited_for_as_our_fetch_assumes() -> None:
    source = inspect.getsource(fetcher.Fetcher.fetched_records) + inspect.getsource(fetcher.FetchResult)
    source += inspect.getsource(consumer_module.AIOKafkaConsumer.getmany)
    assert hashlib.sha256(source.encode()).hexdigest()[:16] == "654781121331a4e5"


def test_the_consumer_takes_its_parts_apart_in_the_expected_way() -> None:
    assert fetcher.READ_COMMITTED == 1
    assert (ABORT_MARKER.version, ABORT_MARKER.type_) == (0, 0)
    assert parameters(fetcher.FetchError.__init__) == ["self", "error", "backoff"]
    assert parameters(fetcher.FetchResult.check_assignment) == ["self", "tp"]
    assert Partition("t", 1) == TopicPartition("t", 1)
    assert hash(Partition("t", 1)) == hash(TopicPartition("t", 1))


def test_the_client_is_called_as_it_expects() -> None:
    assert parameters(AIOKafkaClient.send) == ["self", "node_id", "request", "group"]
    assert ConnectionGroup.COORDINATION == 1
    for name in ("bootstrap", "close", "add_topic", "force_metadata_update", "get_random_node"):
        assert callable(getattr(AIOKafkaClient, name))


@pytest.mark.parametrize(
    ("request_type", "expected"),
    [
        (ProduceRequest, ["self", "transactional_id", "required_acks", "timeout", "topics"]),
        (OffsetRequest, ["self", "replica_id", "isolation_level", "topics"]),
        (AddPartitionsToTxnRequest, ["self", "transactional_id", "producer_id", "producer_epoch", "topics"]),
        (AddOffsetsToTxnRequest, ["self", "transactional_id", "producer_id", "producer_epoch", "group_id"]),
        (EndTxnRequest, ["self", "transactional_id", "producer_id", "producer_epoch", "transaction_result"]),
        (FindCoordinatorRequest, ["self", "coordinator_key", "coordinator_type"]),
    ],
)
def test_the_librarys_requests_have_their_fields(request_type: type, expected: list[str]) -> None:
    assert parameters(request_type.__init__) == expected


@pytest.mark.parametrize(("request_type", "version"), [(InitProducerId, 3), (TxnOffsetCommit, 3), (OffsetFetch, 7)])
def test_our_requests_are_registered_in_their_only_version(request_type: type, version: int) -> None:
    assert [made.API_VERSION for made in request_type._CLASSES] == [version]


def test_the_response_layouts_are_those_that_are_read() -> None:
    produce = ProduceRequest(None, -1, 1, []).prepare({0: (3, 99)})
    assert produce.API_VERSION == 7
    layout = produce.RESPONSE_TYPE.SCHEMA.fields[0].array_of
    assert layout.names == ("topic", "partitions")
    assert layout.fields[1].array_of.names[:2] == ("partition", "error_code")
    offsets = OffsetRequest(-1, 1, []).prepare({2: (1, 99)})
    assert offsets.RESPONSE_TYPE.SCHEMA.fields[1].array_of.fields[1].array_of.names == (
        "partition",
        "error_code",
        "timestamp",
        "offset",
    )


def test_batches_are_built_and_read_by_the_compiled_classes() -> None:
    assert "_crecords" in DefaultRecordBatchBuilder.__module__
    assert "_crecords" in DefaultRecordBatch.__module__
    builder = DefaultRecordBatchBuilder(2, 0, 1, -1, -1, -1, 100)
    assert builder.append(0, 5, b"k", b"v" * 60, []) is not None
    assert builder.append(1, 5, b"k", b"v" * 60, []) is None, "a full builder says so by None"
    builder.set_producer_state(7, 8, 9)
    batch = DefaultRecordBatch(bytes(builder.build()))
    assert (batch.producer_id, batch.producer_epoch, batch.base_sequence) == (7, 8, 9)
    assert (batch.base_offset, batch.next_offset, batch.is_transactional, batch.is_control_batch) == (0, 1, True, False)
    assert batch.validate_crc()
    (record,) = batch
    assert (record.offset, record.timestamp, record.key, record.value, record.headers) == (0, 5, b"k", b"v" * 60, [])

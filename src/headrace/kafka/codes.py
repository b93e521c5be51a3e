"""The protocol's error codes that Headrace reacts to, and what each means for a request.

The client library's own list ends before KIP-447 and KIP-890, and maps what it does not know to one "unknown".
"""

from __future__ import annotations

from enum import IntEnum

from headrace.kafka.errors import BrokerError, FencedError, NotAuthorizedError, RefusedError


class Code(IntEnum):
    """Error codes by the names that Kafka's documentation gives them."""

    NONE = 0
    OFFSET_OUT_OF_RANGE = 1
    CORRUPT_MESSAGE = 2
    UNKNOWN_TOPIC_OR_PARTITION = 3
    LEADER_NOT_AVAILABLE = 5
    NOT_LEADER_OR_FOLLOWER = 6
    REQUEST_TIMED_OUT = 7
    BROKER_NOT_AVAILABLE = 8
    REPLICA_NOT_AVAILABLE = 9
    MESSAGE_TOO_LARGE = 10
    NETWORK_EXCEPTION = 13
    COORDINATOR_LOAD_IN_PROGRESS = 14
    COORDINATOR_NOT_AVAILABLE = 15
    NOT_COORDINATOR = 16
    INVALID_TOPIC = 17
    RECORD_LIST_TOO_LARGE = 18
    NOT_ENOUGH_REPLICAS = 19
    NOT_ENOUGH_REPLICAS_AFTER_APPEND = 20
    ILLEGAL_GENERATION = 22
    UNKNOWN_MEMBER_ID = 25
    REBALANCE_IN_PROGRESS = 27
    TOPIC_AUTHORIZATION_FAILED = 29
    GROUP_AUTHORIZATION_FAILED = 30
    CLUSTER_AUTHORIZATION_FAILED = 31
    INVALID_TIMESTAMP = 32
    TOPIC_ALREADY_EXISTS = 36
    NOT_CONTROLLER = 41
    OUT_OF_ORDER_SEQUENCE_NUMBER = 45
    DUPLICATE_SEQUENCE_NUMBER = 46
    INVALID_PRODUCER_EPOCH = 47
    INVALID_TXN_STATE = 48
    INVALID_PRODUCER_ID_MAPPING = 49
    INVALID_TRANSACTION_TIMEOUT = 50
    CONCURRENT_TRANSACTIONS = 51
    TRANSACTION_COORDINATOR_FENCED = 52
    TRANSACTIONAL_ID_AUTHORIZATION_FAILED = 53
    OPERATION_NOT_ATTEMPTED = 55
    KAFKA_STORAGE_ERROR = 56
    UNKNOWN_PRODUCER_ID = 59
    FENCED_LEADER_EPOCH = 74
    UNKNOWN_LEADER_EPOCH = 75
    OFFSET_NOT_AVAILABLE = 78
    FENCED_INSTANCE_ID = 82
    INVALID_RECORD = 87
    UNSTABLE_OFFSET_COMMIT = 88
    PRODUCER_FENCED = 90
    TRANSACTION_ABORTABLE = 120


COORDINATOR_MOVED = frozenset({Code.COORDINATOR_NOT_AVAILABLE, Code.NOT_COORDINATOR})
"""Find the coordinator again."""

COORDINATOR_BUSY = frozenset(
    {Code.COORDINATOR_LOAD_IN_PROGRESS, Code.CONCURRENT_TRANSACTIONS, Code.REQUEST_TIMED_OUT, Code.NETWORK_EXCEPTION}
)
"""Ask the same coordinator again a little later."""

LEADER_TROUBLE = frozenset(
    {
        Code.UNKNOWN_TOPIC_OR_PARTITION,  # also what a broker says that has not heard of a new topic yet
        Code.LEADER_NOT_AVAILABLE,
        Code.NOT_LEADER_OR_FOLLOWER,
        Code.REQUEST_TIMED_OUT,
        Code.BROKER_NOT_AVAILABLE,
        Code.REPLICA_NOT_AVAILABLE,
        Code.NETWORK_EXCEPTION,
        Code.NOT_ENOUGH_REPLICAS,
        Code.NOT_ENOUGH_REPLICAS_AFTER_APPEND,
        Code.KAFKA_STORAGE_ERROR,
        Code.FENCED_LEADER_EPOCH,
        Code.UNKNOWN_LEADER_EPOCH,
        Code.OFFSET_NOT_AVAILABLE,
        # A broker that asks the transaction's coordinator before it appends passes its answers on.
        Code.CONCURRENT_TRANSACTIONS,
        Code.COORDINATOR_LOAD_IN_PROGRESS,
        Code.COORDINATOR_NOT_AVAILABLE,
        Code.NOT_COORDINATOR,
    }
)
"""Refresh the metadata and send again to the leader of then."""

FENCED = frozenset({Code.INVALID_PRODUCER_EPOCH, Code.PRODUCER_FENCED})
STALE_MEMBER = frozenset({Code.ILLEGAL_GENERATION, Code.UNKNOWN_MEMBER_ID, Code.FENCED_INSTANCE_ID})

_NOT_AUTHORIZED = frozenset(
    {
        Code.TOPIC_AUTHORIZATION_FAILED,
        Code.GROUP_AUTHORIZATION_FAILED,
        Code.CLUSTER_AUTHORIZATION_FAILED,
        Code.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
    }
)
_REFUSED = frozenset(
    {
        Code.MESSAGE_TOO_LARGE,
        Code.RECORD_LIST_TOO_LARGE,
        Code.CORRUPT_MESSAGE,
        Code.INVALID_TIMESTAMP,
        Code.INVALID_RECORD,
        Code.INVALID_TOPIC,
    }
)
_REMEDIES = {
    Code.MESSAGE_TOO_LARGE: "A record or batch is larger than the topic's max.message.bytes: raise that, "
    "lower the size of batches, or make the record smaller",
    Code.INVALID_TRANSACTION_TIMEOUT: "Lower the transaction timeout, or raise the broker's transaction.max.timeout.ms",
    Code.INVALID_RECORD: "A compacted topic takes no record without a key",
    Code.INVALID_TXN_STATE: "The transaction ended without this producer: it was open longer than its timeout",
}


def name_of(code: int) -> str:
    """Return the code's name, for messages.

    >>> name_of(47), name_of(9999)
    ('INVALID_PRODUCER_EPOCH', 'error code 9999')
    """
    try:
        return Code(code).name
    except ValueError:
        return f"error code {code}"


def error_for(code: int, action: str) -> BrokerError:
    """Return the error to raise when ``action`` ended with ``code`` and trying again does not help."""
    remedy = next((f". {text}" for known, text in _REMEDIES.items() if known == code), "")
    message = f"{action}: {name_of(code)}{remedy}"
    if code in FENCED:
        return FencedError(f"{message}. Another producer took over", code=code)
    if code in _NOT_AUTHORIZED:
        return NotAuthorizedError(message, code=code)
    if code in _REFUSED:
        return RefusedError(message, code=code)
    return BrokerError(message, code=code)

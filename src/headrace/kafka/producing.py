"""Transactions: outputs and input positions of a task, committed together or not at all.

Written on the protocol rather than around ``AIOKafkaProducer``, which makes a future per record, speaks
TxnOffsetCommit 0 only (any zombie's offsets are taken), logs some failures of a transaction and goes on after others.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from aiokafka.protocol.transaction import AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, EndTxnRequest

from headrace.errors import InternalError
from headrace.kafka.client import Client, Patience
from headrace.kafka.codes import FENCED, STALE_MEMBER, Code, error_for, name_of
from headrace.kafka.coordination import Coordinator, Kind, one_code, partition_codes, take_producer_id
from headrace.kafka.delivery import Delivery, Limits, Producer, worst
from headrace.kafka.errors import (
    BrokerError,
    CommitFailedError,
    CommitUnknownError,
    FencedError,
    StaleMemberError,
    UnreachableError,
)
from headrace.kafka.limits import TopicLimits
from headrace.kafka.model import Columns, GroupMember, Partition, Position
from headrace.kafka.protocol import InitProducerId, TxnOffsetCommit, by_topic
from headrace.kafka.record_batches import Compression, build


class State(Enum):
    """Where a producer is.

    ========  ===================================================================================
    state     goes to
    ========  ===================================================================================
    NEW       READY by start
    READY     OPEN by begin; READY by start
    OPEN      READY by commit or abort; FAILED when a batch or the commit fails
    FAILED    READY by abort or start
    UNKNOWN   READY by start; reached when a commit or an abort gets no answer
    FENCED    nothing: another producer owns the id; reached from every state that asks a broker
    CLOSED    nothing
    ========  ===================================================================================
    """

    NEW = "not started"
    READY = "ready"
    OPEN = "in a transaction"
    FAILED = "in a failed transaction"
    UNKNOWN = "in doubt about its last transaction"
    FENCED = "fenced"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class ProducerOptions:
    """How a producer writes. Sizes are in bytes, before compression."""

    compression: str = "none"
    """none, gzip, snappy, lz4 or zstd."""
    transaction_timeout_ms: int = 60_000
    """How long a transaction may be open before the broker aborts it and fences the producer."""
    timeout_ms: int = 30_000
    """How long each step is tried: start, delivery of a batch, commit, abort."""
    batch_bytes: int = 1_000_000
    """Largest record batch; below a topic's max.message.bytes, which is 1,048,588 unless set."""
    limits: TopicLimits | None = None
    """What topics take: batches are kept below that."""
    request_bytes: int = 8_000_000
    """Largest request."""
    buffer_bytes: int = 32_000_000
    """How much may wait for delivery before :meth:`TransactionalProducer.room` waits."""

    def batch_bytes_of(self, topic: str) -> int:
        """Return the size of batches for a topic: what does not shrink when it is compressed fits too."""
        limit = None if self.limits is None else self.limits.known.get(topic)
        return self.batch_bytes if limit is None else min(self.batch_bytes, limit - limit // 32)


class TransactionalProducer:
    """Writes in transactions, under one transactional id.

    :meth:`append` does not wait: batches are sent in the background, in order for each partition. Every failure is
    raised, at the latest by :meth:`commit`. The client may be shared: closing it is the caller's part.
    """

    def __init__(self, client: Client, transactional_id: str, options: ProducerOptions | None = None) -> None:
        self._client = client
        self._id = transactional_id
        self._options = options or ProducerOptions()
        self._compression = Compression.of(self._options.compression)
        limits = Limits(self._options.timeout_ms, self._options.request_bytes)
        self._delivery = Delivery(client, transactional_id, limits, self._add_partitions)
        self._coordinator = Coordinator(client, Kind.TRANSACTION, transactional_id)
        self._groups: dict[str, Coordinator] = {}
        # The coordinator takes one change of a transaction at a time, and answers others with "concurrent".
        self._one_at_a_time = asyncio.Lock()
        self._registered = False
        self.state = State.NEW

    @property
    def transactional_id(self) -> str:
        """Return the id under which this producer writes."""
        return self._id

    @property
    def buffered_bytes(self) -> int:
        """Return the bytes that wait for delivery, before compression."""
        return self._delivery.buffered_bytes

    @property
    def ends(self) -> Mapping[Partition, int]:
        """Return the offset behind the last record that was written to each partition, committed or not."""
        return self._delivery.ends

    async def start(self) -> None:
        """Take the transactional id: its former owner is fenced, and a transaction that it left open is aborted.

        Raises:
            UnreachableError: no coordinator answers in time.
            BrokerError: it refuses.
        """
        self._require(State.NEW, State.READY, State.FAILED, State.UNKNOWN)
        await self._delivery.stop()
        await self._become(InitProducerId(self._id, self._options.transaction_timeout_ms))

    def begin(self) -> None:
        """Open a transaction. The broker hears of it with the first batch or offset."""
        self._require(State.READY)
        self._registered = False
        self._delivery.reset()
        self.state = State.OPEN

    def append(self, topic: str, partition: int, columns: Columns) -> None:
        """Queue records for a partition, in order; the broker has them when :meth:`flush` or :meth:`commit` returns.

        Does not wait; see :meth:`room`. Works through the records once, about a microsecond each.

        Raises:
            TooLargeError: see :meth:`headrace.kafka.limits.TopicLimits.check`. Abort.
            BrokerError: something queued before could not be delivered. Abort.
        """
        self._require(State.OPEN)
        self._raise_failed_delivery()
        batches = build(columns, self._compression, self._options.batch_bytes_of(topic), transactional=True)
        if self._options.limits is not None:
            self._options.limits.check(topic, batches)
        self._delivery.add(Partition(topic, partition), batches)

    async def room(self) -> None:
        """Wait until less than ``buffer_bytes`` wait for delivery.

        Raises:
            BrokerError: something could not be delivered. Abort.
        """
        await self._delivery.below(self._options.buffer_bytes)
        self._raise_failed_delivery()

    async def flush(self) -> None:
        """Wait until everything appended is acknowledged by all in-sync replicas.

        Raises:
            BrokerError: something could not be delivered. Abort.
        """
        self._require(State.OPEN)
        try:
            await self._delivery.flush()
        except BrokerError as error:
            self._failed(error)
            raise

    async def commit(self, offsets: Mapping[Partition, Position], member: GroupMember) -> None:
        """Commit what was appended, together with the positions of a group; both may be empty.

        Raises:
            FencedError: another producer has the transactional id. Nothing was committed.
            StaleMemberError: the group has moved on. Nothing was committed; abort.
            CommitFailedError: nothing was committed; abort. The cause says why.
            CommitUnknownError: the broker was asked to commit and did not answer. Start the producer again.
        """
        self._require(State.OPEN)
        steps = [self._delivery.flush()]
        if offsets:
            steps.append(self._send_offsets(offsets, member))
        self.state = State.FAILED  # an interruption from here on leaves a transaction that must be aborted
        done = await asyncio.gather(*steps, return_exceptions=True)
        error = worst(result for result in done if isinstance(result, BaseException))
        if error is not None:
            self._failed(error)
            if isinstance(error, FencedError | CommitFailedError) or not isinstance(error, BrokerError):
                raise error
            message = f"transaction of {self._id!r} is not committed: {error}"
            raise CommitFailedError(message, code=error.code) from error
        await self._end(commit=True)

    async def abort(self) -> None:
        """Take back what was appended since :meth:`begin`. Allowed after any failure but fencing.

        What was not sent yet is dropped. If the fate of a batch is unknown, the producer goes on in a new epoch, so
        that a late copy of the batch is refused.

        Raises:
            FencedError: another producer has the transactional id, and has aborted this transaction.
            CommitUnknownError: the broker did not answer. Start the producer again.
        """
        self._require(State.OPEN, State.FAILED)
        self.state = State.FAILED
        await self._delivery.stop()
        await self._end(commit=False)
        if self._delivery.doubtful:
            owner = (self._delivery.producer.id, self._delivery.producer.epoch)
            self.state = State.UNKNOWN
            await self._become(InitProducerId(self._id, self._options.transaction_timeout_ms, owner=owner))

    async def recover(self) -> None:
        """Be ready for a new transaction, whatever has happened: abort what is open, or take the id anew.

        Raises:
            UnreachableError: no coordinator answers in time.
            BrokerError: it refuses.
        """
        if self.state in {State.OPEN, State.FAILED}:
            with contextlib.suppress(FencedError, CommitUnknownError):
                await self.abort()
        if self.state is State.FENCED:
            self.state = State.UNKNOWN
        if self.state is not State.READY:
            await self.start()

    async def close(self) -> None:
        """Stop sending. An open transaction stays open until it times out or its id is taken: abort it before."""
        if self.state is not State.FENCED:
            self.state = State.CLOSED
        await self._delivery.stop()

    async def _become(self, request: InitProducerId) -> None:
        patience = self._patience("starting")
        try:
            identity = await take_producer_id(self._coordinator, self._client, request, patience)
        except FencedError:
            self.state = State.FENCED
            raise
        self._delivery.reset(Producer(*identity))
        self.state = State.READY

    async def _add_partitions(self, partitions: set[Partition]) -> None:
        topics = [(topic, [p.partition for p in found]) for topic, found in by_topic(partitions)]
        request = AddPartitionsToTxnRequest(self._id, *self._identity(), topics)
        patience = self._patience("adding partitions to the transaction")
        again = frozenset({Code.UNKNOWN_TOPIC_OR_PARTITION})
        async with self._one_at_a_time:
            self._registered = True
            response = await self._coordinator.call(
                request, lambda answer: partition_codes(answer.errors), patience, busy=again
            )
        # The partition that is at fault has another code than those that were then not looked at.
        codes = [code for code in partition_codes(response.errors) if code != Code.NONE]
        for code in sorted(codes, key=lambda code: code == Code.OPERATION_NOT_ATTEMPTED):
            raise error_for(code, patience.action)

    async def _send_offsets(self, offsets: Mapping[Partition, Position], member: GroupMember) -> None:
        patience = self._patience(f"adding offsets of group {member.group!r} to the transaction")
        request = AddOffsetsToTxnRequest(self._id, *self._identity(), member.group)
        async with self._one_at_a_time:
            self._registered = True
            response = await self._coordinator.call(request, one_code, patience)
        if response.error_code != Code.NONE:
            raise error_for(response.error_code, patience.action)
        group = self._groups.setdefault(member.group, Coordinator(self._client, Kind.GROUP, member.group))
        again = frozenset({Code.UNKNOWN_TOPIC_OR_PARTITION})
        response = await group.call(
            TxnOffsetCommit(self._id, self._identity(), member, offsets),
            lambda answer: partition_codes(answer.topics),
            patience,
            busy=again,
        )
        for code in partition_codes(response.topics):
            if code in STALE_MEMBER:
                message = (
                    f"group {member.group!r} does not take offsets of member {member.member_id!r} of generation "
                    f"{member.generation}: {name_of(code)}. The group has rebalanced: its partitions are others' now"
                )
                raise StaleMemberError(message, code=code)
            if code != Code.NONE:
                raise error_for(code, patience.action)

    async def _end(self, *, commit: bool) -> None:
        if not self._registered:
            self.state = State.READY
            return  # the broker knows of no transaction, and would refuse to end one
        patience = self._patience("committing" if commit else "aborting")
        request = EndTxnRequest(self._id, *self._identity(), commit)
        self.state = State.UNKNOWN
        try:
            response = await self._coordinator.call(request, one_code, patience)
        except UnreachableError as error:
            message = f"{error}. The broker may or may not have done it: start the producer again"
            raise CommitUnknownError(message) from error
        code = response.error_code
        if code == Code.NONE:
            self.state = State.READY
            return
        refusal = error_for(code, f"{patience.action} a transaction of {self._id!r}")
        if code in FENCED:
            self.state = State.FENCED
            raise refusal
        if commit:
            self.state = State.FAILED
            raise CommitFailedError(str(refusal), code=code) from refusal
        if code == Code.INVALID_TXN_STATE:
            # The broker has no open transaction: none of what registers one has reached it, or not yet. A new epoch
            # makes sure that nothing does later.
            self._delivery.doubtful = True
            return
        raise CommitUnknownError(str(refusal), code=code) from refusal

    def _failed(self, error: BaseException) -> None:
        self.state = State.FENCED if isinstance(error, FencedError) else State.FAILED

    def _raise_failed_delivery(self) -> None:
        error = self._delivery.error
        if error is not None:
            self._failed(error)
            raise error

    def _identity(self) -> tuple[int, int]:
        return self._delivery.producer.id, self._delivery.producer.epoch

    def _patience(self, action: str) -> Patience:
        return Patience(f"{action} (transactional id {self._id!r})", self._options.timeout_ms)

    def _require(self, *states: State) -> None:
        if self.state in states:
            return
        if self.state is State.FENCED:
            message = f"the producer of {self._id!r} is fenced: another one owns the id now"
            raise FencedError(message)
        if self.state is State.UNKNOWN:
            message = f"the producer of {self._id!r} is in doubt about its last transaction: start it again"
            raise CommitUnknownError(message)
        expected = " or ".join(state.value for state in states)
        message = f"the producer of {self._id!r} is {self.state.value}, expected {expected}"
        raise InternalError(message)


async def fence(client: Client, transactional_id: str, *, timeout_ms: int = 30_000) -> None:
    """Abort the open transaction of a transactional id, if there is one, and fence its producer.

    Raises:
        UnreachableError: no coordinator answers, or the abort is not done, in time.
    """
    coordinator = Coordinator(client, Kind.TRANSACTION, transactional_id)
    patience = Patience(f"fencing {transactional_id!r}", timeout_ms)
    # The id's next owner sets the timeout that counts; this one only has to be legal.
    await take_producer_id(coordinator, client, InitProducerId(transactional_id, 60_000), patience)

"""Writing without transactions, for ``at_least_once``: in order, and without duplicates of this producer's making."""

from __future__ import annotations

from collections.abc import Mapping

from headrace.errors import InternalError
from headrace.kafka.client import Client, Patience
from headrace.kafka.coordination import take_producer_id
from headrace.kafka.delivery import Delivery, Limits, Producer
from headrace.kafka.model import Columns, Partition
from headrace.kafka.producing import ProducerOptions
from headrace.kafka.protocol import InitProducerId
from headrace.kafka.record_batches import Compression, build


class IdempotentProducer:
    """Writes batches as they are made, acknowledged by all in-sync replicas.

    A broker that fails or answers late causes neither loss nor duplicates nor another order. After an error what was
    not acknowledged may or may not be there: :meth:`start` again, and go back to the last committed position. The
    client may be shared: closing it is the caller's part.

    One limit: a broker that restarts forgets producers whose newest record has a time more than a day ago
    (``producer.id.expiration.ms`` goes by the record's time). Where old events are written, the batch that was on its
    way at the restart may be there twice. Transactions are not affected: an open one is not forgotten.
    """

    def __init__(self, client: Client, options: ProducerOptions | None = None) -> None:
        self._client = client
        self._options = options or ProducerOptions()
        self._compression = Compression.of(self._options.compression)
        self._delivery = Delivery(client, None, Limits(self._options.timeout_ms, self._options.request_bytes))
        self._started = False

    @property
    def buffered_bytes(self) -> int:
        """Return the bytes that wait for delivery, before compression."""
        return self._delivery.buffered_bytes

    @property
    def ends(self) -> Mapping[Partition, int]:
        """Return the offset behind the last record that was written to each partition."""
        return self._delivery.ends

    async def start(self) -> None:
        """Get an identity from any broker; what an earlier failure left undelivered is forgotten.

        Raises:
            UnreachableError: no broker answers in time.
        """
        await self._delivery.stop()
        patience = Patience("starting a producer", self._options.timeout_ms)
        # The timeout is for transactions, of which there are none.
        identity = await take_producer_id(None, self._client, InitProducerId(None, 0), patience)
        self._delivery.reset(Producer(*identity))
        self._started = True

    def append(self, topic: str, partition: int, columns: Columns) -> None:
        """Queue records for a partition, in order. Does not wait; see :meth:`room` and :meth:`flush`.

        Raises:
            TooLargeError: see :meth:`headrace.kafka.limits.TopicLimits.check`.
            BrokerError: something queued before could not be delivered.
        """
        if not self._started:
            message = "the producer is not started"
            raise InternalError(message)
        self._raise_failed()
        batches = build(columns, self._compression, self._options.batch_bytes_of(topic), transactional=False)
        if self._options.limits is not None:
            self._options.limits.check(topic, batches)
        self._delivery.add(Partition(topic, partition), batches)

    async def room(self) -> None:
        """Wait until less than ``buffer_bytes`` wait for delivery.

        Raises:
            BrokerError: something could not be delivered.
        """
        await self._delivery.below(self._options.buffer_bytes)
        self._raise_failed()

    async def flush(self) -> None:
        """Wait until everything appended is acknowledged.

        Raises:
            BrokerError: something could not be delivered.
        """
        await self._delivery.flush()

    async def close(self) -> None:
        """Stop; what was not sent is dropped. Flush before."""
        self._started = False
        await self._delivery.stop()

    def _raise_failed(self) -> None:
        if self._delivery.error is not None:
            raise self._delivery.error

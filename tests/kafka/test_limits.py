"""Which records are larger than what their topic takes, and how what is written is kept below."""

from __future__ import annotations

import random

import pytest

from headrace.event.dtypes import STR
from headrace.kafka.errors import TooLargeError
from headrace.kafka.limits import USUAL_BYTES, TopicLimits
from headrace.kafka.model import Columns
from headrace.kafka.producing import ProducerOptions
from headrace.kafka.record_batches import Compression, RecordBatch, build
from headrace.kafka.rows import Part, RowCodec
from headrace.runtime.records import Headers, Records
from headrace.time.instants import START_OF_TIME_MS

LIMIT = 10_000
NOISE = random.Random(1).randbytes(2 * LIMIT)


def sent(value: bytes, compression: Compression, headers: Headers = ()) -> int:
    (batch,) = build(Columns([value], [0], [b"k"], [headers]), compression, 1 << 20, transactional=True)
    batch.bind(1, 1, 1)
    return len(batch.data())


def batches(size: int) -> list[RecordBatch]:
    return build(Columns([b"", bytes(size)], [0, 0]), Compression.NONE, 1_000, transactional=True)


def limits(compression: Compression = Compression.NONE) -> TopicLimits:
    made = TopicLimits(compression)
    made.know(["t", "hidden"], {"t": LIMIT})
    for topic in ("t", "unknown"):
        with pytest.raises(TooLargeError, match=f"^topic '{topic}' takes no record of more than .*: one is taken out$"):
            made.check(topic, batches(USUAL_BYTES + 1))
        made.check(topic, batches(USUAL_BYTES + 1))  # from now on each record is looked at
    made.check("hidden", batches(USUAL_BYTES + 1))
    return made


def refused(found: TopicLimits, value: bytes, headers: Headers = (), topic: str = "t") -> bool:
    return bool(found.too_large(topic, Records([b"small", value], [b"k", b"k"], [0, 0], [(), headers])))


@pytest.mark.parametrize("compression", [Compression.NONE, Compression.ZSTD, Compression.GZIP])
@pytest.mark.parametrize("headers", [(), (("trace", b"x" * 500),)], ids=["plain", "headers"])
def test_a_record_is_too_large_from_the_byte_on_at_which_brokers_refuse_it(
    compression: Compression, headers: Headers
) -> None:
    found = limits(compression)
    sizes = range(LIMIT - 1_500, LIMIT + 600)
    fits = [sent(NOISE[:size], compression, headers) <= LIMIT for size in sizes]
    assert True in fits
    assert False in fits
    assert [not refused(found, NOISE[:size], headers) for size in sizes] == fits


def test_what_shrinks_when_it_is_compressed_is_not_too_large() -> None:
    assert refused(limits(), b"x" * LIMIT)
    assert not refused(limits(Compression.ZSTD), b"x" * LIMIT)


def test_the_limit_of_an_unknown_topic_is_kafkas_and_of_a_hidden_one_there_is_none() -> None:
    large = bytes(USUAL_BYTES)
    assert refused(limits(), large, topic="unknown")
    assert not refused(limits(), large[: LIMIT * 2], topic="unknown")
    assert not refused(limits(), large, topic="hidden")


def test_large_keys_count_and_records_without_key_value_or_headers_are_fine() -> None:
    found = limits()
    records = Records([b"", b"x", b"y"], [None, NOISE[:LIMIT], b"k"], [0, 0, 0])
    assert found.too_large("t", records).keys() == {1}
    assert found.too_large("t", Records([b"x"])) == {}
    assert found.too_large("t", Records([])) == {}


def test_batches_are_smaller_than_what_the_topic_takes() -> None:
    options = ProducerOptions(limits=limits())
    assert (options.batch_bytes_of("t"), options.batch_bytes_of("other")) == (9_688, options.batch_bytes)
    made = build(
        Columns([NOISE[:500]] * 100, [0] * 100), Compression.ZSTD, options.batch_bytes_of("t"), transactional=True
    )
    limits().check("t", made)
    for batch in made:
        batch.bind(1, 1, 1)
    assert max(len(batch.data()) for batch in made) <= LIMIT


def test_topics_whose_records_cannot_be_dead_letters_are_left_to_the_broker() -> None:
    found = TopicLimits()
    found.internal({"changelog"})
    found.check("changelog", batches(USUAL_BYTES + 1))
    assert not TopicLimits().too_large("t", Records([bytes(USUAL_BYTES + 1)], [None], [0])), "not before one was found"


def test_rows_with_large_columns_are_spread_over_records_and_the_watermark_comes_last() -> None:
    codec = RowCodec([STR], [STR])
    rows = [(n, 0, 0, ("u",), "x" * 10_000) for n in range(300)]
    values = codec.encode([Part(0, 5, False, rows[:200]), Part(1, 7, True, rows[200:]), Part(2, 9, False, [])])
    assert 6 <= len(values) <= 12
    assert max(map(len, values)) <= 500_000
    parts = [part for value in values for part in codec.decode(value)]
    assert [row for part in parts for row in part.rows] == rows
    for sender, reached in ((0, (5, False)), (1, (7, True)), (2, (9, False))):
        mine = [(part.watermark_ms, part.idle) for part in parts if part.sender == sender]
        assert mine[-1] == reached
        assert {ms for ms, _ in mine[:-1]} <= {START_OF_TIME_MS}
    assert len(codec.encode([Part(0, 5, False, [(0, 0, 0, ("u",), "x" * 600_000)])])) == 1, "one row is not cut"

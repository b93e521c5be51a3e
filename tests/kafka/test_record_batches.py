"""Columns become record batches."""

from __future__ import annotations

import pytest
from aiokafka.record.default_records import DefaultRecordBatch
from hypothesis import given
from hypothesis import strategies as st

from headrace.errors import ConfigError, InternalError
from headrace.kafka.model import Columns
from headrace.kafka.record_batches import Compression, build

TIMES = st.integers(0, 2**41)
BYTES = st.none() | st.binary(max_size=40)
HEADERS = st.lists(st.tuples(st.text(max_size=5), BYTES), max_size=3)
RECORDS = st.lists(st.tuples(BYTES, TIMES, BYTES, HEADERS), min_size=1, max_size=60)


def read_back(
    columns: Columns, max_bytes: int, compression: Compression = Compression.NONE
) -> list[tuple[object, ...]]:
    found: list[tuple[object, ...]] = []
    sequence = 0
    for batch in build(columns, compression, max_bytes, transactional=True):
        assert batch.size <= max_bytes or batch.count == 1
        batch.bind(1, 2, sequence)
        read = DefaultRecordBatch(batch.data())
        assert read.validate_crc()
        assert read.base_sequence == sequence
        assert read.next_offset == batch.count
        found += [(r.value, r.timestamp, r.key, r.headers) for r in read]
        sequence += batch.count
    return found


@given(RECORDS, st.sampled_from([100, 200, 10_000]), st.sampled_from(list(Compression)))
def test_batches_hold_the_records_in_order_and_keep_to_the_size(
    records: list[tuple[bytes | None, int, bytes | None, list[tuple[str, bytes | None]]]],
    max_bytes: int,
    compression: Compression,
) -> None:
    values, times, keys, headers = map(list, zip(*records, strict=True))
    expected = [(v, t, k, h) for v, t, k, h in records]
    assert read_back(Columns(values, times, keys, headers), max_bytes, compression) == expected
    without = [(v, t, None, []) for v, t, _, _ in records]
    assert read_back(Columns(values, times), max_bytes, compression) == without


def test_no_records_are_no_batches() -> None:
    assert build(Columns([], []), Compression.NONE, 100, transactional=True) == []


def test_columns_of_different_lengths_are_refused() -> None:
    with pytest.raises(InternalError, match=r"^column times has 1 records, column values has 2$"):
        build(Columns([b"a", b"b"], [1]), Compression.NONE, 100, transactional=True)


def test_a_value_that_is_not_bytes_is_refused() -> None:
    with pytest.raises(InternalError, match="records must be bytes"):
        build(Columns(["text"], [1]), Compression.NONE, 100, transactional=True)  # type: ignore[list-item]


def test_an_unknown_compression_is_a_wrong_setting() -> None:
    with pytest.raises(
        ConfigError, match=r"^compression: expected one of none, gzip, snappy, lz4, zstd, got 'brotli'$"
    ):
        Compression.of("brotli")

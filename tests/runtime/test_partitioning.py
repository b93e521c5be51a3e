"""Keys go to the partitions that Kafka's Java clients choose."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.runtime.partitioning import murmur2, partition_for


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_hashes_are_those_of_the_java_client(data: bytes, expected: int) -> None:
    assert murmur2(data) == expected
    assert partition_for(data, 7) == (expected & 0x7FFFFFFF) % 7


@given(st.binary(max_size=20), st.integers(1, 1000))
def test_a_partition_is_always_one_of_those_there_are(key: bytes, partitions: int) -> None:
    assert 0 <= partition_for(key, partitions) < partitions

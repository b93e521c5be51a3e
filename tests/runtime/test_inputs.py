"""Inputs: every record once, whatever the size of a reading and wherever it begins anew."""

import gzip
import json
import random
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AliasChoices, BaseModel, Field, model_validator

from headrace.errors import ConfigError
from headrace.runtime.inputs import Input, expand, open_followed, open_input
from headrace.runtime.inputs.fingerprint import FileMark
from headrace.runtime.inputs.lines import LineInput
from headrace.state.memory import MemoryBackend

MB = 1 << 20


class Item(BaseModel):
    id: int
    name: str
    note: str | None = None
    price: float | None = None
    paid: bool = False
    tags: list[str] = []


class Bytes:
    """A byte source in memory."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def pread(self, size: int, position: int) -> bytes:
        return self.data[position : position + size]

    def close(self) -> None:
        pass


@pytest.fixture
def opened() -> Iterator[Callable[..., Input]]:
    """Open inputs that are closed after the test."""
    with ExitStack() as stack:

        def open_one(path: Path, schema: type[BaseModel] | None = None, *, max_line: int = 64 * MB) -> Input:
            found = open_input(path, schema, max_line=max_line)
            stack.callback(found.close)
            return found

        yield open_one


@pytest.fixture
def follow() -> Iterator[Callable[..., Input]]:
    """Follow files as one worker after another does: what is known of them is kept."""
    backend = MemoryBackend()
    with ExitStack() as stack:

        def follow_one(path: Path, position: int = 0) -> Input:
            found = open_followed(path, FileMark(backend, path), position, max_line=64 * MB, rotation_s=0)
            stack.callback(found.close)
            return found

        yield follow_one


def drain(source: Input, position: int = 0, max_bytes: int = MB) -> list[bytes]:
    values: list[bytes] = []
    for _ in range(100_000):
        records, position, ended = source.read(position, max_bytes)
        values += records.values
        if ended:
            return values
    raise AssertionError("the input does not end")


@given(
    lines=st.lists(st.binary(max_size=30).map(lambda b: b.replace(b"\n", b"").replace(b"\r", b""))),
    end=st.sampled_from([b"\n", b"\r\n"]),
    closed=st.booleans(),
    size=st.integers(1, 50),
)
def test_every_line_comes_once_whatever_the_size_of_a_reading(lines, end, closed, size):
    data = end.join(lines) + (end if closed and lines else b"")
    data = data.removeprefix(b"\xef\xbb\xbf")
    assert drain(LineInput(Bytes(data)), max_bytes=size) == [line for line in data.split(end) if line]


def test_reading_goes_on_from_any_position_it_gave(tmp_path, opened):
    path = tmp_path / "in.ndjson"
    path.write_bytes(b"".join(b'{"n":%d}\n' % n for n in range(1000)))
    source = opened(path)
    seen, position, ended = [], 0, False
    while not ended:
        assert seen + drain(opened(path), position) == drain(opened(path))
        records, position, ended = source.read(position, 500)
        seen += records.values


def test_a_byte_order_mark_is_no_part_of_the_first_line():
    assert drain(LineInput(Bytes(b'\xef\xbb\xbf{"a":1}\n'))) == [b'{"a":1}']


def test_a_line_longer_than_the_limit_comes_cut_and_the_next_one_whole(tmp_path, opened):
    path = tmp_path / "in.ndjson"
    path.write_bytes(b"a\n" + b"x" * (3 * MB) + b"\nb\n" + b"y" * (3 * MB))
    found = drain(opened(path, max_line=2 * MB), max_bytes=1000)
    assert [len(value) for value in found] == [1, 2 * MB, 1, 2 * MB]


def test_a_line_of_fifty_megabytes_comes_whole():
    found = drain(LineInput(Bytes(b"a\n" + b"x" * (50 * MB) + b"\nb\n")))
    assert [len(value) for value in found] == [1, 50 * MB, 1]


def test_a_followed_file_waits_for_the_end_of_its_last_line(tmp_path, follow):
    path = tmp_path / "in.ndjson"
    path.write_bytes(b"one\ntw")
    source = follow(path)
    records, position, ended = source.read(0, MB)
    assert (records.values, position, ended) == ([b"one"], 4, False)
    assert source.read(position, MB).records.values == []
    with path.open("ab") as file:
        file.write(b"o\n")
    assert source.read(position, MB).records.values == [b"two"]


def test_a_file_that_shrank_is_refused(tmp_path, opened):
    path = tmp_path / "in.ndjson"
    path.write_bytes(b"one\n")
    with pytest.raises(ConfigError, match="ends before byte 400, up to which it has been read"):
        opened(path).read(400, MB)


def packed(data: bytes, suffix: str) -> bytes:
    return gzip.compress(data) if suffix == ".gz" else zstandard.compress(data)


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_a_packed_file_reads_like_the_plain_one_from_any_position(tmp_path, opened, suffix):
    data = b"".join(b'{"n":%d,"r":%d}\n' % (n, random.randrange(10**9)) for n in range(20_000))
    half = data.index(b"\n", len(data) // 2) + 1
    path = tmp_path / f"in.ndjson{suffix}"
    # Two members or frames, as appended files have.
    path.write_bytes(packed(data[:half], suffix) + packed(data[half:], suffix))
    assert drain(opened(path), max_bytes=10_000) == data.splitlines()
    source = opened(path)
    assert drain(source, half) == data[half:].splitlines()
    assert drain(source) == data.splitlines()


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_a_packed_file_cut_short_is_refused_after_what_could_be_read(tmp_path, opened, suffix):
    data = b"".join(b"%d\n" % random.randrange(10**9) for n in range(100_000))
    path = tmp_path / f"in.ndjson{suffix}"
    path.write_bytes(packed(data, suffix)[:-1000])
    with pytest.raises(ConfigError, match="cannot be unpacked after byte"):
        drain(opened(path))


def test_csv_rows_become_json_typed_by_the_schema(tmp_path, opened):
    path = tmp_path / "in.csv"
    path.write_text('id,name,note,price,paid,tags\n1,"a, ""b""\nc",,2.5,true,"[""x""]"\nx,,hi,nan,maybe,no\n')
    assert [json.loads(value) for value in drain(opened(path, Item))] == [
        {"id": 1, "name": 'a, "b"\nc', "note": None, "price": 2.5, "paid": True, "tags": ["x"]},
        {"id": "x", "name": "", "note": "hi", "price": "nan", "paid": "maybe", "tags": "no"},
    ]


class Ride(BaseModel):
    fare: int
    at: str = Field(alias="pickup")
    zone: str = ""
    place: dict[str, int]
    note: str = Field(validation_alias=AliasChoices("note", "remark"))


EVERY = frozenset(Ride.model_fields)


@pytest.mark.parametrize("name", ["in.csv", "in.parquet"])
@pytest.mark.parametrize(
    ("columns", "read", "message"),
    [
        (["fare", "pickup", "place.x", "remark"], EVERY, ""),
        (["fare", "at", "place.x", "note"], EVERY, "has no column 'pickup'; it has fare, at, place.x, note"),
        (["zone"], EVERY, "has no columns 'fare', 'pickup', 'place', 'note'; it has zone"),
        (["zone"], ["fare", "zone"], "has no column 'fare'; it has zone"),
        (["pickup"], ["zone"], ""),
    ],
)
def test_a_file_must_have_the_columns_that_are_read(tmp_path, name, columns, read, message):
    path = tmp_path / name
    if name == "in.csv":
        path.write_text(",".join(columns) + "\n")
    else:
        pq.write_table(pa.table({column: pa.array([], pa.int64()) for column in columns}), path)
    if not message:
        open_input(path, Ride, max_line=MB, read=read).close()
        return
    with pytest.raises(ConfigError) as caught:
        open_input(path, Ride, max_line=MB, read=read)
    assert str(caught.value) == f"{path} {message}"


def test_what_a_model_prepares_itself_may_have_other_columns(tmp_path):
    class Prepared(Ride):
        @model_validator(mode="before")
        @classmethod
        def rename(cls, data):
            return data

    (tmp_path / "in.csv").write_text("tarif\n")
    open_input(tmp_path / "in.csv", Prepared, max_line=MB, read=EVERY).close()


def test_csv_reads_on_from_any_position_with_lines_within_quotes(tmp_path, opened):
    path = tmp_path / "in.csv"
    path.write_text("id;name\n" + "".join(f'{n};"line\nof {n}"\n\n' for n in range(300)))
    whole = drain(opened(path, Item))
    assert [json.loads(value)["id"] for value in whole] == list(range(300))
    source, seen, position, ended = opened(path, Item), [], 0, False
    while not ended:
        records, position, ended = source.read(position, 100)
        seen += records.values
        assert seen + drain(opened(path, Item), position) == whole


def test_csv_rows_that_are_no_rows_come_as_they_stand(tmp_path, opened):
    path = tmp_path / "in.csv"
    path.write_bytes(b'id,name\n1,a\n2\n3,b,c\n"4"x,d\n5,\xff\n6,e\n"7,never closed\n8,f\n')
    assert drain(opened(path, Item)) == [
        b'{"id":1,"name":"a"}',
        b"2",
        b"3,b,c",
        b'"4"x,d',
        b"5,\xff",
        b'{"id":6,"name":"e"}',
        b'"7,never closed',
        b'{"id":8,"name":"f"}',
    ]


def test_csv_dotted_columns_are_nested_fields(tmp_path, opened):
    path = tmp_path / "in.csv"
    path.write_text("id,at.city,at.zip\n1,Ulm,\n2,,\n")
    assert drain(opened(path)) == [b'{"id":"1","at":{"city":"Ulm","zip":null}}', b'{"id":"2","at":null}']


@pytest.mark.parametrize("header", ["", "id,id\n", "id,\n"])
def test_csv_without_names_of_columns_is_refused(tmp_path, opened, header):
    path = tmp_path / "in.csv"
    path.write_text(header)
    with pytest.raises(ConfigError, match="names of the columns"):
        opened(path)


def test_parquet_rows_become_json_from_any_row(tmp_path, opened):
    path = tmp_path / "in.parquet"
    at = datetime(2024, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
    rows = [{"id": n, "price": Decimal("1.50"), "at": at, "tags": ["a"], "in": {"x": None}} for n in range(10_000)]
    pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=3000)
    found = drain(opened(path))
    assert json.loads(found[7]) == {
        "id": 7, "price": "1.50", "at": "2024-01-02T03:04:05.678901Z", "tags": ["a"], "in": {"x": None},
    }  # fmt: skip
    for position in (0, 1, 2999, 3000, 9001, 10_000):
        assert drain(opened(path), position) == found[position:]
    with pytest.raises(ConfigError, match="truncated or replaced"):
        opened(path).read(10_001, MB)


def test_parquet_times_of_nanoseconds_are_cut_to_microseconds(tmp_path, opened):
    path = tmp_path / "in.parquet"
    pq.write_table(pa.table({"at": pa.array([1_700_000_000_123_456_789], pa.timestamp("ns", tz="UTC"))}), path)
    assert drain(opened(path)) == [b'{"at":"2023-11-14T22:13:20.123456Z"}']


def test_a_damaged_parquet_file_is_refused(tmp_path, opened):
    path = tmp_path / "in.parquet"
    path.write_bytes(b"PAR1 not at all")
    with pytest.raises(ConfigError, match="cannot be read as Parquet"):
        opened(path)


def test_a_json_array_is_refused_with_the_remedy(tmp_path, opened):
    path = tmp_path / "in.json"
    path.write_text('[{"a":1}]')
    with pytest.raises(ConfigError, match="one JSON array: expected one object a line"):
        opened(path)


def test_directories_and_patterns_name_their_files_in_order(tmp_path):
    for name in ("b.ndjson", "a.csv", "c.jsonl.gz", "notes.txt"):
        (tmp_path / name).write_text("")
    assert [path.name for path in expand(str(tmp_path))] == ["a.csv", "b.ndjson", "c.jsonl.gz"]
    assert [path.name for path in expand(str(tmp_path / "*.ndjson"))] == ["b.ndjson"]
    with pytest.raises(ConfigError, match="there is no input"):
        expand(str(tmp_path / "none.ndjson"))


@pytest.mark.parametrize("name", ["in.csv", "in.ndjson.gz"])
def test_what_cannot_grow_cannot_be_followed(tmp_path, follow, name):
    path = tmp_path / name
    path.write_bytes(b"")
    with pytest.raises(ConfigError, match="cannot be followed"):
        follow(path)


def test_lines_are_split_at_a_million_a_second_at_least(tmp_path, opened):
    path = tmp_path / "in.ndjson"
    path.write_bytes((b'{"user_id":"u1","at":"2024-01-01T00:00:00Z"' + b" " * 110 + b"}\n") * 200_000)
    best = 0.0
    for _ in range(3):
        source, position, ended, began = opened(path), 0, False, time.perf_counter()
        while not ended:
            _, position, ended = source.read(position, MB)
        best = max(best, 200_000 / (time.perf_counter() - began))
    assert best > 1_000_000


def read_on(source: Input, position: int) -> tuple[list[bytes], int]:
    """Return all that can be read now, with a checkpoint after each reading."""
    values: list[bytes] = []
    for _ in range(10):
        records, position, ended = source.read(position, MB)
        assert not ended
        source.committed(position)
        values += records.values
    return values, position


def test_a_followed_file_that_is_rotated_is_read_to_its_end_and_then_the_new_one(tmp_path, follow):
    path = tmp_path / "in.ndjson"
    path.write_bytes(b"1\n2\n")
    source = follow(path)
    values, position = read_on(source, 0)
    assert source.drained(position)
    with path.open("ab") as late:
        path.rename(tmp_path / "in.ndjson.1")
        assert source.drained(position)
        assert read_on(source, position) == ([], position)
        late.write(b"3\nhalf")
    path.write_bytes(b"4\n")
    assert not source.drained(position)
    more, position = read_on(source, position)
    assert values + more == [b"1", b"2", b"3", b"half", b"4"]
    with path.open("ab") as file:
        file.write(b"5\n")
    assert read_on(follow(path, position), position)[0] == [b"5"]


def test_a_rotated_file_is_left_only_once_a_checkpoint_has_its_end(tmp_path, follow):
    path = tmp_path / "in.ndjson"
    path.write_bytes(b"1\n2\n")
    source = follow(path)
    _, position, _ = source.read(0, MB)
    path.rename(tmp_path / "in.ndjson.1")
    path.write_bytes(b"3\n")
    for _ in range(3):
        assert source.read(position, MB).position == position
    assert read_on(follow(path, 0), 0)[0] == [b"1", b"2", b"3"], "a restart without a checkpoint lost the old file"


def test_a_file_rotated_while_nobody_read_it_is_found_under_its_new_name(tmp_path, follow):
    path = tmp_path / "in.ndjson"
    path.write_bytes(b"1\n2\n")
    position = read_on(follow(path), 0)[1]
    with path.open("ab") as file:
        file.write(b"3\n")
    path.rename(tmp_path / "in.ndjson.1")
    path.write_bytes(b"4\n5\n6\n")
    assert read_on(follow(path, position), position)[0] == [b"3", b"4", b"5", b"6"]


def test_a_followed_file_that_was_empty_at_first_is_known_after_a_checkpoint(tmp_path, follow):
    path = tmp_path / "in.ndjson"
    path.write_bytes(b"")
    source = follow(path)
    path.write_bytes(b"1\n")
    position = read_on(source, 0)[1]
    path.write_bytes(b"other\n")
    with pytest.raises(ConfigError, match="was replaced"):
        follow(path, position)


@pytest.mark.parametrize("text", [b"x\n", b"another, and much longer than before\n", b"1\n2\nother\nlonger\n"])
def test_a_followed_file_that_is_written_anew_in_place_is_refused(tmp_path, follow, text):
    path = tmp_path / "in.ndjson"
    path.write_bytes(b"1\n2\n3333\n")
    source = follow(path)
    position = read_on(source, 0)[1]
    with path.open("r+b") as file:
        file.truncate(0)
        file.write(text)
    with pytest.raises(ConfigError, match=r"truncated or replaced|was replaced"):
        source.read(position, MB)


def faulty(source: Input) -> list[tuple[bytes, str | None]]:
    """Return the records with what the input says against them."""
    found, position, ended = [], 0, False
    while not ended:
        records, position, ended = source.read(position, MB)
        found += [(value, (records.faults or {}).get(row)) for row, value in enumerate(records.values)]
    return found


def test_a_csv_field_larger_than_the_librarys_limit_is_one_field(tmp_path, opened):
    path = tmp_path / "in.csv"
    text = "1,forged\n" * 100_000
    path.write_text(f'id,name\n7,"{text}"\n8,b\n')
    assert [json.loads(value) for value in drain(opened(path, Item))] == [
        {"id": 7, "name": text},
        {"id": 8, "name": "b"},
    ]


def test_a_csv_row_longer_than_the_limit_comes_cut_and_the_next_one_whole(tmp_path, opened):
    path = tmp_path / "in.csv"
    forged = '1,forged\n""2"",\n' * 200_000
    path.write_text(f'id,name\n7,"{forged}"\n8,b\n{"y" * 3 * MB}\n9,c\n')
    found = faulty(opened(path, Item, max_line=MB))
    assert [len(value) for value, fault in found if fault] == [MB, MB]
    assert [json.loads(value)["id"] for value, fault in found if not fault] == [8, 9]
    assert found[0][1] == f"record: expected a row of CSV, got one that cannot be read (it is longer than {MB} bytes)"


def test_a_csv_quote_that_is_never_closed_costs_its_line_only(tmp_path, opened):
    path = tmp_path / "in.csv"
    path.write_text("id,name\n" + '7,"never closed\n' + "8,f\n" * MB)
    found = faulty(opened(path, Item, max_line=MB))
    assert found[0][0] == b'7,"never closed'
    assert len(found) == MB + 1


def test_csv_rows_that_are_no_rows_say_why(tmp_path, opened):
    path = tmp_path / "in.csv"
    path.write_bytes(b'id,name\n2\n"4"x,d\n5,\xff\n6,e\n')
    assert [fault for _, fault in faulty(opened(path, Item))] == [
        "record: expected 2 columns as in the header, got 1",
        "record: expected a row of CSV, got one that cannot be read (',' expected after '\"')",
        "record: expected a row in UTF-8, got other bytes",
        None,
    ]

"""What every backend promises."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace.errors import StateError
from headrace.state.protocol import Backend, Batch


def put(backend: Backend, store: str, **pairs: bytes) -> None:
    batch = Batch()
    for key, value in pairs.items():
        batch.put(store, key.encode(), value)
    backend.write(batch)


def test_a_key_that_was_never_put_is_none(backend: Backend) -> None:
    assert backend.store("s").get(b"k") is None
    assert list(backend.store("s").scan()) == []


def test_a_put_is_read_back_and_overwritten(backend: Backend) -> None:
    put(backend, "s", k=b"1")
    put(backend, "s", k=b"2")
    assert backend.store("s").get(b"k") == b"2"


def test_the_empty_key_and_the_empty_value_are_a_key_and_a_value(backend: Backend) -> None:
    batch = Batch()
    batch.put("s", b"", b"of the empty key")
    batch.put("s", b"k", b"")
    backend.write(batch)
    assert list(backend.store("s").scan()) == [(b"", b"of the empty key"), (b"k", b"")]
    assert backend.store("s").get(b"k") == b""


def test_get_many_keeps_the_order_of_the_keys(backend: Backend) -> None:
    put(backend, "s", a=b"1", b=b"2")
    assert backend.store("s").get_many([b"b", b"none", b"a", b"b"]) == [b"2", None, b"1", b"2"]
    assert backend.store("s").get_many([]) == []


def test_a_deleted_key_is_gone_and_deleting_nothing_is_allowed(backend: Backend) -> None:
    put(backend, "s", a=b"1", b=b"2")
    batch = Batch()
    batch.delete("s", b"a")
    batch.delete("s", b"never")
    backend.write(batch)
    assert list(backend.store("s").scan()) == [(b"b", b"2")]


def test_a_range_is_deleted_from_start_up_to_before_end(backend: Backend) -> None:
    put(backend, "s", a=b"1", b=b"2", c=b"3", d=b"4")
    batch = Batch()
    batch.delete_range("s", b"b", b"d")
    batch.delete_range("s", b"z", b"a")  # empty
    backend.write(batch)
    assert list(backend.store("s").scan()) == [(b"a", b"1"), (b"d", b"4")]


def test_within_a_batch_ranges_come_first_then_deletes_then_puts(backend: Backend) -> None:
    put(backend, "s", a=b"1", b=b"2", c=b"3")
    batch = Batch()
    batch.put("s", b"a", b"new")
    batch.put("s", b"b", b"new")
    batch.delete("s", b"a")
    batch.delete_range("s", b"a", b"z")
    backend.write(batch)
    assert list(backend.store("s").scan()) == [(b"a", b"new"), (b"b", b"new")]


def test_what_a_later_batch_deletes_is_gone_whoever_put_it(backend: Backend) -> None:
    batch, later = Batch(), Batch()
    for key in (b"kept", b"deleted", b"changed"):
        batch.put("s", key, b"1")
    later.delete("s", b"deleted")
    later.put("s", b"changed", b"2")
    later.put_all("s", [b"new"], [b"3"])
    first = Batch()
    first.extend(batch)
    first.extend(later)
    backend.write(first)
    assert list(backend.store("s").scan()) == [(b"changed", b"2"), (b"kept", b"1"), (b"new", b"3")]


@pytest.mark.parametrize(
    ("start", "end", "keys"),
    [
        (b"", None, b"abcd"),
        (b"b", None, b"bcd"),
        (b"", b"c", b"ab"),
        (b"b", b"d", b"bc"),
        (b"aa", b"cc", b"bc"),
        (b"c", b"c", b""),
        (b"d", b"a", b""),
        (b"x", None, b""),
    ],
)
def test_a_scan_yields_start_up_to_before_end_in_order(
    backend: Backend, start: bytes, end: bytes | None, keys: bytes
) -> None:
    put(backend, "s", c=b"", a=b"", d=b"", b=b"")
    assert b"".join(key for key, _ in backend.store("s").scan(start, end)) == keys


def test_an_open_scan_sees_the_store_as_it_was_when_it_was_asked_for(backend: Backend) -> None:
    put(backend, "s", a=b"1", b=b"2", c=b"3")
    unread, begun = backend.store("s").scan(), backend.store("s").scan()
    assert next(begun) == (b"a", b"1")
    batch = Batch()
    batch.put("s", b"b", b"changed")
    batch.put("s", b"bb", b"new")
    batch.delete("s", b"c")
    backend.write(batch)
    assert list(unread) == [(b"a", b"1"), (b"b", b"2"), (b"c", b"3")]
    assert list(begun) == [(b"b", b"2"), (b"c", b"3")]
    assert list(backend.store("s").scan()) == [(b"a", b"1"), (b"b", b"changed"), (b"bb", b"new")]


def test_stores_are_apart_and_named_in_order(backend: Backend) -> None:
    batch = Batch()
    for name in ("b", "default", "größe/ä", "a"):
        batch.put(name, b"k", name.encode())
    backend.write(batch)
    backend.store("empty")
    assert backend.names() == ("a", "b", "default", "empty", "größe/ä")
    assert [backend.store(name).get(b"k") for name in backend.names()] == [
        None if name == "empty" else name.encode() for name in backend.names()
    ]


def test_many_stores_take_one_batch(backend: Backend) -> None:
    batch = Batch()
    for n in range(100):
        batch.put(f"store-{n}", b"k", str(n).encode())
    backend.write(batch)
    assert [backend.store(f"store-{n}").get(b"k") for n in range(100)] == [str(n).encode() for n in range(100)]


def test_nothing_is_written_after_close(backend: Backend) -> None:
    backend.store("s")
    backend.close()
    batch = Batch()
    batch.put("s", b"k", b"v")
    with pytest.raises(StateError, match="closed"):
        backend.write(batch)


def test_close_may_come_twice_and_with_a_scan_open(backend: Backend) -> None:
    put(backend, "s", a=b"1", b=b"2")
    scan = backend.store("s").scan()
    next(scan)
    backend.close()
    backend.close()


def test_readers_in_other_threads_never_see_a_scan_of_half_a_batch(backend: Backend) -> None:
    put(backend, "s", **{f"k{n}": b"0" for n in range(50)})
    seen: list[set[bytes]] = []
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            seen.append({value for _, value in backend.store("s").scan()})

    reader = threading.Thread(target=read)
    reader.start()
    for version in range(200):
        put(backend, "s", **{f"k{n}": str(version).encode() for n in range(50)})
    stop.set()
    reader.join()
    assert seen
    assert all(len(values) == 1 for values in seen)


KEYS = st.binary(max_size=3)
WRITES = st.lists(
    st.one_of(
        st.tuples(st.just("put"), KEYS, KEYS),
        st.tuples(st.just("delete"), KEYS, KEYS),
        st.tuples(st.just("range"), KEYS, KEYS),
        st.tuples(st.just("column"), st.lists(KEYS, max_size=3), st.lists(st.none() | KEYS, min_size=3, max_size=3)),
    ),
    max_size=8,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(batches=st.lists(WRITES, max_size=6), start=KEYS, end=st.none() | KEYS)
def test_any_batches_and_scans_agree_with_a_dict(
    make_backend: Callable[[], Backend], batches: list[list[tuple[str, Any, Any]]], start: bytes, end: bytes | None
) -> None:
    backend = make_backend()
    model: dict[bytes, bytes] = {}
    for writes in batches:
        batch = Batch()
        for kind, a, b in writes:
            match kind:
                case "put":
                    batch.put("s", a, b)
                case "delete":
                    batch.delete("s", a)
                case "column":
                    batch.put_all("s", a, b[: len(a)])
                case _:
                    batch.delete_range("s", a, b)
        backend.write(batch)
        for _, low, high in batch.ranges:
            model = {key: value for key, value in model.items() if not low <= key < high}
        for _, key in batch.deletes:
            model.pop(key, None)
        model.update((key, value) for _, key, value in batch.puts)
        for _, keys, values in batch.columns:
            for key, value in zip(keys, values, strict=True):
                model.pop(key, None)
                model |= {} if value is None else {key: value}
        expected = sorted((k, v) for k, v in model.items() if k >= start and (end is None or k < end))
        assert list(backend.store("s").scan(start, end)) == expected
    assert backend.store("s").get_many([start, b"", b"\x00"]) == [model.get(key) for key in (start, b"", b"\x00")]
    backend.close()

"""Compression, record times, keys and headers; CloudEvents in binary mode."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer

from headrace.event import Event
from headrace.event.wire import read_event
from headrace.kafka.cloudevents import bring, give_back, is_binary, structured
from headrace.kafka.model import Fetched, Header, Partition
from headrace.runtime.task import DeadLetter
from tests.kafka.fleets import Shop, make_shop, started
from tests.kafka.support import read, run

TRACE = ("traceparent", b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")


@pytest.fixture
def shop(tmp_path: Path, bootstrap: str) -> Shop:
    return make_shop(tmp_path, bootstrap)


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
def test_inputs_and_outputs_may_be_compressed(shop: Shop, codec: str) -> None:
    async def feed() -> None:
        made = AIOKafkaProducer(bootstrap_servers=shop.brokers, compression_type=codec, linger_ms=50)
        await made.start()
        for n in range(200):
            value = json.dumps({"id": n, "country": "DE", "amount": 100, "at": n}).encode()
            await made.send(shop.orders, value, key=b"k%d" % n, partition=n % 4, timestamp_ms=50_000, headers=[TRACE])
        await made.stop()

    run(feed())
    with started(shop, "worker", "shop.py", "--state-dir", "state", "--set", f"compression={codec}") as worker:
        worker.until("running: ")
        shop.until_read(200)
        assert worker.stop(signal.SIGTERM) == 0, worker.log
    big = shop.records(f"{shop.name}.big")
    assert sorted(key or b"" for _, key, _, _ in big) == sorted(b"k%d" % n for n in range(200)), "keys are kept"
    assert sorted(json.loads(value or b"")["id"] for _, _, value, _ in big) == list(range(200))
    assert shop.revenue() == {"DE@1970-01-01T00:00:00Z": 200}
    number = next(number for number, *_ in big)
    first = run(read(shop.brokers, Partition(f"{shop.name}.big", number), 1))[0]
    assert max(first.times) < 200, "a record's time is its event time"


class Paid(Event, type="shop.paid", version=2):
    """Somebody paid."""

    amount: int


BINARY: list[Header] = [
    ("ce_specversion", b"1.0"), ("ce_type", b"shop.paid"), ("ce_id", b"1"), ("ce_source", b"till \xc3\xa9"),
    ("ce_time", b"2024-05-01T12:00:00Z"), ("ce_dataversion", b"2"), ("ce_replay", b"true"), ("ce_sequence", b"7"),
    ("ce_tenant", b'a"b'), ("content-type", b"application/json; charset=utf-8"), TRACE,
]  # fmt: skip


def test_an_event_in_binary_mode_is_that_of_structured_mode() -> None:
    event = read_event(Paid, structured(b'{"amount": 5}', BINARY))
    assert (event.amount, event.envelope.id, event.envelope.source) == (5, "1", "till é")
    assert (event.envelope.tenant, event.envelope.sequence, event.envelope.replay) == ('a"b', 7, True)


@pytest.mark.parametrize(
    ("headers", "binary"),
    [
        (BINARY, True),
        ([("ce_specversion", b"1.0")], True),
        ([TRACE], False),
        ([], False),
        ([("content-type", b"application/cloudevents+json")], False),
        ([("ce_specversion", b"1.0"), ("content-type", b"application/cloudevents+json; charset=UTF-8")], False),
        ([("ce_specversion", b"1.0"), ("content-type", b"application/avro")], False),
        ([("ce_specversion", b"1.0"), ("content-type", b"application/vnd.shop+json")], True),
    ],
)
def test_the_mode_is_told_by_the_headers(headers: list[Header], binary: bool) -> None:
    assert is_binary(headers) is binary


def test_data_that_is_no_json_stays_what_it_is() -> None:
    for value in (b'{"amount": 5', b'{"amount":5},"type":"other"', b"\xff"):
        assert structured(value, BINARY) == value


def test_a_batch_is_brought_into_structured_mode_and_its_letters_are_given_back() -> None:
    headers = [BINARY, [TRACE], []]
    came = Fetched("t", 1, 5, 9, [b'{"amount": 1}', b"{}", None], [None] * 3, [1, 2, 3], [5, 7, 8], headers)
    batch = bring(came)
    assert came.values[0] == b'{"amount": 1}', "the one that came is as it was"
    assert batch.headers is not None
    assert read_event(Paid, batch.values[0] or b"").amount == 1
    assert tuple(batch.headers[0]) == (TRACE, ("content-type", b"application/cloudevents+json"))
    assert (batch.values[1:], batch.headers[1:]) == (came.values[1:], came.headers and came.headers[1:])

    def letter(offset: int, topic: str = "t") -> DeadLetter:
        return DeadLetter("s", topic, 1, offset, "E", "m", 1, None, b"changed", (("changed", b""),))

    letters = [letter(5), letter(5), letter(5, "other"), letter(-1), letter(8)]
    give_back(letters, 1, came)
    assert [one.value for one in letters] == [b"changed", b'{"amount": 1}', b"changed", b"changed", None]
    assert letters[1].headers == tuple(BINARY)
    give_back(letters, len(letters), came)


def test_a_batch_without_events_in_binary_mode_is_handed_on() -> None:
    plain = Fetched("t", 0, 0, 1, [b"{}"], [None], [1], [0])
    traced = Fetched("t", 0, 0, 1, [b"{}"], [None], [1], [0], [[TRACE]])
    assert bring(plain) is plain
    assert bring(traced) is traced

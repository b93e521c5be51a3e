"""Dead letters on a real broker: listed, shown, and replayed once."""

from __future__ import annotations

import asyncio
import base64
import json
import random
import signal
from pathlib import Path

import pytest

from headrace.kafka.dead_letters import DeadLetters, Letter, Selection, open_letters
from headrace.kafka.errors import FencedError
from headrace.kafka.model import Columns, Header, Partition
from headrace.kafka.settings import FleetSettings
from headrace.kafka.topics_admin import TopicAdmin, TopicSpec
from tests.kafka.fleets import Shop, make_shop, started
from tests.kafka.support import run

TRACE = ("traceparent", b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
BAD = b'{"id": "x", "country": "DE", "amount": 1, "at": 5}'
NEGATIVE = b'{"id": 7, "country": "DE", "amount": -1, "at": 5}'


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, bootstrap: str) -> Shop:
    """Return a shop whose worker has seen good records and bad ones: 3 in partition 1, 5 in partition 2."""
    made = make_shop(tmp_path_factory.mktemp("shop"), bootstrap)
    made.feed(0, 40)
    headers: list[list[Header]] = [[TRACE, ("empty", b"")], [], [("twice", b"1"), ("twice", b"2")]]
    made.write(
        {
            1: Columns([BAD, NEGATIVE, b"\x00\xff"], [1_000, 2_000, 3_000], [b"k1", None, b"k2"], headers),
            2: Columns([NEGATIVE] * 5, [4_000 + n for n in range(5)], [b"k%d" % n for n in range(5)]),
        }
    )
    with started(made, "worker", "shop.py", "--state-dir", "state") as worker:
        worker.until("running: ")
        made.until_read(48)
        assert worker.stop(signal.SIGTERM) == 0
    return made


def open_shop(shop: Shop) -> FleetSettings:
    return FleetSettings.of(brokers=shop.brokers, group="dlq")


def read_all(shop: Shop) -> list[Letter]:
    async def main() -> list[Letter]:
        async with open_letters(open_shop(shop), shop.name) as letters:
            return [letter async for letter in letters.read()]

    return run(main())


def replayed(shop: Shop) -> list[tuple[int, bytes | None, bytes | None, dict[str, bytes | None]]]:
    """Return the replayed records in the input topic."""
    found = [(number, key, value, dict(headers)) for number, key, value, headers in shop.records(shop.orders)]
    return [record for record in found if "headrace-replayed" in record[3]]


def test_letters_are_listed_by_kind(shop: Shop) -> None:
    rows = json.loads(shop.run("dlq", "list", shop.name, "--json").out)
    kinds = {row["message"].partition(":")[0]: (row["letters"], row["step"], row["topic"]) for row in rows}
    assert sum(row["letters"] for row in rows) == 8
    assert all(row["error"] == "DataError" and row["topology"] == shop.name for row in rows)
    assert all(kind[1:] == ("orders", shop.orders) for kind in kinds.values())
    assert shop.letters.removesuffix(".dead-letters") in shop.run("dlq", "list").out, "without a name: all"


def test_a_letter_is_found_by_its_place_and_by_its_record(shop: Shop) -> None:
    first = read_all(shop)[0]
    by_position = json.loads(shop.run("dlq", "show", shop.name, str(first.offset), "--json").out)
    by_origin = json.loads(shop.run("dlq", "show", shop.letters, first.origin, "--json").out)
    assert by_position == by_origin
    assert by_position["reason"]["offset"] == str(first.source and first.source[1])

    bad = next(letter for letter in read_all(shop) if letter.value == BAD)
    text = shop.run("dlq", "show", shop.name, bad.origin).out
    for line in ("  step                orders", f"  record              {bad.origin}", "  key                 k1",
                 f"  header traceparent  {TRACE[1].decode()}", "  replayed            no", BAD.decode()):  # fmt: skip
        assert line in text.splitlines()
    assert "field 'id'" in text
    binary = next(letter for letter in read_all(shop) if letter.value == b"\x00\xff")
    assert "\\x00" in shop.run("dlq", "show", shop.name, binary.position).out.splitlines()[-1], "nothing unprintable"


def test_what_is_not_there_is_said(shop: Shop) -> None:
    done = shop.run("dlq", "show", shop.name, "999")
    assert (done.code, done.err) == (2, f"headrace: there is no dead letter at '999' in {shop.letters}\n")
    done = shop.run("dlq", "list", "no-such-topology")
    assert done.code == 2
    assert "there is no topic 'no-such-topology.dead-letters'" in done.err
    assert shop.run("dlq", "replay", shop.name, "--offsets", "7").code == 2


def test_replay_sends_the_original_once_and_only_what_is_meant(shop: Shop) -> None:
    nothing = shop.run("dlq", "replay", shop.name, "--step", "no-such-step")
    assert (nothing.code, nothing.err) == (0, "replayed 0\n")
    assert shop.run("dlq", "replay", shop.name, "--dry-run").code == 0
    assert replayed(shop) == []

    assert shop.run("dlq", "replay", shop.name, "--topic", shop.orders, "--offsets", "0..3").err == "replayed 4\n"
    assert shop.run("dlq", "replay", shop.name, "--step", "orders").err == "replayed 4; 4 had been before\n"
    assert shop.run("dlq", "replay", shop.name).err == "replayed 0; 8 had been before\n"

    found = replayed(shop)
    assert sorted((number, key or b"", value) for number, key, value, _ in found) == sorted(
        [(1, b"k1", BAD), (1, b"", NEGATIVE), (1, b"k2", b"\x00\xff"), *((2, b"k%d" % n, NEGATIVE) for n in range(5))],
        key=lambda record: record[:2],
    )
    bad = next(headers for _, _, value, headers in found if value == BAD)
    assert bad.keys() == {"traceparent", "empty", "headrace-replayed"}, "no header of ours but one"
    assert (bad["traceparent"], bad["empty"]) == (TRACE[1], b"")
    listed = json.loads(shop.run("dlq", "list", shop.name, "--json").out)
    assert sum(row["replayed"] for row in listed) == 8
    assert all(letter.replayed is not None for letter in read_all(shop))


def noise(size: int) -> str:
    """Return text that does not shrink much when it is compressed."""
    return base64.b64encode(random.Random(size).randbytes(size * 3 // 4)).decode()


def large(number: int, size: int, amount: object = 150) -> bytes:
    order = {"id": number, "country": "DE", "amount": amount, "at": 5, "note": noise(size)}
    return json.dumps(order).encode()


@pytest.mark.parametrize("made_before", [False, True], ids=["letters made by the worker", "letters made before"])
def test_records_that_are_too_large_for_where_they_go_stop_no_worker(
    tmp_path: Path, bootstrap: str, made_before: bool
) -> None:
    shop = make_shop(tmp_path, bootstrap)

    async def create() -> None:
        async with TopicAdmin(bootstrap) as admin:
            await admin.delete([shop.orders])
            while not await admin.create([TopicSpec(shop.orders, 4, configs={"max.message.bytes": str(6 << 20)})]):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
            if made_before:
                await admin.create([TopicSpec(shop.letters, 1)])

    run(create())
    bad, good = large(1, 5 << 20, amount="x"), large(2, 3 << 20)
    shop.write({1: Columns([bad], [1_000]), 2: Columns([good, large(3, 100)], [1_000] * 2)})
    shop.feed(4, 40)
    with started(shop, "worker", "shop.py", "--state-dir", "state") as worker:
        worker.until("running: ")
        shop.until_read(43)
        assert worker.stop(signal.SIGTERM) == 0, worker.log
    out = [json.loads(value or b"")["id"] for _, _, value, _ in shop.records(f"{shop.name}.big")]
    assert 3 in out
    assert 2 not in out, "this topic takes 1 MiB"
    assert sum(shop.revenue().values()) == 42
    letters = {letter.reason["topic"]: letter for letter in read_all(shop)}
    assert letters.keys() == {shop.orders, f"{shop.name}.big (output)"}
    whole = {shop.orders: bad, f"{shop.name}.big (output)": good}
    for topic, letter in letters.items():
        assert letter.value == (whole[topic][:4_096] if made_before else whole[topic])
        assert (dict(letter.headers).get("headrace-shortened") == str(len(whole[topic])).encode()) is made_before
        assert ("shortened" in letter.reason["message"]) is made_before
    assert letters[f"{shop.name}.big (output)"].reason["step"] == "big-out"
    done = shop.run("dlq", "replay", shop.name)
    assert done.err.startswith("replayed 0\n" if made_before else "replayed 1\n")
    assert ("1 cannot be replayed: shortened, the record was too large" in done.err) is made_before


def test_a_record_without_a_value_is_replayed_without_one(tmp_path: Path, bootstrap: str) -> None:
    shop = make_shop(tmp_path, bootstrap)
    shop.write({1: Columns([None, b""], [1_000, 2_000], [b"k1", b"k2"])})
    with started(shop, "worker", "shop.py", "--state-dir", "state") as worker:
        worker.until("running: ")
        shop.until_read(2)
        assert worker.stop(signal.SIGTERM) == 0
    assert [letter.value for letter in read_all(shop)] == [None, b""]
    shown = shop.run("dlq", "show", shop.name, f"{shop.orders}-1@0").out
    assert "the record has no value" in shown
    assert shop.run("dlq", "replay", shop.name).err == "replayed 2\n"
    assert [(key, value) for _, key, value, _ in replayed(shop)] == [(b"k1", None), (b"k2", b"")]


def fill_letters(shop: Shop, count: int, *, derived: int = 0) -> None:
    """Write letters as a worker does, into a topic that a worker has made."""

    def headers(n: int, offset: int) -> list[Header]:
        values = {"topology": shop.name, "step": "orders", "topic": shop.orders, "partition": str(n % 4),
                  "offset": str(offset), "error": "DataError", "message": "m", "time": "t"}  # fmt: skip
        return [("own", b"1"), *((f"headrace-{name}", text.encode()) for name, text in values.items())]

    total = count + derived
    columns = Columns(
        [b"letter-%d" % n for n in range(total)],
        [1_000] * total,
        [b"k"] * total,
        [headers(n, n if n < count else -1) for n in range(total)],
    )

    async def main() -> None:
        from tests.kafka.support import write

        async with TopicAdmin(shop.brokers) as admin:
            await admin.create([TopicSpec(shop.letters, 1)])
        await write(shop.brokers, shop.letters, columns)

    run(main())


class Killed(Exception):
    """In the place of a kill."""


def test_a_replay_that_dies_in_the_middle_leaves_nothing_half_done(tmp_path: Path, bootstrap: str) -> None:
    shop = make_shop(tmp_path, bootstrap)
    fill_letters(shop, 50)

    async def interrupted() -> None:
        async with open_letters(open_shop(shop), shop.name) as letters:
            times = 0

            def die(_: object) -> None:
                nonlocal times
                times += 1
                if times == 2:
                    raise Killed

            await letters.replay(Selection(), per_transaction=10, on_progress=die)

    async def torn() -> None:
        """Write records of the third transaction and never commit it."""
        async with open_letters(open_shop(shop), shop.name) as letters:
            from headrace.kafka.producing import TransactionalProducer

            producer = TransactionalProducer(letters._client, f"{shop.letters}/replay")
            await producer.start()
            producer.begin()
            producer.append(shop.orders, 0, Columns([b"never"], [1_000]))
            await producer.flush()
            await producer.close()

    with pytest.raises(Killed):
        run(interrupted())
    run(torn())
    assert shop.run("dlq", "replay", shop.name).err == "replayed 30; 20 had been before\n"
    values = [value for _, _, value, _ in replayed(shop)]
    assert len(values) == 50
    assert set(values) == {b"letter-%d" % n for n in range(50)}
    assert b"never" not in [value for _, _, value, _ in shop.records(shop.orders)]
    by_partition = [[value for number, _, value, _ in replayed(shop) if number == n] for n in range(4)]
    assert all(found == [b"letter-%d" % n for n in range(place, 50, 4)] for place, found in enumerate(by_partition))


def test_of_two_replays_at_once_the_later_one_wins_and_nothing_is_sent_twice(tmp_path: Path, bootstrap: str) -> None:
    shop = make_shop(tmp_path, bootstrap)
    fill_letters(shop, 40)

    async def scenario() -> None:
        async with (
            open_letters(open_shop(shop), shop.name) as first,
            open_letters(open_shop(shop), shop.name) as second,
        ):
            reached, go_on = asyncio.Event(), asyncio.Event()
            send = first._send

            async def slow(*args: object) -> None:
                if reached.is_set():
                    await go_on.wait()
                await send(*args)  # type: ignore[arg-type]
                reached.set()

            first._send = slow  # type: ignore[method-assign]
            early = asyncio.create_task(first.replay(Selection(), per_transaction=10))
            await reached.wait()
            outcome = await second.replay(Selection())
            go_on.set()
            with pytest.raises(FencedError):
                await early
            assert (outcome.replayed, outcome.before) == (30, 10)

    run(scenario())
    assert len(replayed(shop)) == 40


def test_letters_of_derived_rows_are_refused_with_the_reason(tmp_path: Path, bootstrap: str) -> None:
    shop = make_shop(tmp_path, bootstrap)
    fill_letters(shop, 2, derived=3)
    done = shop.run("dlq", "replay", shop.name)
    assert done.code == 1
    assert done.err == (
        f"replayed 2\n3 cannot be replayed: derived, the record that came in is not kept: {shop.orders}\n"
    )


def test_a_letter_of_a_letter_keeps_the_headers_of_the_first() -> None:
    names = ("topology", "step", "topic", "partition", "offset", "error", "message", "time")
    first = [(f"headrace-{name}", b"1") for name in names]
    letter = Letter.of(Partition("x.dead-letters", 0), 5, 0, (None, b"", [("a", b"b"), *first, *first]))
    assert letter.headers == (("a", b"b"), *first)
    assert letter.origin == "1-1@1"
    assert DeadLetters.__doc__

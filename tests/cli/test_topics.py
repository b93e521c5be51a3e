"""``headrace topics``."""

from __future__ import annotations

import json
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from tests.cli.commands import ORDERS, command, environment, headrace, running

NDJSON = {"content-type": "application/x-ndjson"}


@pytest.fixture
def ran(fleet: Path) -> Path:
    # Of today: the log gives up what is older than its retention.
    (fleet / "orders.ndjson").write_text(ORDERS.replace("2024-05-01", f"{datetime.now(UTC):%Y-%m-%d}"))
    assert headrace("run", "shop.py", "--input", "orders=orders.ndjson", cwd=fleet).code == 0
    return fleet


def test_topics_are_listed_with_what_they_hold(ran: Path) -> None:
    rows = json.loads(headrace("topics", "list", "--json", cwd=ran).out)

    assert {row["topic"]: (row["kept"], row["ever"]) for row in rows} == {
        "big-orders": (2, 2),
        "revenue-per-minute": (3, 3),
    }


def test_the_newest_records_are_shown_by_time(ran: Path) -> None:
    done = headrace("topics", "tail", "big-orders", cwd=ran)

    assert [json.loads(line)["id"] for line in done.out.splitlines()] == ["1", "3"]
    assert [
        json.loads(x)["id"] for x in headrace("topics", "tail", "big-orders", "-n", "1", cwd=ran).out.split("\n")[:-1]
    ] == ["3"]


def test_a_record_is_shown_with_its_place(ran: Path) -> None:
    line = headrace("topics", "tail", "revenue-per-minute", "-n", "1", "--json", cwd=ran).out

    assert json.loads(line).keys() == {"partition", "offset", "time", "key", "value", "headers"}


def test_a_dead_letter_is_shown_with_why_it_is_one(fleet: Path) -> None:
    bad = '{"id": "5", "country": "DE", "amount": -1, "at": "2024-05-01T12:00:00Z"}'
    (fleet / "orders.ndjson").write_bytes(ORDERS.encode() + bad.encode() + b"\n\x1b[31m \xff\n")
    assert headrace("run", "shop.py", "--input", "orders=orders.ndjson", cwd=fleet).code == 0
    done = headrace("topics", "tail", "shop.dead-letters", cwd=fleet)

    assert "step orders, orders-0@4: field 'amount': " in done.out
    assert f"\n  {bad}\n" in done.out
    assert "\n  \\x1b[31m \ufffd\n" in done.out
    (line, _) = headrace("topics", "tail", "shop.dead-letters", "--json", cwd=fleet).out.splitlines()
    assert json.loads(line)["headers"]["headrace-step"] == "orders"


def test_an_unknown_topic_is_refused(ran: Path) -> None:
    done = headrace("topics", "tail", "nope", cwd=ran)

    assert done.code == 2
    assert done.err.startswith("headrace: there is no topic 'nope' in this data directory")


def test_a_directory_without_a_log_is_refused(tmp_path: Path) -> None:
    assert headrace("topics", "list", cwd=tmp_path).code == 3


def test_follow_shows_what_a_running_worker_appends(fleet: Path) -> None:
    with running("shop.py", cwd=fleet) as worker:
        tail = subprocess.Popen(
            command("topics", "tail", "orders", "--follow"), cwd=fleet, env=environment(), stdout=subprocess.PIPE
        )
        with tail:
            for n in range(3):
                httpx.post(f"{worker.url}/topics/orders", content=f'{{"n":{n}}}', headers=NDJSON, trust_env=False)
            assert tail.stdout is not None
            assert [tail.stdout.readline() for _ in range(3)] == [b'{"n":0}\n', b'{"n":1}\n', b'{"n":2}\n']
            tail.kill()

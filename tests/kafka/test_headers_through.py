"""Headers go through a worker: the trace to what is made, all of them to what is passed on; events in binary mode."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from headrace.kafka.model import Columns, Header
from tests.kafka.fleets import Shop, make_shop, started
from tests.kafka.test_formats import BINARY, TRACE

EVENTS = """
from headrace import Topology, col
from headrace.event import Event

class Paid(Event, type="shop.paid", version=2):
    amount: int

topology = Topology("{name}")
paid = topology.source("paid", topic="{name}.orders", schema=Paid)
paid.filter("some", col.amount > 0).sink("raw", topic="{name}.raw")
paid.select("row", col.amount).sink("made", topic="{name}.made")
by_amount = paid.group_by("by-amount", col.amount).stream()
by_amount.select("moved-row", col.amount).sink("moved", topic="{name}.moved")
"""


@pytest.fixture
def shop(tmp_path: Path, bootstrap: str) -> Shop:
    made = make_shop(tmp_path, bootstrap)
    (tmp_path / "shop.py").write_text(EVENTS.replace("{name}", made.name))
    return made


def test_events_in_binary_mode_are_read_and_headers_go_on(shop: Shop) -> None:
    values = [b'{"amount": 5}', b'{"amount": "x"}', b"not json"]
    headers: list[list[Header]] = [BINARY, BINARY, BINARY]
    shop.write({0: Columns(values, [1_000] * 3, [b"a", b"b", b"c"], headers)})
    with started(shop, "worker", "shop.py", "--state-dir", "state") as worker:
        worker.until("running: ")
        worker.until("3 in, ")
        assert worker.stop(signal.SIGTERM) == 0
    ((_, _, raw, raw_headers),) = shop.records(f"{shop.name}.raw")
    assert json.loads(raw or b"")["data"] == {"amount": 5}
    assert dict(raw_headers) == dict([TRACE, ("content-type", b"application/cloudevents+json")])
    ((_, _, made, made_headers),) = shop.records(f"{shop.name}.made")
    assert (json.loads(made or b""), list(made_headers)) == ({"amount": 5}, [TRACE])
    ((_, _, moved, moved_headers),) = shop.records(f"{shop.name}.moved")
    assert (json.loads(moved or b""), list(moved_headers)) == ({"amount": 5}, [TRACE])
    letters = shop.records(shop.letters)
    assert [value for _, _, value, _ in letters] == values[1:], "untouched"
    assert all(list(found[: len(BINARY)]) == BINARY for _, _, _, found in letters)

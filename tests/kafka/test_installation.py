"""Topologies on an app, and the directory of local state, without a broker."""

from __future__ import annotations

from pathlib import Path

import faust
import pytest
from pydantic import BaseModel

from headrace import Topology, agg, col
from headrace.errors import ConfigError, StateLocked
from headrace.kafka import FleetSettings, install
from headrace.kafka.installation import _DAMAGED, _open_state
from headrace.plan import Plan, compile_plan
from headrace.state.protocol import Batch


class Event(BaseModel):
    user: str
    n: int


def counting(**options: object) -> Topology:
    topology = Topology("counting")
    events = topology.source("events", topic="events", schema=Event)
    aggregates = {"n": agg.count(), **({"sum": agg.sum(col.n)} if options.get("summed") else {})}
    events.group_by("by-user", col.user).aggregate("n", **aggregates).on_update().sink("out", topic="out")
    return topology


# -- the group -------------------------------------------------------------------------------------


def app(tmp_path: Path, **options: object) -> faust.App:
    return faust.App("shop", datadir=str(tmp_path), store="memory://", **options)


def test_settings_come_from_the_app_and_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_COMMIT_INTERVAL", "50ms")
    monkeypatch.setenv("HEADRACE_GROUP", "another")
    made = install(app(tmp_path, broker="kafka://one:9093;kafka://two", version=2), counting())
    assert (made.settings.group, made.settings.brokers) == ("shop-v2", "one:9093,two:9092")
    assert made.settings.commit_interval.total_seconds() == 0.05
    assert made.layout.group == "shop-v2"


def test_another_group_than_the_apps_is_refused(tmp_path: Path) -> None:
    settings = FleetSettings.of(brokers="localhost", group="cart")
    with pytest.raises(ConfigError) as caught:
        install(app(tmp_path), counting(), settings=settings)
    assert str(caught.value) == (
        "settings.group: expected the app's id 'shop', which is its consumer group, got 'cart'. "
        "Leave the settings out, or give them the app's id"
    )
    assert install(app(tmp_path), counting(), settings=settings.model_copy(update={"group": "shop"}))


# -- the directory of local state ------------------------------------------------------------------


@pytest.fixture
def settings(tmp_path: Path) -> FleetSettings:
    return FleetSettings.of(brokers="localhost", group="g", state_dir=tmp_path / "state")


def opened(settings: FleetSettings, plan: Plan) -> tuple[bytes | None, int]:
    """Open local state and close it; return what was in it, and how often it was built anew."""
    backend, wiped = _open_state(settings, [plan])
    found = backend.store("counting/n").get(b"key")
    batch = Batch()
    batch.put("counting/n", b"key", b"value")
    backend.write(batch)
    backend.close()
    return found, wiped


def test_state_of_the_same_plan_is_kept(settings: FleetSettings) -> None:
    plan = compile_plan(counting())
    assert opened(settings, plan) == (None, 0)
    assert opened(settings, plan) == (b"value", 0)


def test_state_of_another_plan_is_removed_and_counted(settings: FleetSettings) -> None:
    opened(settings, compile_plan(counting()))
    other = compile_plan(counting(summed=True))
    assert opened(settings, other) == (None, 1)
    assert opened(settings, other) == (b"value", 0), "once"


def test_state_that_was_found_damaged_is_removed_at_the_next_start_and_counted(settings: FleetSettings) -> None:
    plan = compile_plan(counting())
    opened(settings, plan)
    (settings.state_dir / _DAMAGED).touch()
    assert opened(settings, plan) == (None, 1)
    assert not (settings.state_dir / _DAMAGED).exists()
    assert opened(settings, plan) == (b"value", 0)


def test_state_that_cannot_be_read_is_removed_and_counted(settings: FleetSettings) -> None:
    plan = compile_plan(counting())
    opened(settings, plan)
    for file in settings.state_dir.glob("MANIFEST-*"):
        file.write_bytes(b"\x5a" * file.stat().st_size)
    assert opened(settings, plan) == (None, 1)


def test_state_that_another_process_has_is_left_alone(settings: FleetSettings) -> None:
    plan = compile_plan(counting())
    backend, _ = _open_state(settings, [plan])
    with pytest.raises(StateLocked):
        _open_state(settings, [compile_plan(counting(summed=True))])
    backend.close()
    assert opened(settings, plan) == (None, 0)

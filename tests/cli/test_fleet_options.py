"""From options and environment to the settings of a fleet."""

from __future__ import annotations

from datetime import timedelta

import pytest

pytest.importorskip("aiokafka")

from headrace import Topology
from headrace.cli.fleet import default_group, fleet_settings
from headrace.errors import ConfigError
from headrace.kafka.settings import FleetSettings, Guarantee


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in FleetSettings.model_fields:
        monkeypatch.delenv(f"HEADRACE_{name.upper()}", raising=False)
    return monkeypatch


def test_options_win_over_the_environment(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("HEADRACE_BROKERS", "kafka-1, kafka-2:9093")
    environment.setenv("HEADRACE_COMMIT_INTERVAL", "1s")
    environment.setenv("HEADRACE_GUARANTEE", "at_least_once")
    made = fleet_settings("shop", ["cache_bytes=3MiB"], commit_interval="50ms", worker=None)
    assert (made.brokers, made.group) == ("kafka-1:9092,kafka-2:9093", "shop")
    assert (made.commit_interval, made.guarantee) == (timedelta(milliseconds=50), Guarantee.AT_LEAST_ONCE)
    assert made.cache_bytes == 3 << 20


def test_the_group_is_named_after_what_runs(environment: pytest.MonkeyPatch) -> None:
    one, two = Topology("revenue"), Topology("guard")
    assert default_group("given", "shop.py", [one]) == "given"
    assert default_group(None, "shop.py", [one]) == "revenue"
    assert default_group(None, "workers/shop.py", [one, two]) == "shop"
    assert default_group(None, "workers.shop:topologies", [one, two]) == "shop"
    environment.setenv("HEADRACE_GROUP", "by-environment")
    environment.setenv("HEADRACE_BROKERS", "localhost")
    assert fleet_settings(default_group(None, "shop.py", [one])).group == "by-environment"


@pytest.mark.parametrize(
    ("options", "more", "message"),
    [
        ({}, [], "which brokers? Name them with --brokers HOST:PORT, or with HEADRACE_BROKERS in the environment"),
        ({"brokers": "a:b"}, [], "brokers: Value error, expected host:port, separated by commas, got 'a:b'"),
        ({"brokers": " , "}, [], "brokers: Value error, expected host:port, separated by commas"),
        ({"brokers": "a", "worker": "pod/1"}, [], "worker: Value error, expected letters, digits, '.', '_' and '-'"),
        ({"brokers": "a"}, ["no_such=1"], "--set: expected NAME=VALUE with one of block_cache_bytes, "),
        ({"brokers": "a"}, ["standbys"], "got 'standbys'"),
        (
            {"brokers": "a"},
            ["ssl_keypassword=x"],
            "a password on the command line is seen by others. Use HEADRACE_SSL_",
        ),
    ],
)
def test_what_is_wrong_is_named(options: dict[str, object], more: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        fleet_settings("shop", more, **options)
    assert message in str(raised.value)

"""Settings from the environment: misspelt names and wrong values are told by the variable."""

from __future__ import annotations

import pytest

from headrace.config import WorkerSettings
from headrace.errors import ConfigError
from headrace.kafka.settings import FleetSettings


@pytest.mark.parametrize(
    ("name", "meant"), [("PARTITION", "PARTITIONS"), ("FYSNC", "FSYNC"), ("CACHE_BYTE", "CACHE_BYTES")]
)
def test_a_misspelt_variable_is_refused_with_what_was_meant(name: str, meant: str) -> None:
    with pytest.raises(ConfigError) as caught:
        WorkerSettings.from_env(environ={f"HEADRACE_{name}": "3"})
    assert f"HEADRACE_{name}: there is no such setting. Did you mean HEADRACE_{meant}?" in str(caught.value)


@pytest.mark.parametrize("settings", [WorkerSettings, FleetSettings])
def test_variables_of_others_are_left_alone(settings: type[WorkerSettings] | type[FleetSettings]) -> None:
    names = {
        *WorkerSettings.model_fields,
        *FleetSettings.model_fields,
        *("TEST_BROKERS", "SOAK", "SOAK_IDLE", "SOAK_RATE", "SOAK_DAY_S", "SOAK_STEP_MS", "SOAK_SLACK"),
        *("KILL_SEED", "SUPERVISOR_PID"),
    }
    others = {f"HEADRACE_{name.upper()}": "x" for name in names - settings.model_fields.keys()}
    needed = {"HEADRACE_BROKERS": "localhost", "HEADRACE_GROUP": "shop"} if settings is FleetSettings else {}
    assert settings.from_env(environ={**others, **needed, "HEADRACES": "", "PARTITION": "3"})


def test_a_wrong_value_is_told_by_its_variable_and_one_that_was_given_by_its_name() -> None:
    with pytest.raises(ConfigError) as caught:
        WorkerSettings.from_env(environ={"HEADRACE_FSYNC": "sometimes", "HEADRACE_PARTITIONS": "0"}, partitions=-1)
    assert str(caught.value).splitlines()[1:] == [
        "  partitions: Input should be greater than or equal to 1, got -1",
        "  HEADRACE_FSYNC: expected on or off, got 'sometimes'",
    ]


def test_a_wrong_password_is_not_shown() -> None:
    environ = {"HEADRACE_BROKERS": "a", "HEADRACE_GROUP": "g", "HEADRACE_SASL_PASSWORDS": "secret"}
    with pytest.raises(ConfigError) as caught:
        FleetSettings.from_env(environ=environ)
    assert "HEADRACE_SASL_PASSWORD?" in str(caught.value)
    assert "secret" not in str(caught.value)

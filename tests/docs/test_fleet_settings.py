"""The table of the fleet's settings is that of the model."""

from __future__ import annotations

import re
from datetime import timedelta
from enum import Enum
from pathlib import Path

import pytest
from pydantic import ByteSize
from pydantic.fields import FieldInfo

pytest.importorskip("aiokafka")

from headrace.kafka.settings import FleetSettings

PAGE = (Path(__file__).parents[2] / "docs/reference/settings.md").read_text(encoding="utf-8")
FLEET = PAGE[PAGE.index("## A worker on Kafka") :]
ROWS = dict(re.findall(r"^\| `HEADRACE_([A-Z_]+)` \| (.*?) \|", FLEET, re.M))


def default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    if field.default_factory is not None:
        return "the host's name"
    match value := field.default:
        case None:
            return "none"
        case timedelta():
            ms = int(value / timedelta(milliseconds=1))
            return f"`{ms}ms`" if ms % 1000 else f"`{ms // 1000}s`"
        case Enum():
            return f"`{value.value}`"
        case ByteSize():
            return f"`{value >> 20}MiB`"
        case _:
            return f"`{value}`"


def test_the_table_has_every_setting_and_no_other_one() -> None:
    assert list(ROWS) == [name.upper() for name in FleetSettings.model_fields]


@pytest.mark.parametrize("name", FleetSettings.model_fields)
def test_the_table_has_the_defaults_of_the_model(name: str) -> None:
    assert ROWS[name.upper()] == default(FleetSettings.model_fields[name])


@pytest.mark.parametrize("name", [name for name in ROWS if ROWS[name].startswith("`")])
def test_a_default_may_be_given_as_the_table_has_it(name: str) -> None:
    environ = {"HEADRACE_BROKERS": "localhost", "HEADRACE_GROUP": "g", f"HEADRACE_{name}": ROWS[name].strip("`")}
    found = FleetSettings.from_env("HEADRACE_", environ)
    assert getattr(found, name.lower()) == FleetSettings.model_fields[name.lower()].default

"""Help and settings of the fleet's commands are there at once: Faust is loaded only where a worker runs."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.cli.commands import environment

HEAVY = {"aiokafka", "faust", "mode", "rocksdict"}


def loaded_by(statement: str) -> set[str]:
    program = f"import sys\n{statement}\nprint(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment()
    )
    return set(done.stdout.split())


@pytest.mark.parametrize("words", [[], ["worker"], ["topics"], ["topics", "plan"], ["dlq"], ["dlq", "replay"]])
def test_help_loads_no_client(words: list[str]) -> None:
    statement = f"""
from headrace.cli.main import app
try:
    app([*{words!r}, "--help"])
except SystemExit as done:
    assert done.code == 0
"""
    assert loaded_by(statement) & HEAVY == set()


@pytest.mark.parametrize(
    "module", ["headrace", "headrace.kafka", "headrace.kafka.settings", "headrace.kafka.supervisor"]
)
def test_settings_and_supervisor_load_no_client(module: str) -> None:
    assert loaded_by(f"import {module}") & HEAVY == set()


def test_what_kafka_does_not_have_is_an_attribute_error() -> None:
    import headrace.kafka

    with pytest.raises(AttributeError, match=r"module 'headrace.kafka' has no attribute 'instal'"):
        headrace.kafka.instal  # noqa: B018

"""The reference pages that are written by hand name all that there is."""

from __future__ import annotations

from pathlib import Path

import typer.main

from headrace import config
from headrace.cli.main import app
from headrace.config import WorkerSettings
from headrace.topology.functions import FUNCTIONS, Functions

DOCS = Path(__file__).parents[2] / "docs"


def commands(group: object, path: str) -> list[str]:
    below = getattr(group, "commands", None)
    if below is None:
        return [path]
    return [name for key, command in below.items() for name in commands(command, f"{path} {key}")]


def test_the_command_line_page_names_every_command() -> None:
    page = (DOCS / "reference/command-line.md").read_text(encoding="utf-8")
    assert [name for name in commands(typer.main.get_command(app), "headrace") if f"`{name}" not in page] == []


def test_every_function_of_the_language_has_a_docstring() -> None:
    assert [name for name in FUNCTIONS if not getattr(Functions, name).__doc__] == []


def test_every_setting_has_a_docstring() -> None:
    source = Path(config.__file__).read_text(encoding="utf-8").splitlines()
    places = {name: next(n for n, line in enumerate(source) if line.startswith(f"    {name}:")) for name in fields()}
    assert [name for name, place in places.items() if not source[place + 1].strip().startswith('"""')] == []


def fields() -> list[str]:
    return list(WorkerSettings.model_fields)

"""The reference pages that are written by hand name all that there is."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from enum import Enum
from pathlib import Path

import pytest
import typer.main

from headrace import Topology, agg, calendar, config, count_window, hopping, session, sliding, tumbling
from headrace.cli.main import app
from headrace.config import WorkerSettings
from headrace.testing import TopologyDriver
from headrace.topology.functions import FUNCTIONS, Functions
from headrace.topology.grouped import Grouped
from headrace.topology.stream import Stream
from headrace.topology.tabled import Aggregated, Tabled

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


def shown(name: str, function: Callable[..., object]) -> str:
    """Return a call as the cheat sheet writes it: names and defaults, no types."""
    parts, keyword_only = [], False
    for parameter in inspect.signature(function).parameters.values():
        if parameter.name == "self":
            continue
        if parameter.kind is parameter.KEYWORD_ONLY and not keyword_only:
            keyword_only = True
            if not any(part.startswith("*") for part in parts):
                parts.append("*")
        plain = parameter.default if not isinstance(parameter.default, Enum) else parameter.default.value
        stars = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
        default = "" if parameter.default is parameter.empty else f"={plain!r}".replace("'", '"')
        parts.append(f"{stars}{parameter.name}{default}")
    return f"{name}({', '.join(parts)})"


def methods(*kinds: type) -> list[tuple[str, Callable[..., object]]]:
    found = ((name, value) for kind in kinds for one in kind.__mro__[:-1] for name, value in vars(one).items())
    return list(dict.fromkeys((name, value) for name, value in found if callable(value) and name[0] != "_"))


CALLS = [
    shown("topology.source", Topology.source),
    *(shown(name, function) for name, function in methods(Stream, Tabled, Aggregated)),
    *(shown(f"grouping.{name}", function) for name, function in methods(Grouped)),
    *(shown(function.__name__, function) for function in (tumbling, hopping, calendar, session, sliding, count_window)),
    *(shown(f"agg.{name}", function) for name, function in methods(type(agg))),
    *(shown(f"fn.{name}", getattr(Functions, name)) for name in FUNCTIONS),
]


@pytest.mark.parametrize("call", CALLS)
def test_the_cheat_sheet_shows_every_call_with_its_parameters(call: str) -> None:
    page = (DOCS / "reference/cheatsheet.md").read_text(encoding="utf-8").replace("\n", " ")
    assert f"`{call}`" in page


@pytest.mark.parametrize("call", [call for call in CALLS if not call.startswith("fn.")])
def test_the_cheat_sheet_has_an_example_of_every_step_and_aggregate(call: str) -> None:
    page = (DOCS / "reference/cheatsheet.md").read_text(encoding="utf-8")
    code = "".join(re.findall(r"```python\n(.*?)```", page, re.S))
    assert re.search(rf"\b{call.partition('(')[0].rpartition('.')[2]}\(", code)


def test_the_cheat_sheet_names_every_method_of_the_test_driver() -> None:
    page = (DOCS / "reference/cheatsheet.md").read_text(encoding="utf-8")
    assert [name for name, _ in methods(TopologyDriver) if f"`{name}(" not in page] == []


def test_the_settings_page_names_every_variable_of_the_environment() -> None:
    page = (DOCS / "reference/settings.md").read_text(encoding="utf-8")
    assert [name for name in fields() if f"`HEADRACE_{name.upper()}`" not in page] == []


def fields() -> list[str]:
    return list(WorkerSettings.model_fields)

"""What the repository promises about itself."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = sorted(path for room in ("src", "schemas", "topologies", "workers") for path in (ROOT / room).rglob("*.py"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")


def name_of(module: Path) -> str:
    return str(module.relative_to(ROOT))


def test_the_lock_names_no_host_and_no_path() -> None:
    found = re.findall(r"(?im)^.*(?:https?:|file:|--(?:extra-)?index-url|--find-links|--trusted-host|\s/\w+/).*$", LOCK)
    assert found == []


def test_every_package_in_the_lock_has_a_hash() -> None:
    pinned = re.findall(r"(?m)^[a-z0-9][^\n]*==.*(?:\n .*)*", LOCK)
    assert pinned
    assert [entry.splitlines()[0] for entry in pinned if "--hash=sha256:" not in entry] == []


def test_the_lock_has_every_dependency() -> None:
    locked = set(re.findall(r"(?m)^([a-z0-9._-]+)", LOCK))
    extras = PROJECT["optional-dependencies"].values()
    wanted = {re.split(r"[\[<>=!~ ;]", line)[0] for group in (PROJECT["dependencies"], *extras) for line in group}
    assert wanted - locked - {"headrace"} == set()


def test_no_module_is_longer_than_400_lines() -> None:
    lengths = {name_of(path): len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES}
    assert {name: length for name, length in lengths.items() if length > 400} == {}


def test_no_function_is_longer_than_60_lines() -> None:
    too_long = []
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or 0) - node.lineno + 1
                if length > 60:
                    too_long.append(f"{name_of(path)}:{node.lineno} {node.name} ({length} lines)")
    assert too_long == []


def test_the_package_is_marked_as_typed() -> None:
    assert (ROOT / "src/headrace/py.typed").exists()


@pytest.mark.parametrize("word", ["TODO", "FIXME", "XXX", "unittest.mock"])
def test_the_engine_leaves_nothing_for_later(word: str) -> None:
    assert [name_of(path) for path in MODULES if word in path.read_text(encoding="utf-8")] == []

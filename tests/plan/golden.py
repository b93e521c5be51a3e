"""The golden files: the plans of the reference fleet. ``python -m tests.plan.golden`` writes them anew."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from headrace.operators import code
from headrace.plan import compile_plan, describe

FOLDER = Path(__file__).parent / "golden"
FLEET = ("access_guard", "git_activity", "low_stock", "order_revenue", "user_sessions")


def rendered() -> Iterator[tuple[str, str]]:
    """Yield (file name, text) of every form of every plan."""
    for name in FLEET:
        plan = compile_plan(import_module(f"topologies.{name}").topology)
        described = describe(plan)
        yield f"{name}.txt", f"{described}\n"
        yield f"{name}.json", json.dumps(described.to_json(), indent=1) + "\n"
        yield f"{name}.mmd", f"{described.to_mermaid()}\n"
    plan = compile_plan(import_module("topologies.git_activity").topology)
    yield "git_activity.code", code(plan)


def main() -> None:
    """Write all files."""
    FOLDER.mkdir(exist_ok=True)
    for name, text in rendered():
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

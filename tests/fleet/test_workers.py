"""The kinds of workers, the simulation's command line, and the demo."""

import importlib
import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from headrace.plan import compile_plan
from headrace.runtime.loading import load_target
from headrace.runtime.summary import Summary, TopologySummary
from workers import demo, simulate
from workers.demo_display import Display

ROOT = Path(__file__).parents[2]
KINDS = ("access", "shop", "warehouse", "fraud", "history")


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_worker_names_topologies_that_compile(kind: str) -> None:
    topologies = load_target(f"workers.{kind}")
    assert topologies == importlib.import_module(f"workers.{kind}").topologies
    for topology in topologies:
        compile_plan(topology)


def test_every_topology_of_the_fleet_runs_on_exactly_one_kind_of_worker() -> None:
    modules = {path.stem for path in (ROOT / "topologies").glob("*.py")} - {"__init__"}
    declared = sorted(importlib.import_module(f"topologies.{name}").topology.name for name in modules)
    deployed = sorted(topology.name for kind in KINDS for topology in load_target(f"workers.{kind}"))
    assert deployed == declared


def test_the_simulation_writes_a_file_per_topic_and_the_tally(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert simulate.main(["--events", "400", "--seed", "3", "--out", str(tmp_path / "day")]) == 0
    tally = json.loads((tmp_path / "day" / "tally.json").read_text())
    for topic, counts in tally.items():
        assert (tmp_path / "day" / f"{topic}.ndjson").read_bytes().count(b"\n") == counts["records"]
    assert len(capsys.readouterr().out.splitlines()) == len(tally) == 7


def test_the_demo_answers_its_questions_and_accounts_for_every_record(capsys: pytest.CaptureFixture[str]) -> None:
    assert demo.main(events=8_000, seed=5)
    lines = capsys.readouterr().out.splitlines()
    for question in ("Which tenants have the highest revenue?", "What is nearly sold out, and where?"):
        place = lines.index(question)
        assert lines[place + 2].strip(), question
    for alert in (
        "Whose password was guessed?",
        "Who was in two places at once?",
        "Which orders were not paid",
        "sold out",
    ):
        (place,) = [
            number for number, line in enumerate(lines) if alert in line and line.endswith(("last)", "est)", "first)"))
        ]
        assert lines[place + 2].strip(), alert
    assert lines[-1].endswith("every record is accounted for.")
    assert not any("\x1b" in line for line in lines)


def test_what_the_demo_says_to_be_complete_never_goes_back(capsys: pytest.CaptureFixture[str]) -> None:
    def one(name: str, records: int, hour: int | None) -> TopologySummary:
        return TopologySummary(
            name, records, 0, 0, 0, 0, None if hour is None else datetime(2026, 1, 5, hour, tzinfo=UTC)
        )

    display = Display(list, list)
    display.watch({"first": 10, "second": 10})
    for first, second, derived in (
        (one("first", 5, 9), one("second", 0, None), one("derived", 0, None)),
        (one("first", 6, 10), one("second", 1, 7), one("derived", 0, None)),
        (one("first", 10, None), one("second", 2, 8), one("derived", 1, 3)),
    ):
        display.progress(Summary((first, second, derived), 1.0))
    assert [line.split()[-1] for line in capsys.readouterr().out.splitlines()] == ["-", "07:00", "08:00"]


def test_the_demo_ends_by_itself_when_it_is_not_on_a_terminal() -> None:
    program = "from workers.demo import main; main(events=2000)"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": "src"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=120,
        check=True,
        text=True,
    )
    assert "accounted for" in done.stdout
    assert done.stderr == ""

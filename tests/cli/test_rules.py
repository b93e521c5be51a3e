"""``headrace rules``."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.cli.commands import headrace, running

FRAUD = """
from datetime import datetime
from decimal import Decimal
from pydantic import BaseModel
from headrace import Rule, RuleChange, Topology

class Payment(BaseModel):
    id: str
    amount: Decimal
    country: str | None = None
    at: datetime | None = None

topology = Topology("fraud")
payments = topology.source("payments", topic="payments", schema=Payment, idle_timeout="200ms")
control = topology.source("rules", topic="fraud.rules", schema=RuleChange, idle_timeout="200ms")
huge = Rule(name="huge", condition="amount > 1000", target="blocked", priority=1)
routed = payments.route("decide", control, initial=[huge])
routed.to_targets("to")
routed.unmatched().sink("rest", topic="passed")
"""

RULES = """
rules:
  - name: abroad
    condition: "country <> 'DE' and amount > 10"
    target: review
    tags: [geo]
  - name: huge
    condition: amount > 500
    target: blocked
    priority: 1
    version: 2
"""


@pytest.fixture
def fraud(tmp_path: Path) -> Path:
    (tmp_path / "fraud.py").write_text(FRAUD)
    (tmp_path / "rules.yaml").write_text(RULES)
    (tmp_path / "bad.yaml").write_text('- {name: x, condition: "amont > 1"}\n- {name: y, condition: "amount > 1"}\n')
    return tmp_path


def event(**values: Any) -> str:
    return json.dumps(values)


def test_an_event_is_explained_part_by_part(fraud: Path) -> None:
    done = headrace("rules", "test", "rules.yaml", "--event", event(amount=600, country="FR"), cwd=fraud)

    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines() == [
        "huge: fires, the first, target blocked",
        "  (col.amount > 500) = true",
        "    col.amount = 600",
        "abroad: fires, target review",
        "  ((col.country != 'DE') & (col.amount > 10)) = true",
        "    (col.country != 'DE') = true",
        '      col.country = "FR"',
        "    (col.amount > 10) = true",
        "      col.amount = 600",
    ]


def test_an_event_that_fires_no_rule_gives_exit_code_1(fraud: Path) -> None:
    done = headrace("rules", "test", "rules.yaml", "--event", "-", "--json", cwd=fraud, stdin=event(amount=600.5))
    assert (done.code, [rule["fires"] for rule in json.loads(done.out)]) == (0, [True, False])
    done = headrace("rules", "test", "rules.yaml", "--event", event(amount=7), "--json", cwd=fraud)
    assert (done.code, [rule["fires"] for rule in json.loads(done.out)]) == (1, [False, False])
    (_, abroad) = json.loads(done.out)
    # country is missing: null, so the comparison with it is null too
    assert [part["value"] for part in abroad["parts"]][:2] == [False, None]


def test_an_event_is_read_by_its_schema(fraud: Path) -> None:
    (fraud / "times.yaml").write_text("- {name: new, condition: \"at > timestamp '2024-01-01T00:00:00Z'\"}")
    sent = event(id="1", amount="5.00", at="2024-05-01T00:00:00Z")
    done = headrace("rules", "test", "times.yaml", "--event", sent, "--schema", "fraud:Payment", cwd=fraud)
    assert (done.code, done.err) == (0, "")
    wrong = headrace(
        "rules", "test", "times.yaml", "--event", event(amount="x"), "--schema", "fraud:Payment", cwd=fraud
    )
    assert wrong.code == 2
    assert wrong.err.startswith("headrace: --event: it is no Payment: id: Field required; amount: ")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("bad.yaml", "--event", '{"id": "1", "amount": 5}', "--schema", "fraud:Payment"), "got 'amont'. Did you mean"),
        (("none.yaml", "--event", "{}"), "none.yaml cannot be read: No such file or directory"),
        (("rules.yaml", "--event", "{"), "--event: expected JSON, got '{'"),
        (("rules.yaml", "--event", "[]"), "--event: expected a JSON object, got '[]'"),
        (("rules.yaml", "--event", "{}", "--schema", "fraud"), "--schema: expected MODULE:CLASS, got 'fraud'"),
        (("rules.yaml", "--event", "{}", "--schema", "fraud:huge"), "--schema: expected a pydantic model, got"),
    ],
)
def test_what_cannot_be_tried_out_gives_exit_code_2(fraud: Path, arguments: tuple[str, ...], told: str) -> None:
    done = headrace("rules", "test", *arguments, cwd=fraud)
    assert done.code == 2
    assert told in done.err


def wait_for(url: str, topic: str, count: int, cwd: Path) -> list[str]:
    for _ in range(50):
        done = headrace("topics", "tail", topic, cwd=cwd)
        found = [json.loads(line)["id"] for line in done.out.splitlines()]
        if len(found) >= count:
            return found
        time.sleep(0.1)
    raise AssertionError(f"{topic}: {done}")


def test_rules_are_published_listed_and_removed_while_a_worker_runs(fraud: Path) -> None:
    with running("fraud.py", cwd=fraud) as worker:

        def pay(number: int, amount: int) -> None:
            body = event(id=str(number), amount=amount, country="FR")
            headers = {"content-type": "application/json"}
            assert httpx.post(
                f"{worker.url}/topics/payments", content=body, headers=headers, trust_env=False
            ).is_success

        pay(1, 600)
        assert wait_for(worker.url, "passed", 1, fraud) == ["1"]
        done = headrace("rules", "put", "fraud.rules", "rules.yaml", "--target", "fraud.py", cwd=fraud)
        assert (done.code, done.err) == (0, "published 2 rules\n")
        pay(2, 600)
        pay(3, 60)
        assert wait_for(worker.url, "blocked", 1, fraud) == ["2"]
        assert wait_for(worker.url, "review", 1, fraud) == ["3"]
        done = headrace("rules", "remove", "fraud.rules", "huge", "--version", "3", cwd=fraud)
        assert (done.code, done.err) == (0, "removed 1 rule\n")
        pay(4, 6000)
        assert wait_for(worker.url, "review", 2, fraud) == ["3", "4"]

        listed = headrace("rules", "list", "fraud.rules", "--target", "fraud.py", "--json", cwd=fraud)
        assert [(row["name"], row["state"], row["tags"]) for row in json.loads(listed.out)] == [
            ("abroad", "in force", ["geo"])
        ]
        before = headrace(
            "rules", "list", "fraud.rules", "--target", "fraud.py", "--at", "2020-01-01T00:00:00Z", cwd=fraud
        )
        assert [line.split("\t")[:2] for line in before.out.splitlines()[1:]] == [
            ["huge", "in force"], ["huge", "to come"], ["abroad", "to come"], ["huge", "to be removed"]
        ]  # fmt: skip


def test_bad_rules_are_not_published(fraud: Path) -> None:
    done = headrace("rules", "put", "fraud.rules", "bad.yaml", "--target", "fraud.py", cwd=fraud)
    assert done.code == 2
    assert done.err == "headrace: rule 'x': condition: expected a field, got 'amont'. Did you mean 'amount'?\n"
    done = headrace("rules", "put", "fraud.rules", "bad.yaml", "--only", "z", cwd=fraud)
    assert (done.code, done.err) == (2, "headrace: --only: there is no rule 'z' in the file; there are: x, y\n")
    done = headrace("rules", "put", "other", "rules.yaml", "--target", "fraud.py", cwd=fraud)
    assert (done.code, done.err) == (2, "headrace: --target fraud.py: no route takes its rules from topic 'other'\n")
    done = headrace("rules", "put", "fraud.rules", "rules.yaml", cwd=fraud)
    assert done.code == 2
    assert done.err.startswith("headrace: no worker answers for .headrace: start one with 'headrace run")
    assert headrace("rules", "list", "fraud.rules", cwd=fraud).code == 3

"""fraud-rules, by hand and on the simulated day."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from headrace import Rule, RuleChange
from headrace.testing import CrashPoint, TopologyDriver
from schemas.commerce import PaymentSettled
from topologies import fraud_rules
from workers.simulation import simulate

NOON = datetime(2024, 3, 1, 12, 0, tzinfo=UTC)


def payment(number: int, seconds: float, amount: str, status: str = "captured", **more: Any) -> PaymentSettled:
    return PaymentSettled.of(
        order_id=f"o-{number:08x}",
        provider="acme",
        status=status,
        amount=Decimal(amount),
        time=NOON + timedelta(seconds=seconds),
        tenant="t-1",
        **more,
    )


def change(rule: Rule, seconds: float) -> tuple[RuleChange, datetime]:
    return RuleChange.put(rule), NOON + timedelta(seconds=seconds)


def test_suspicious_payments_go_where_their_rule_says() -> None:
    driver = TopologyDriver(fraud_rules.topology, start=NOON)
    driver.pipe("commerce.payments", [payment(1, 1, "12000"), payment(2, 2, "2500"), payment(3, 3, "20")])
    driver.pipe("commerce.payments", payment(4, 4, "20", status="declined", reason="stolen_card"))
    driver.pipe("commerce.payments", payment(5, 5, "600", currency="USD"))
    driver.finish()
    blocked = driver.records("commerce.fraud-blocked")
    assert [(record.key, record.json()["rule"]) for record in blocked] == [
        (b"o-00000001", "very-large"), (b"o-00000004", "stolen-card")
    ]  # fmt: skip
    (row,) = driver.output("commerce.fraud-review")
    assert row == {
        "order_id": "o-00000002",
        "provider": "acme",
        "status": "captured",
        "amount": "2500",
        "currency": "EUR",
        "reason": None,
        "tenant": "t-1",
        "at": "2024-03-01T12:00:02Z",
        "rule": "large-captured",
        "rule_version": 1,
        "target": "commerce.fraud-review",
        "tags": ["amount"],
    }


def test_a_rule_is_enabled_at_an_instant_on_every_task_and_a_bad_one_changes_nothing() -> None:
    driver = TopologyDriver(fraud_rules.topology, start=NOON, partitions=3)
    foreign = next(rule for rule in fraud_rules.RULES.rules() if rule.name == "foreign-currency")
    put, at = change(foreign.model_copy(update={"enabled": True, "version": 2}), 60)
    driver.pipe("commerce.fraud-rules", put, time=at, key=put.name)
    bad, at = change(foreign.model_copy(update={"condition": "currrency <> 'EUR'", "version": 3}), 70)
    driver.pipe("commerce.fraud-rules", bad, time=at, key=bad.name)
    driver.checkpoint()
    driver.crash(CrashPoint.BEFORE_WRITE)
    for partition in range(3):
        paid = [payment(10 * partition + n, 30 * n, "600", currency="USD") for n in range(4)]
        driver.pipe("commerce.payments", paid, partition=partition)
    driver.finish()
    found = sorted((row["order_id"][-2:], row["rule_version"]) for row in driver.output("commerce.fraud-review"))
    assert found == [(f"{10 * partition + n:02x}", 2) for partition in range(3) for n in (2, 3)]
    (rejected,) = driver.output("commerce.fraud-rules-rejected")
    assert "Did you mean 'currency'?" in rejected["reason"]
    (letter,) = driver.dead_letters()
    assert letter.topic == "commerce.fraud-rules"


def test_the_simulated_day_gives_what_plain_python_finds(tmp_path: Path) -> None:
    day = simulate(tmp_path / "day", events=6_000, seed=5)
    lines = day.files["commerce.payments"].read_bytes().splitlines()
    paid = [found for line in lines if (found := readable(line)) is not None]
    times = sorted(at for at, _ in paid)
    switch = times[len(times) // 2]
    driver = TopologyDriver(fraud_rules.topology, start="2026-01-05T00:00:00Z", batch=97)
    for rule in fraud_rules.RULES.rules():
        driver.pipe("commerce.fraud-rules", RuleChange(name=rule.name, op="remove", version=2), time=times[0])
    low = Rule(name="low", condition="amount < 60 and status = 'captured'", target="commerce.fraud-review")
    driver.pipe("commerce.fraud-rules", RuleChange.put(low, effective_from=switch), time=times[0])
    driver.pipe("commerce.payments", lines)
    driver.finish()
    expected = sorted(
        data["order_id"]
        for at, data in paid
        if at >= switch and Decimal(str(data["amount"])) < 60 and data["status"] == "captured"
    )
    assert sorted(row["order_id"] for row in driver.output("commerce.fraud-review")) == expected
    assert len(expected) > 10
    tally = day.tallies["commerce.payments"]
    assert len(driver.dead_letters()) == tally.unreadable + tally.invalid


def readable(line: bytes) -> tuple[datetime, dict[str, Any]] | None:
    try:
        event = PaymentSettled.from_json(line)
    except ValueError:
        return None
    return event.envelope.time, msgspec.json.decode(line)["data"]

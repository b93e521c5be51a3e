"""access-guard and access-grants."""

from datetime import UTC, datetime, timedelta

from headrace.testing import TopologyDriver
from schemas.access import BruteForceSuspected, LoginAttempted, RoleChanged
from topologies import access_grants, access_guard

NOON = datetime(2024, 3, 1, 12, 0, tzinfo=UTC)


def login(user: str, seconds: float, outcome: str = "failed", ip: str | None = "198.51.100.7") -> LoginAttempted:
    return LoginAttempted.of(user_id=user, outcome=outcome, ip=ip, time=NOON + timedelta(seconds=seconds))


def test_failed_logins_are_counted_per_user_and_minute() -> None:
    driver = TopologyDriver(access_guard.topology, start=NOON)
    driver.pipe("access.logins", [login("ada", 1), login("ada", 2), login("bob", 3), login("ada", 61)])
    driver.pipe("access.logins", login("ada", 4, outcome="succeeded"))
    driver.finish()
    rows = driver.output("access.failures-per-minute")
    counts = {(row["user_id"], row["window_start"]): row["attempts"] for row in rows}
    assert counts == {
        ("ada", "2024-03-01T12:00:00Z"): 2,
        ("bob", "2024-03-01T12:00:00Z"): 1,
        ("ada", "2024-03-01T12:01:00Z"): 1,
    }


def test_five_failures_in_a_minute_raise_an_alert_of_the_declared_schema() -> None:
    driver = TopologyDriver(access_guard.topology, start=NOON)
    driver.pipe("access.logins", [login("ada", n, ip=f"198.51.100.{n % 3}") for n in range(5)])
    driver.pipe("access.logins", [login("bob", n) for n in range(4)])
    driver.finish()
    (alert,) = [BruteForceSuspected.model_validate(row) for row in driver.output("access.alerts")]
    assert alert == BruteForceSuspected(
        user_id="ada",
        since=NOON,
        until=NOON + timedelta(minutes=1),
        attempts=5,
        addresses=["198.51.100.0", "198.51.100.1", "198.51.100.2"],
        severity="medium",
    )


def test_twenty_failures_in_a_minute_are_severe() -> None:
    driver = TopologyDriver(access_guard.topology, start=NOON)
    driver.pipe("access.logins", [login("ada", n) for n in range(20)])
    driver.finish()
    assert [row["severity"] for row in driver.output("access.alerts")] == ["high"]


def test_a_minute_waits_for_records_that_are_out_of_order_and_reports_those_that_are_late() -> None:
    driver = TopologyDriver(access_guard.topology, start=NOON)
    driver.pipe("access.logins", [login("ada", 59), login("ada", 99), login("ada", 1)])
    assert driver.output("access.failures-per-minute") == []
    driver.pipe("access.logins", login("bob", 100))  # 12:01:40 less 30 s out of order: the watermark is 12:01:10
    (row,) = driver.output("access.failures-per-minute")
    assert (row["user_id"], row["attempts"]) == ("ada", 2)
    driver.pipe("access.logins", login("ada", 30))
    assert driver.output("access.late-failures") == [{"user_id": "ada", "at": "2024-03-01T12:00:30Z"}]
    assert driver.stats.late == 1


def test_the_last_minute_closes_although_no_login_follows() -> None:
    driver = TopologyDriver(access_guard.topology, start=NOON)
    driver.pipe("access.logins", login("ada", 1))
    driver.advance("5m")
    assert [row["user_id"] for row in driver.output("access.failures-per-minute")] == ["ada"]


def test_logins_of_version_1_count_like_those_of_version_2() -> None:
    old = (
        b'{"specversion":"1.0","id":"1","source":"/legacy","type":"access.login.attempted","dataversion":1,'
        b'"time":"2024-03-01T12:00:05Z","data":{"user_id":"ada","success":false,"address":"198.51.100.9"}}'
    )
    driver = TopologyDriver(access_guard.topology, start=NOON)
    driver.pipe("access.logins", [login("ada", 1), old])
    driver.finish()
    (row,) = driver.output("access.failures-per-minute")
    assert (row["attempts"], row["addresses"]) == (2, ["198.51.100.7", "198.51.100.9"])
    assert driver.dead_letters() == []


def test_the_table_of_failed_logins_answers_for_one_user() -> None:
    driver = TopologyDriver(access_guard.topology, start=NOON)
    driver.pipe("access.logins", [login("ada", 9, ip="198.51.100.2"), login("ada", 1, ip=None), login("bob", 2)])
    rows = {row["user_id"]: row for row in driver.table("failed-logins")}
    assert rows["ada"] == {
        "user_id": "ada",
        "attempts": 2,
        "last_at": NOON + timedelta(seconds=9),
        "last_address": "198.51.100.2",
    }
    assert rows["bob"]["attempts"] == 1


def test_a_login_with_an_unknown_outcome_is_a_dead_letter_and_the_rest_goes_on() -> None:
    driver = TopologyDriver(access_guard.topology, start=NOON)
    bad = login("ada", 1).to_json().replace(b'"failed"', b'"maybe"')
    driver.pipe("access.logins", [login("ada", 0), bad, login("ada", 2)])
    driver.finish()
    assert [row["attempts"] for row in driver.output("access.failures-per-minute")] == [2]
    (letter,) = driver.dead_letters()
    assert (letter.step, letter.topic, letter.offset, letter.value) == ("logins", "access.logins", 1, bad)
    assert "outcome" in letter.message
    assert "maybe" in letter.message


def grant(user: str, role: str, change: str, seconds: int) -> RoleChanged:
    return RoleChanged.of(
        user_id=user, role=role, change=change, changed_by="root", time=NOON + timedelta(seconds=seconds)
    )


def test_grants_hold_what_was_granted_and_not_revoked() -> None:
    driver = TopologyDriver(access_grants.topology, start=NOON)
    driver.pipe("access.roles", [grant("ada", "admin", "granted", 1), grant("ada", "viewer", "granted", 2)])
    driver.pipe("access.roles", [grant("bob", "viewer", "granted", 3), grant("ada", "admin", "revoked", 4)])
    assert [(row["user_id"], row["role"]) for row in driver.table("grants")] == [("ada", "viewer"), ("bob", "viewer")]
    assert {row["role"]: row["changes"] for row in driver.table("role-changes-total")} == {"admin": 2, "viewer": 2}

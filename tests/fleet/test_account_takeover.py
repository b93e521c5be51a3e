"""account-takeover: guessed passwords and impossible journeys."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from headrace.testing import CrashPoint, TopologyDriver
from schemas.access import BruteForced, LoginAttempted, TravelledImpossibly
from topologies import account_takeover

NOON = datetime(2024, 3, 1, 12, 0, tzinfo=UTC)
BERLIN, MADRID, SYDNEY = (52.52, 13.4), (40.42, -3.7), (-33.87, 151.21)


def login(user: str, seconds: float, outcome: str = "failed", place: Any = None, ip: str = "198.51.100.7") -> Any:
    latitude, longitude = place or (None, None)
    return LoginAttempted.of(
        user_id=user,
        outcome=outcome,
        ip=ip,
        latitude=latitude,
        longitude=longitude,
        time=NOON + timedelta(seconds=seconds),
    )


def entered(user: str, hours: float, place: Any = None) -> Any:
    return login(user, 3600 * hours, "succeeded", place)


def found(*logins: Any) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    driver = TopologyDriver(account_takeover.topology, start=NOON)
    driver.pipe("access.logins", list(logins))
    driver.finish()
    assert driver.dead_letters() == []
    return driver.output("access.brute-force"), driver.output("access.impossible-travel")


def test_five_failures_and_a_success_are_a_guessed_password_of_the_declared_schema() -> None:
    failures = [login("ada", n) for n in range(5)]
    (row,), _ = found(*failures, login("ada", 9, "succeeded", ip="198.51.100.9"))
    assert BruteForced.model_validate(row) == BruteForced(
        user_id="ada", since=NOON, entered_at=NOON + timedelta(seconds=9), failures=5, ip="198.51.100.9"
    )


def test_all_failures_before_the_success_are_one_alert() -> None:
    (row,), _ = found(*[login("ada", n) for n in range(40)], login("ada", 60, "succeeded"))
    assert (row["failures"], row["since"]) == (40, "2024-03-01T12:00:00Z")


def test_failures_count_for_five_minutes() -> None:
    early, late = [login("ada", n) for n in range(3)], [login("ada", 290 + n) for n in range(5)]
    (row,), _ = found(*early, *late, login("ada", 302, "succeeded"))
    assert (row["failures"], row["since"]) == (5, "2024-03-01T12:04:50Z")
    assert found(*[login("ada", n) for n in range(5)], login("ada", 301, "succeeded"))[0] == []


@pytest.mark.parametrize(
    "logins",
    [
        [login("ada", n) for n in range(4)] + [login("ada", 9, "succeeded")],
        [login("ada", n) for n in range(5)] + [login("bob", 9, "succeeded")],
        [login("ada", n) for n in range(4)] + [login("ada", 5, "succeeded"), login("ada", 6), entered("ada", 0.01)],
        [login("ada", n) for n in range(5)] + [login("ada", 6, "blocked"), login("ada", 9, "succeeded")],
    ],
    ids=["four", "another user", "a success between", "blocked between"],
)
def test_nothing_else_is_a_guessed_password(logins: list[Any]) -> None:
    assert found(*logins)[0] == []


def test_two_places_within_too_short_a_time_are_an_impossible_journey() -> None:
    _, (row,) = found(entered("ada", 0, BERLIN), entered("ada", 1, MADRID))
    journey = TravelledImpossibly.model_validate(row)
    assert (journey.user_id, journey.left_at, journey.arrived_at) == ("ada", NOON, NOON + timedelta(hours=1))
    assert journey.km == pytest.approx(1869, abs=5)


@pytest.mark.parametrize(
    "logins",
    [
        [entered("ada", 0, BERLIN), entered("ada", 2.2, MADRID)],
        [entered("ada", 0, BERLIN), entered("bob", 1, MADRID)],
        [entered("ada", 0, BERLIN), login("ada", 60, "failed", SYDNEY)],
        [entered("ada", 0, (52.52, 13.4)), entered("ada", 0, (52.6, 13.9))],
        [entered("ada", 0, BERLIN), entered("ada", 25, SYDNEY)],
    ],
    ids=["by plane", "two users", "not entered", "the same city", "a day later"],
)
def test_nothing_else_is_an_impossible_journey(logins: list[Any]) -> None:
    assert found(*logins)[1] == []


def test_a_login_without_a_place_does_not_hide_a_journey() -> None:
    _, journeys = found(entered("ada", 0, BERLIN), entered("ada", 0.5), entered("ada", 1, SYDNEY))
    assert len(journeys) == 1


def test_the_tables_say_whose_password_to_change_also_after_a_crash() -> None:
    driver = TopologyDriver(account_takeover.topology, start=NOON, batch=1, cache_bytes=1)
    for logins in ([login("ada", n) for n in range(5)], [entered("ada", 0.01, BERLIN), entered("ada", 0.1, SYDNEY)]):
        driver.pipe("access.logins", logins)
        driver.crash(CrashPoint.BEFORE_WRITE)
    driver.finish()
    assert [row["user_id"] for row in driver.table("guessed-passwords")] == ["ada"]
    assert [(row["user_id"], row["journeys"]) for row in driver.table("impossible-journeys")] == [("ada", 1)]

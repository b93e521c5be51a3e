import asyncio
import time

import pytest

from headrace import DataError, OnError, Topology, agg, col, tumbling
from headrace.testing import CrashPoint, TopologyDriver
from tests.operators.support import click, clicks


class Mail:
    """An outside system that fails the first ``failures`` calls for each user."""

    def __init__(self, failures: int = 0) -> None:
        self.failures = failures
        self.tries: dict[str, int] = {}
        self.sent: list[str] = []

    async def send(self, row: dict) -> None:
        user = row["user"]
        self.tries[user] = self.tries.get(user, 0) + 1
        await asyncio.sleep(0)
        if self.tries[user] <= self.failures:
            msg = f"mail server is down for {user}"
            raise OSError(msg)
        self.sent.append(user)


def driver_of(mail: Mail, **options) -> TopologyDriver:
    topology = Topology("t")
    clicks(topology).select("s", col.user, col.n).handle("mail", mail.send, backoff="1ms", **options)
    return TopologyDriver(topology)


def test_every_record_is_handled_before_the_checkpoint() -> None:
    mail = Mail()
    driver = driver_of(mail)
    driver.pipe("clicks", [click("a", 0), click("b", 1)])
    driver.checkpoint()
    assert sorted(mail.sent) == ["a", "b"]
    driver.checkpoint()
    assert len(mail.sent) == 2


def test_a_failing_call_is_tried_again() -> None:
    mail = Mail(failures=2)
    driver = driver_of(mail, attempts=3)
    driver.pipe("clicks", click("a", 0))
    driver.checkpoint()
    assert mail.sent == ["a"]
    assert mail.tries == {"a": 3}
    assert driver.dead_letters() == []


def test_after_the_last_attempt_the_record_is_a_dead_letter() -> None:
    mail = Mail(failures=5)
    driver = driver_of(mail, attempts=2)
    driver.pipe("clicks", [click("a", 0, n=1)])
    (letter,) = driver.dead_letters()
    assert (letter.step, letter.error) == ("mail", "OSError")
    assert "mail server is down for a" in letter.message
    assert mail.tries == {"a": 2}


def test_a_call_that_hangs_is_timed_out() -> None:
    async def hang(row: dict) -> None:
        await asyncio.sleep(3600)

    topology = Topology("t")
    clicks(topology).select("s", col.user).handle("hang", hang, attempts=1, timeout="20ms", backoff="1ms")
    driver = TopologyDriver(topology)
    driver.pipe("clicks", click("a", 0))
    (letter,) = driver.dead_letters()
    assert (letter.step, letter.error) == ("hang", "TimeoutError")


@pytest.mark.parametrize("policy", list(OnError))
def test_a_call_that_fails_for_good_goes_by_the_policy_of_the_source(policy) -> None:
    mail = Mail(failures=5)
    topology = Topology("t")
    stream = clicks(topology, on_error=policy).select("s", col.user, col.n)
    stream.handle("mail", mail.send, attempts=2, backoff="1ms")
    driver = TopologyDriver(topology)
    driver.pipe("clicks", click("a", 0, n=1))
    if policy is OnError.FAIL:
        with pytest.raises(DataError, match=r"step 'mail': OSError: .* for a \(row {\"user\":\"a\",\"n\":1}\)"):
            driver.checkpoint()
        return
    driver.checkpoint()
    assert (driver.stats.dead_letters, driver.stats.skipped) == ((0, 1) if policy is OnError.SKIP else (1, 0))
    assert len(driver.dead_letters()) == driver.stats.dead_letters


def test_a_short_backoff_waits_shortly() -> None:
    mail = Mail(failures=9)
    driver = driver_of(mail, attempts=10)
    driver.pipe("clicks", click("a", 0))
    before = time.monotonic()
    driver.checkpoint()
    assert mail.sent == ["a"]
    # 1 + 2 + ... + 256 ms, and at most 9 ms of jitter; a jitter of its own would add 4.5 s on average
    assert time.monotonic() - before < 2


def test_calls_are_at_least_once_across_crashes() -> None:
    mail = Mail()
    driver = driver_of(mail)
    driver.pipe("clicks", click("a", 0))
    driver.crash(CrashPoint.BEFORE_WRITE)
    driver.checkpoint()
    assert set(mail.sent) == {"a"}
    driver.pipe("clicks", click("b", 1))
    driver.crash(CrashPoint.AFTER_WRITE)
    driver.checkpoint()
    assert mail.sent.count("b") == 1


def test_a_handler_may_follow_a_window() -> None:
    mail = Mail()
    topology = Topology("t")
    windows = clicks(topology).group_by("by", col.user).window(tumbling("1m"))
    windows.aggregate("counts", n=agg.count()).on_close().handle("mail", mail.send)
    driver = TopologyDriver(topology)
    driver.pipe("clicks", [click("a", 0), click("b", 61)])
    driver.checkpoint()
    assert mail.sent == ["a"]


def test_a_function_that_is_cancelled_from_within_has_failed() -> None:
    async def cancelled(_row) -> None:
        raise asyncio.CancelledError

    topology = Topology("t")
    clicks(topology).handle("call", cancelled, attempts=1)
    driver = TopologyDriver(topology)
    driver.pipe("clicks", [click("a", 0)])
    (letter,) = driver.dead_letters()
    assert "cancelled" in letter.message

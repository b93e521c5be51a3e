"""A further try for a test on a real broker that was too slow: on a busy machine seconds become minutes.

Only for what was too slow. A wrong result is a failure at once: a loss that occurs in every second run would else pass
in three of four. Tests of faults (``-m faults``) have the machine for themselves and get no further try.
"""

from __future__ import annotations

import subprocess

import pytest
from _pytest.runner import runtestprotocol

from tests.kafka.broker import BrokerFailed

TRIES = 2
_PROPERTY = "tries"
_slow = pytest.StashKey[bool]()


class TooSlow(AssertionError):
    """What a test waited for did not happen in the time allowed."""


def too_slow(error: BaseException) -> bool:
    """Tell whether a failure is one of time alone."""
    if isinstance(error, BaseExceptionGroup):
        return all(map(too_slow, error.exceptions))
    return isinstance(error, (TooSlow, TimeoutError, subprocess.TimeoutExpired, BrokerFailed))


def note(item: pytest.Item, error: BaseException) -> None:
    """Take down why a test failed."""
    item.stash[_slow] = item.stash.get(_slow, True) and too_slow(error)


def run(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Run a test, and once more if it was too slow."""
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    tries = 1 if item.get_closest_marker("faults") else TRIES
    for number in range(1, tries + 1):
        item.stash[_slow] = True
        reports = runtestprotocol(item, nextitem=nextitem, log=False)
        if number == tries or not any(report.failed for report in reports) or not item.stash[_slow]:
            break
    if number > 1:
        reports[-1].user_properties.append((_PROPERTY, number))
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)


def told(terminal: pytest.TerminalReporter) -> list[str]:
    """Return a line for each test that was tried again."""
    reports = (report for found in terminal.stats.values() for report in found if isinstance(report, pytest.TestReport))
    return sorted({f"{r.nodeid}: {n} tries" for r in reports for name, n in r.user_properties if name == _PROPERTY})

"""The pattern engine against the naive matcher: random patterns, inputs, batches, restarts, evictions, crashes.

Each example is one pattern with several inputs, which are keys of one run: so many pairs. ``HEADRACE_SOAK=1`` runs
100,000 of them.
"""

from __future__ import annotations

import os
from collections import Counter

import pytest
from hypothesis import HealthCheck, event, given, reject, settings
from hypothesis import strategies as st

from headrace.testing import CrashPoint
from tests.conformance.running import Result, Way, by_step, run_all
from tests.naive.patterns import Outcome, TooManyError
from tests.naive.patterns import run as naive_run
from tests.properties.patterns import KEYS, Trial, trials

SOAK = os.environ.get("HEADRACE_SOAK") == "1"
PAIRS = 100_000 if SOAK else 2_000
PARTS = 4
pytestmark = pytest.mark.timeout(4 * 3600 if SOAK else 300)

actions = st.lists(st.sampled_from(["none", "checkpoint", "restart", *CrashPoint]), max_size=5)
ways = st.builds(
    Way,
    batch=st.sampled_from([1, 2, 7, None]),
    actions=actions,
    cache_bytes=st.sampled_from([1, 64 << 20]),
    keyed=st.booleans(),
    ended=st.booleans(),
)


@pytest.mark.parametrize("part", range(PARTS))
@settings(
    max_examples=-(-PAIRS // (KEYS * PARTS)),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(trial=trials("arrival") | trials("watermark"), way=ways)
def test_patterns_against_a_naive_matcher(part: int, trial: Trial, way: Way) -> None:
    event(f"time {trial.case['time']}")
    event(f"skip {trial.case['skip']}")
    compare(trial, way)


def compare(trial: Trial, way: Way) -> None:
    """Run a trial both ways; for each key the results must be the same."""
    cases = {key: trial.of(key) for key, _ in trial.entries}
    try:
        outcomes = {key: naive_run(case, ended=way.ended) for key, case in cases.items()}
    except TooManyError:
        reject()
    results = run_all(trial.case, trial.entries, way)
    for key, case in cases.items():
        result, expected = results[key], outcomes[key]
        if expected.tied and isinstance(case["skip"], dict):
            continue  # the two may skip to different events
        if way.ended:  # nothing comes any more, and what waited is known at no time of its own
            result.held = expected.held = set()
            result.known_at, expected.known_at = [0] * len(result.matches), [0] * len(expected.matches)
        assert of_engine(result, tied=expected.tied) == of_naive(expected), case


def of_engine(result: Result, *, tied: bool) -> dict[str, object]:
    """Return what is compared. Of matches that no rule puts in an order either may come; their events are the same."""
    return {
        "matches": Counter(zip(result.matches, result.known_at, strict=True)),
        "by step": None if tied else Counter(result.by_step),
        "timed out": result.timed_out,
        "late": result.late,
        "held": result.held,
        "overflow": result.overflow,
    }


def of_naive(found: Outcome) -> dict[str, object]:
    """Return the same of the naive matcher."""
    return {
        "matches": Counter(zip((tuple(found.ids(match)) for match in found.matches), found.known_at, strict=True)),
        "by step": None if found.tied else Counter(by_step(found.by_step(match)) for match in found.matches),
        "timed out": {(tuple(found.ids(taken)), at) for taken, at in found.timed_out},
        "late": [row["id"] for row in found.late],
        "held": found.held,
        "overflow": [],
    }

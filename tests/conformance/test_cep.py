"""Patterns mean what they mean in Flink CEP: every case, through the public language, on the test driver.

``pytest tests/conformance --cep-cases DIR`` runs the files of another folder.
"""

from __future__ import annotations

import pytest

from tests.conformance.cases import Case, FormatError, check
from tests.conformance.running import HARD, PLAIN, Result, differences, run
from tests.naive.patterns import run as naive_run


def test_a_case_gives_what_it_must(case: Case) -> None:
    check(case.raw)
    assert differences(case.raw["expected"], run(case.raw, PLAIN)) == []


def test_a_case_gives_the_same_record_by_record_with_restarts_crashes_and_no_cache(case: Case) -> None:
    check(case.raw)
    assert differences(case.raw["expected"], run(case.raw, HARD)) == []


def test_the_naive_matcher_gives_what_a_case_must(case: Case) -> None:
    found = naive_run(dict(case.raw))
    result = Result(
        matches=[tuple(found.ids(match)) for match in found.matches],
        by_step=[tuple(sorted((s, tuple(i)) for s, i in found.by_step(m).items())) for m in found.matches],
        timed_out={(tuple(found.ids(taken)), at) for taken, at in found.timed_out},
        held=found.held,
        late=[event["id"] for event in found.late],
        error="skip" if found.error else None,
    )
    assert differences(case.raw["expected"], result) == []


PLAIN_CASE = {"id": "x", "pattern": [{"step": "a"}], "events": [{"id": "1", "ts": 1}], "expected": {"matches": [["1"]]}}


@pytest.mark.parametrize(
    "change",
    [
        {"order": "arrival"},
        {"expected": {"match": []}},
        {"expected": {"error": "crash"}},
        {"time": "wall"},
        {"skip": "to_last"},
        {"skip": {"to_first": "a", "on_miss": "warn"}},
        {"pattern": []},
        {"pattern": [{"step": "a", "quantifier": "+"}]},
        {"pattern": [{"step": "a", "group": [{"step": "b"}]}]},
        {"pattern": [{"step": "a"}, {"step": "b", "contiguity": "after"}]},
        {"events": [{"watermark": 1}]},
        {"events": [{"id": "1"}]},
    ],
)
def test_a_case_with_anything_unknown_is_refused(change: dict[str, object]) -> None:
    check(PLAIN_CASE)
    with pytest.raises(FormatError):
        check({**PLAIN_CASE, **change})


def test_a_difference_is_told() -> None:
    assert differences({"matches": [["1"]], "held": []}, Result(matches=[("2",)])) == [
        "matches: expected Counter({('1',): 1}), got Counter({('2',): 1})"
    ]
    assert differences({"matches": []}, Result(error="no skip")) == ["error: expected None, got skip"]

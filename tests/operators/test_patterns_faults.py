import pytest

from headrace import Topology, TopologyError, begin, col, matched, meta, skip
from headrace.plan import compile_plan
from headrace.topology.patterns import Pattern
from tests.operators.support import clicks

FINE = begin("a", col.n == 1).followed_by("b", col.n == 2).within("1m")
A = begin("a", col.n == 1)


def faults(pattern: object, **options: object) -> list[str]:
    topology = Topology("t")
    found = clicks(topology).group_by("by", col.user).detect("found", pattern, **options)  # type: ignore[arg-type]
    found.sink("out", topic="out")
    try:
        compile_plan(topology)
    except TopologyError as error:
        return [str(fault).removeprefix("step 'found', ") for fault in error.faults]
    return []


def test_a_sound_pattern_has_no_faults() -> None:
    assert faults(FINE) == []


CASES: list[tuple[Pattern, list[str]]] = [
    (
        begin("a", col.n == 1),
        [
            "pattern, within: expected a window, got none. Runs that never end are state that never goes:"
            " say within('5m'), or within(None) if so be it."
        ],
    ),
    (
        FINE.within("soon"),
        [
            "pattern, within: expected a duration such as '90s', '1h30m' or a timedelta, got 'soon'."
            " Give text with a unit, or a timedelta."
        ],
    ),
    (
        FINE.next("a").within("1m"),
        ["pattern, a: expected every step once, got 'a' twice. Name one of them otherwise."],
    ),
    (
        A.greedy().within("1m"),
        [
            "pattern, a, greedy: expected it of a step that repeats, got it of a single one."
            " Repeat it: times(...), one_or_more(); or leave it out."
        ],
    ),
    (
        A.times(3, 2).within("1m"),
        [
            "pattern, a, times: expected whole numbers, 0 <= least <= most, 1 <= most, got times(3, 2). Mend them.",
        ],
    ),
    (
        A.times(2).times(3).within("1m"),
        ["pattern, a, times: expected times once, got (3, 3) again. Leave one of them out."],
    ),
    (
        A.one_or_more().greedy().followed_by("b").optional().within("1m"),
        [
            "pattern, a, greedy: expected a required step behind a greedy loop, got b, which is optional."
            " What both may take, either may: make the step required, or the loop not greedy."
        ],
    ),
    (
        A.one_or_more().greedy().allow_combinations().within("1m"),
        [
            "pattern, a, greedy: expected greedy or allow_combinations, got both."
            " Leave one of them out: a greedy loop takes every event, combinations pass over some."
        ],
    ),
    (
        begin("a").followed_by("b").optional().not_next("c", col.n == 3).next("d").within("1m"),
        [
            "pattern, c: expected a required step before what must be absent, got b, which is optional."
            " Say what must be absent in front of a required step."
        ],
    ),
    (
        begin("a").times(2, 3).not_next("c", col.n == 3).next("d").within("1m"),
        [
            "pattern, c: expected no range next to what must be absent, got a, from 2 to 3."
            " Repeat it a fixed number of times, or without an upper bound."
        ],
    ),
    (
        begin("a").one_or_more().within_step("1m"),
        [
            "pattern, a, within_step: expected it of a step that takes a fixed number, got it of a loop."
            " Give the whole pattern a window, or repeat the step a fixed number of times."
        ],
    ),
    (
        begin("a").one_or_more().next("b").within_step("1m"),
        [
            "pattern, b, within_step: expected a step before it that takes a fixed number, got the loop a."
            " Give the whole pattern a window."
        ],
    ),
    (
        begin("a").not_followed_by("b", col.n == 2).within(None),
        [
            "pattern, b: expected a window for not_followed_by at the end, got none."
            " Say for how long the event must not come: within('5m')."
        ],
    ),
    (
        begin("a").not_next("b", col.n == 2).times(2).within("1m"),
        ["pattern, b: expected no quantifier of what must be absent, got times. Leave it out."],
    ),
    (
        begin("a").followed_by(begin("b").next("c").within("1m")).until(col.n == 1).within("1m"),
        [
            "pattern, within: expected a window of the whole pattern, got one of a group. Say it behind the last step.",
            "pattern, (b, c), until: expected it of a step that repeats, got it of a single one."
            " Repeat it: times(...), one_or_more(); or leave it out.",
            "pattern, (b, c), until: expected it of a step, got it of a group."
            " What it means in the middle of a round is not defined: give it to a step of the group.",
        ],
    ),
    (
        FINE.after_match(skip.to_first("c")),
        ["pattern, after_match: expected a step that takes events, got 'c'. There are: a, b."],
    ),
    (
        begin("a")
        .followed_by("b", (col.x > 1) & (matched.last("aa").n == 1) & (matched.start == matched.end))
        .within("1m"),
        [
            "pattern, b, where: expected a step that takes events, got 'aa'. Did you mean 'a'?",
            "pattern, b, where: expected events taken so far, got matched.start."
            " It is known when the match is complete: use it in emit.",
            "pattern, b, where: expected events taken so far, got matched.end."
            " It is known when the match is complete: use it in emit.",
            "pattern, b, where: expected a field, got 'x'. There are: user, at, n, price, rate, lines,"
            " matched.last('aa'), matched.start, matched.end.",
        ],
    ),
    (
        begin("a").followed_by("b", matched.last("a").m == matched.sum("a", col.user)).within("1m"),
        [
            "matched.sum('a', col.user): expected a number, got str. Sum a numeric column, or cast.",
            "pattern, b, where: expected a field of matched.last('a'), got 'm'."
            " There are: user, at, n, price, rate, lines.",
        ],
    ),
    (
        begin("a").followed_by("b", meta.key == "x").within("1m"),
        [
            "pattern, b, where: expected columns, references or meta.time, got meta.key."
            " Compare the column of the key itself.",
        ],
    ),
]


@pytest.mark.parametrize(("pattern", "expected"), CASES, ids=lambda value: str(value)[:40])
def test_what_is_not_defined_is_refused_with_the_reason(pattern: Pattern, expected: list[str]) -> None:
    assert faults(pattern) == expected


def test_faults_of_the_step_itself() -> None:
    assert faults("a b", order="any", runs=0, emit=3) == [
        "pattern: expected a pattern, got 'a b'. Begin one: begin('first', col.type == 'a').",
        "order: expected 'event_time' or 'arrival', got 'any'. Choose one of them.",
        "runs: expected a whole number of at least 1, got 0. Give one.",
    ]


def test_faults_of_what_is_emitted() -> None:
    emit = {"user": matched.count("a"), "n": col.n, "t": meta.time, "x": matched.first("b").y, "z": matched.all("d")}
    assert faults(FINE, emit=emit) == [
        "emit, z: expected a step that takes events, got 'd'. There are: a, b.",
        "emit, n: expected a field, got 'n'."
        " There are: user, matched.count('a'), matched.first('b'), matched.all('d').",
        "emit, t: expected references and key columns, got meta.time. Use matched.start, matched.end.",
        "emit, x: expected a field of matched.first('b'), got 'y'. There are: user, at, n, price, rate, lines.",
        "emit, user: expected a new column name, got 'user' again. Choose another name; the key is always there.",
    ]


def test_a_window_in_front_of_a_pattern_is_refused() -> None:
    from headrace import tumbling

    topology = Topology("t")
    clicks(topology).group_by("by", col.user).window(tumbling("1m")).detect("found", FINE).sink("out", topic="out")
    with pytest.raises(TopologyError, match="A pattern has a window of its own"):
        compile_plan(topology)

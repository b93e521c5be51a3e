"""Every operator, in random topologies, against the naive interpreter: under random batches, restarts, crashes."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.properties.comparison import CHOSEN, Runs, as_bag, by_key, newest
from tests.properties.programs import (
    COMMUTATIVE,
    Program,
    actions,
    aggregates,
    batches,
    counteds,
    hoppings,
    keys,
    lags,
    orderly,
    records,
    sessions,
    slidings,
    steps,
    tumblings,
    withins,
)

fast = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def check_all(program: Program, runs: Runs) -> None:
    assert runs.dead == runs.naive_dead
    assert runs.got["plain"] == runs.expected["plain"]
    assert by_key(runs.got["close"], program) == by_key(runs.expected["close"], program)
    assert as_bag(runs.got["late"]) == as_bag(runs.expected["late"])
    assert as_bag(runs.table) == as_bag(runs.naive_table)
    for topic in CHOSEN:
        assert runs.got[topic] == runs.expected[topic]
    check_calls(runs)


def check_calls(runs: Runs) -> None:
    """Every record is handled at least once, and nothing else."""
    assert runs.calls >= runs.naive_calls
    assert set(runs.calls) == set(runs.naive_calls)


def check_updates(runs: Runs) -> None:
    """Every update is a state that the row was in; the last one is the row as it is in the end."""
    assert set(as_bag(runs.got["update"])) <= set(as_bag(runs.expected["update"]))
    assert newest(runs.final).items() <= newest(runs.got["update"]).items()


@fast
@given(st.builds(Program, steps=steps, out_of_orderness_s=lags), records, actions, batches)
def test_stateless_steps(program, records, actions, batch) -> None:
    runs = Runs(program, records, actions, batch)
    check_all(program, runs)


@fast
@given(st.builds(Program, key=keys, aggregates=aggregates, early=st.booleans()), records, actions, batches)
def test_aggregates_of_all_time(program, records, actions, batch) -> None:
    runs = Runs(program, records, actions, batch)
    check_all(program, runs)
    check_updates(runs)
    assert as_bag(runs.got["every"]) == as_bag(runs.expected["every"])


@fast
@given(
    st.builds(
        Program,
        steps=steps,
        key=keys,
        window=tumblings | hoppings,
        aggregates=aggregates,
        early=st.booleans(),
        out_of_orderness_s=lags,
    ),
    records, actions, batches,
)  # fmt: skip
def test_tumbling_and_hopping_windows(program, records, actions, batch) -> None:
    runs = Runs(program, records, actions, batch)
    check_all(program, runs)
    check_updates(runs)
    assert as_bag(runs.got["every"]) == as_bag(runs.expected["every"])


@fast
@given(
    st.builds(Program, key=keys, window=sessions, aggregates=aggregates, early=st.booleans(), out_of_orderness_s=lags),
    records, actions, batches,
)  # fmt: skip
def test_session_windows(program, records, actions, batch) -> None:
    runs = Runs(program, records, actions, batch)
    check_all(program, runs)
    check_updates(runs)
    assert as_bag(runs.got["every"]) == as_bag(runs.expected["every"])


@fast
@given(
    st.builds(
        Program,
        steps=steps,
        key=keys,
        window=slidings | counteds,
        aggregates=aggregates,
        early=st.booleans(),
        chained=st.booleans(),
        out_of_orderness_s=lags,
    ),
    records, actions, batches,
)  # fmt: skip
def test_sliding_windows_and_windows_by_number(program, records, actions, batch) -> None:
    runs = Runs(program, records, actions, batch)
    check_all(program, runs)
    check_updates(runs)
    assert as_bag(runs.got["every"]) == as_bag(runs.expected["every"])
    assert runs.got["second"] == runs.expected["second"]


@fast
@given(st.builds(Program, steps=steps, key=keys, table=st.just(True)), records, actions, batches)
def test_tables(program, records, actions, batch) -> None:
    runs = Runs(program, records, actions, batch)
    check_all(program, runs)
    check_updates(runs)


@fast
@given(
    st.builds(Program, key=keys, window=tumblings | hoppings, chained=st.just(True), out_of_orderness_s=lags),
    records, actions, batches,
)  # fmt: skip
def test_windows_of_windows(program, records, actions, batch) -> None:
    runs = Runs(program, records, actions, batch)
    check_all(program, runs)
    assert runs.got["second"] == runs.expected["second"]


@fast
@given(
    st.builds(
        Program, key=keys, window=tumblings | hoppings, two_sources=st.just(True), out_of_orderness_s=lags
    ),
    records, actions, batches,
)  # fmt: skip
def test_two_merged_sources(program, records, actions, batch) -> None:
    runs = Runs(program, records, actions, batch)
    check_all(program, runs)
    check_updates(runs)


@fast
@given(
    st.builds(
        Program, key=keys, window=sessions, two_sources=st.just(True), aggregates=aggregates, early=st.booleans()
    ),
    orderly, actions, batches,
)  # fmt: skip
def test_sessions_of_two_merged_sources(program, records, actions, batch) -> None:
    runs = Runs(program, records, actions, batch)
    check_all(program, runs)


@fast
@given(st.builds(Program, steps=steps, key=keys, within=withins, out_of_orderness_s=lags), records, actions, batches)
def test_the_first_of_each_key(program, records, actions, batch) -> None:
    runs = Runs(program, records, actions, batch)
    check_all(program, runs)
    assert runs.got["first"] == runs.expected["first"]


@fast
@given(
    st.builds(
        Program,
        key=keys,
        window=sessions,
        aggregates=st.lists(st.sampled_from(COMMUTATIVE), min_size=1, max_size=4, unique=True).map(tuple),
    ),
    orderly, actions, batches, st.integers(2, 3),
)  # fmt: skip
def test_sessions_of_several_partitions(program, records, actions, batch, partitions) -> None:
    runs = Runs(program, records, actions, batch, partitions)
    assert as_bag(runs.got["close"]) == as_bag(runs.expected["close"])
    assert runs.got["late"] == runs.expected["late"] == []


@fast
@given(
    st.builds(
        Program,
        steps=steps,
        key=keys,
        broadcast=st.just(True),
        window=tumblings | hoppings,
        aggregates=st.lists(st.sampled_from(COMMUTATIVE), min_size=1, max_size=4, unique=True).map(tuple),
        out_of_orderness_s=lags,
    ),
    records, actions, batches, st.integers(2, 3),
)  # fmt: skip
def test_several_partitions(program, records, actions, batch, partitions) -> None:
    runs = Runs(program, records, actions, batch, partitions)
    assert runs.dead == runs.naive_dead
    for topic in ("plain", "all", *CHOSEN):
        assert as_bag(runs.got[topic]) == as_bag(runs.expected[topic])
    check_calls(runs)
    assert as_bag(runs.got["close"]) == as_bag(runs.expected["close"])
    assert as_bag(runs.got["late"]) == as_bag(runs.expected["late"])

import msgspec
import pytest
from pydantic import BaseModel

from headrace import DataError, OnError, Topology, agg, apply, col, tumbling
from headrace.event import Event
from headrace.event.dtypes import ANY
from headrace.plan import compile_plan
from headrace.runtime.engine import Engine, EngineSettings
from headrace.runtime.records import Records
from headrace.state.memory import MemoryBackend
from headrace.testing import CrashPoint, TopologyDriver
from headrace.testing.outputs import StoredOutput, dead_letter
from tests.operators.support import Click, click, clicks, only


def explode_on_three(n: int | None) -> int | None:
    if n == 3:
        msg = "three is not allowed"
        raise ValueError(msg)
    return n


def odd_object(n: int) -> object:
    return object()


def driver_of(declare, **options) -> TopologyDriver:
    topology = Topology("t")
    declare(clicks(topology, **options)).sink("out", topic="out")
    return TopologyDriver(topology)


RANGE = "an event time from 1970-01-01T00:00:00Z to 2200-01-01T00:00:00Z"
CUT = b'{"user": "a", "at": "2024-01-01T00:00:0'
NOT_UTF8 = b'{"user": "\xff\xfe", "at": "2024-01-01T00:00:00Z"}'
BAD = {
    "truncated JSON": (
        CUT,
        f"record: expected valid JSON (EOF while parsing a string at line 1 column 39), got {CUT!r}",
    ),
    "wrong type": (
        b'{"user": "a", "at": "2024-01-01T00:00:00Z", "n": "many"}',
        "field 'n': expected a valid integer, unable to parse string as an integer, got 'many'",
    ),
    "invalid UTF-8": (
        NOT_UTF8,
        f"record: expected valid JSON (invalid unicode code point at line 1 column 11), got {NOT_UTF8!r}",
    ),
    "no object": (b"[1, 2]", "record: expected an object, got [1, 2]"),
    "empty": (b"", "record: expected valid JSON (EOF while parsing a value at line 1 column 0), got b''"),
    "year 1": (
        b'{"user": "a", "at": "0001-01-01T00:00:00Z", "n": 1}',
        f"field 'at': expected {RANGE}, got '0001-01-01T00:00:00Z'",
    ),
    "year 9999": (
        b'{"user": "a", "at": "9999-12-31T23:59:59+02:00", "n": 1}',
        f"field 'at': expected {RANGE}, got '9999-12-31T23:59:59+02:00'",
    ),
    "year 1969": (
        b'{"user": "a", "at": "1969-12-31T23:59:59.999Z", "n": 1}',
        f"field 'at': expected {RANGE}, got '1969-12-31T23:59:59.999Z'",
    ),
    "no time": (b'{"user": "a", "n": 1}', "field 'at': expected a value, got nothing: the field is missing"),
    "null time": (b'{"user": "a", "at": null}', "field 'at': expected a valid datetime, got null"),
}


@pytest.mark.parametrize(("bad", "message"), list(BAD.values()), ids=list(BAD))
def test_a_bad_record_is_a_dead_letter_and_the_rest_goes_on(bad, message) -> None:
    driver = driver_of(lambda s: s.select("s", col.user, col.n))
    driver.pipe("clicks", [click("a", 0, n=1), bad, click("b", 1, n=2)])
    assert driver.output("out") == [{"user": "a", "n": 1}, {"user": "b", "n": 2}]
    (letter,) = driver.dead_letters()
    assert (letter.step, letter.topic, letter.partition, letter.offset) == ("clicks", "clicks", 0, 1)
    assert letter.value == bad
    assert letter.message == message
    assert driver.stats.dead_letters == 1


class Moment(BaseModel):
    at: int | None = None
    deep: dict = {}


@pytest.mark.parametrize(
    ("time", "record", "message"),
    [
        (col.at, {"at": -5}, f"field 'at': expected {RANGE}, got -5"),
        (col.at, {"at": 10**20}, f"field 'at': expected {RANGE}, got 1" + "0" * 20),
        (col.at, {}, f"field 'at': expected {RANGE}, got null"),
        (col.at * 1000, {"at": -5}, f"field '(col.at * 1000)': expected {RANGE}, got 1969-12-31T23:59:55Z"),
        (col.at * 1000, {"at": 10**15}, f"field '(col.at * 1000)': expected {RANGE}, got 1000000000000000000 ms"),
        (col.deep.t, {"deep": {"t": "noon"}}, f"field 'deep.t': expected {RANGE}, got 'noon'"),
        (col.deep.t, {"deep": {"t": True}}, f"field 'deep.t': expected {RANGE}, got True"),
    ],
)
def test_a_bad_event_time_names_the_column_and_the_value_as_sent(time, record, message) -> None:
    topology = Topology("t")
    topology.source("moments", topic="moments", schema=Moment, time=time).select("s", col.at).sink("out", topic="out")
    driver = TopologyDriver(topology)
    driver.pipe("moments", record)
    (letter,) = driver.dead_letters()
    assert (letter.step, letter.message) == ("moments", message)


def test_a_record_time_out_of_range_is_named() -> None:
    topology = Topology("t")
    topology.source("moments", topic="moments", schema=Moment).select("s", col.at).sink("out", topic="out")
    driver = TopologyDriver(topology)
    driver.pipe("moments", {}, time="1950-01-01T00:00:00Z")
    (letter,) = driver.dead_letters()
    assert letter.message == f"field 'record timestamp': expected {RANGE}, got 1950-01-01T00:00:00Z"


class Told(Event, type="doc.told"):
    n: int


def test_a_bad_time_of_an_event_is_named_as_on_the_wire() -> None:
    topology = Topology("t")
    topology.source("told", topic="told", schema=Told).select("s", col.n).sink("out", topic="out")
    driver = TopologyDriver(topology)
    event = {"specversion": "1.0", "type": "doc.told", "id": "1", "source": "s", "time": "1950-01-01T00:00:00Z"}
    driver.pipe("told", {**event, "data": {"n": 1}})
    (letter,) = driver.dead_letters()
    assert letter.message == f"field 'time': expected {RANGE}, got '1950-01-01T00:00:00Z'"


def test_a_dead_letter_has_the_headers_of_its_record_untouched_and_ours_behind() -> None:
    topology = Topology("t")
    clicks(topology).select("s", r=10 // col.n).sink("out", topic="out")
    backend = MemoryBackend()
    letters = StoredOutput(backend, "t.dead-letters")
    engine = Engine(
        compile_plan(topology), backend, EngineSettings(partitions=1), now_ms=lambda: 0, outputs=lambda topic: letters
    )
    channel = engine.channel("clicks", 0, "clicks-0")
    own = (("trace", b"\xff\x00"), ("trace", b"2"), ("headrace-step", b"of an earlier run"))
    values = [msgspec.json.encode(click("a", 0, n=n)) for n in (0, 0)]
    engine.feed(channel, Records(values, [b"k", None], [5, 6], [own, ()]), 2)
    engine.checkpoint()
    first, second = letters.read()
    assert (first.key, first.value, first.headers[:3]) == (b"k", values[0], own)
    names = ("topology", "step", "topic", "partition", "offset", "error", "message", "time")
    assert [name for name, _ in second.headers] == [f"headrace-{name}" for name in names]
    assert first.headers[3:5] == (("headrace-topology", b"t"), ("headrace-step", b"s"))
    assert dead_letter(first).step == "s"


def test_what_made_a_row_fail_need_not_have_a_json_form() -> None:
    topology = Topology("t")
    odd = clicks(topology).map("odd", x=apply(odd_object, col.n, returns=ANY))
    odd.group_by("by", col.user).aggregate("best", x=agg.sum(col.x))
    driver = TopologyDriver(topology)
    driver.pipe("clicks", click("a", 0, n=1))
    (letter,) = driver.dead_letters()
    assert letter.message.startswith("aggregate: expected a number, got <object object")
    assert b"<object object" in letter.value


def test_an_illegal_topic_name_is_a_dead_letter() -> None:
    topology = Topology("t")
    clicks(topology).sink("out", topic=col.user)
    driver = TopologyDriver(topology)
    driver.pipe("clicks", [click("a", 0), click("../b", 1), click(None, 2), click("..", 3), click("", 4)])
    assert len(driver.output("a")) == 1
    rule = "expected letters, digits, '.', '_', '-', at most 200"
    mend = "Mend the expression that names the topic"
    assert [letter.message for letter in driver.dead_letters()] == [
        f"step 'out': topic: {rule}, got {got}. {mend}" for got in ("'../b'", "null", "'..'", "''")
    ]


def test_a_time_from_far_off_does_not_move_the_watermark() -> None:
    topology = Topology("t")
    windows = clicks(topology).group_by("by", col.user).window(tumbling("1m"))
    windows.aggregate("counts", n=agg.count()).on_close().sink("out", topic="out")
    driver = TopologyDriver(topology)
    driver.pipe("clicks", [click("a", 0), BAD["year 9999"][0], click("a", 30)])
    assert driver.output("out") == []
    driver.finish()
    assert only(driver.output("out"), "n") == [2]


def test_a_failing_step_is_named() -> None:
    driver = driver_of(lambda s: s.filter("all", col.user.is_not_null()).map("ratio", r=10 / col.n).select("s", col.r))
    driver.pipe("clicks", [click("a", 0, n=5), click("a", 1, n=0), click("a", 2, n=2)])
    assert only(driver.output("out"), "r") == [2.0, 5.0]
    (letter,) = driver.dead_letters()
    assert (letter.step, letter.offset, letter.error) == ("ratio", 1, "ZeroDivisionError")


def test_a_failing_function_is_a_dead_letter_of_its_step() -> None:
    driver = driver_of(lambda s: s.select("call", x=apply(explode_on_three, col.n, returns=int)))
    driver.pipe("clicks", [click("a", i, n=i) for i in range(5)])
    assert only(driver.output("out"), "x") == [0, 1, 2, 4]
    (letter,) = driver.dead_letters()
    assert (letter.step, letter.offset) == ("call", 3)
    assert "three is not allowed" in letter.message


def test_a_null_key_is_a_dead_letter() -> None:
    topology = Topology("t")
    clicks(topology).group_by("by", col.user, col.n).aggregate("counts", total=agg.count())
    driver = TopologyDriver(topology)
    driver.pipe("clicks", [click("a", 0, n=1), click(None, 1, n=1), click("b", 2, n=None)])
    assert only(driver.table("counts"), "user", "n", "total") == [("a", 1, 1)]
    assert [(d.step, d.offset, "key is null" in d.message) for d in driver.dead_letters()] == [
        ("by", 1, True), ("by", 2, True)
    ]  # fmt: skip


def test_a_failure_in_one_branch_leaves_the_others_alone() -> None:
    topology = Topology("t")
    source = clicks(topology)
    source.select("before", col.n).sink("out-before", topic="before")
    source.select("ratio", r=10 // col.n).sink("out-ratio", topic="ratio")
    source.select("after", col.n).sink("out-after", topic="after")
    driver = TopologyDriver(topology)
    driver.pipe("clicks", [click("a", 0, n=0), click("a", 1, n=5)])
    assert only(driver.output("ratio"), "r") == [2]
    assert only(driver.output("before"), "n") == [0, 5]
    assert only(driver.output("after"), "n") == [0, 5]
    assert [letter.step for letter in driver.dead_letters()] == ["ratio"]


def test_skip_counts_and_drops() -> None:
    driver = driver_of(lambda s: s.select("s", col.user), on_error=OnError.SKIP)
    driver.pipe("clicks", [b"nonsense", click("a", 0)])
    assert driver.output("out") == [{"user": "a"}]
    assert driver.dead_letters() == []
    assert driver.stats.skipped == 1


def test_fail_raises() -> None:
    driver = driver_of(lambda s: s.select("s", col.user), on_error=OnError.FAIL)
    with pytest.raises(DataError, match="clicks"):
        driver.pipe("clicks", b"nonsense")


@pytest.mark.parametrize("point", list(CrashPoint))
def test_dead_letters_are_exactly_once(point) -> None:
    driver = driver_of(lambda s: s.select("s", col.user))
    for i in range(4):
        driver.pipe("clicks", [b"bad %d" % i, click("a", i)])
        driver.crash(point)
    driver.checkpoint()
    assert [d.value for d in driver.dead_letters()] == [b"bad %d" % i for i in range(4)]


def test_each_source_has_its_own_policy() -> None:
    topology = Topology("t")
    for name, policy in [("kept", OnError.DEAD_LETTER), ("skipped", OnError.SKIP), ("strict", OnError.FAIL)]:
        stream = topology.source(name, topic=name, schema=Click, time=col.at, on_error=policy)
        stream.map(f"ratio-{name}", r=1 / col.n).group_by(f"by-{name}", col.user).aggregate(
            f"best-{name}", r=agg.max(col.r)
        )
    driver = TopologyDriver(topology)
    driver.pipe("skipped", [click("a", 0, n=0), click("a", 1, n=2)])
    assert (driver.stats.skipped, driver.dead_letters()) == (1, [])
    driver.pipe("kept", click("a", 0, n=0))
    assert [letter.topic for letter in driver.dead_letters()] == ["kept"]
    with pytest.raises(DataError, match="step 'ratio-strict': ZeroDivisionError"):
        driver.pipe("strict", click("a", 0, n=0))


def test_an_element_that_fails_does_not_take_the_rest_of_its_record_with_it() -> None:
    driver = driver_of(
        lambda s: (
            s.flat_map("all", lambda n: [n, 0, n + 1], col.n.fill_null(0), returns=list[int], name="i")
            .map("ratio", r=12 // col.i)
            .select("s", col.r)
        )
    )
    driver.pipe("clicks", [click("a", 0, n=2)])
    assert only(driver.output("out"), "r") == [6, 4]
    assert [letter.step for letter in driver.dead_letters()] == ["ratio"]


def test_columns_may_have_any_name_behind_a_repartition() -> None:
    class Odd(BaseModel):
        step: int
        key: int
        error: int
        time_ms: int

    topology = Topology("t")
    odd = topology.source("odd", topic="odd", schema=Odd)
    odd.group_by("by", col.step).aggregate("ratio", r=agg.max(col.key // (col.error - col.time_ms)))
    driver = TopologyDriver(topology)
    driver.pipe("odd", {"step": 1, "key": 2, "error": 3, "time_ms": 3})
    (letter,) = driver.dead_letters()
    assert letter.error == "ZeroDivisionError"
    assert b'"columns":{"error":3,"key":2,"time_ms":3}' in letter.value

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace import Topology, TopologyError, agg, calendar, col, hopping, tumbling
from headrace.testing import TopologyDriver
from headrace.topology.calendars import UNITS, WEEKDAYS, Calendar
from headrace.topology.windows import Hopping
from tests.naive.windows import dated
from tests.operators.support import clicks

ZONES = (
    "UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Asia/Kathmandu", "Australia/Lord_Howe",
    "America/Sao_Paulo", "America/St_Johns", "Pacific/Apia", "Africa/Casablanca", "Antarctica/Troll", "America/Havana",
)  # fmt: skip
HOUR = timedelta(hours=1)
years = st.integers(1_230_768_000_000, 1_798_761_600_000)  # 2009 to 2027
new_year = st.integers(1_324_339_200_000, 1_326_067_200_000)  # of 2012, when Samoa left out a day


def spanned(unit: str, tz: str, text: str, **options: str) -> tuple[str, str, timedelta]:
    """Return start and end in the zone's own time, and how long that is."""
    zone = ZoneInfo(tz)
    at = datetime.fromisoformat(text)
    at_ms = int((at if at.tzinfo else at.replace(tzinfo=zone)).timestamp() * 1000)
    start, end = (
        datetime.fromtimestamp(ms / 1000, UTC) for ms in calendar(unit, tz=tz, **options).span(at_ms)
    )  # fmt: skip
    return start.astimezone(zone).isoformat(), end.astimezone(zone).isoformat(), end - start


@pytest.mark.parametrize(
    ("unit", "tz", "at", "start", "hours"),
    [
        ("day", "Europe/Berlin", "2024-03-31T12:00", "2024-03-31T00:00:00+01:00", 23),
        ("day", "Europe/Berlin", "2024-10-27T02:30", "2024-10-27T00:00:00+02:00", 25),
        ("day", "Europe/Berlin", "2024-10-27T23:59:59.999", "2024-10-27T00:00:00+02:00", 25),
        ("day", "Asia/Kolkata", "2024-10-27T00:00", "2024-10-27T00:00:00+05:30", 24),
        ("day", "Australia/Lord_Howe", "2024-04-07T12:00", "2024-04-07T00:00:00+11:00", 24.5),
        ("day", "Australia/Lord_Howe", "2024-10-06T12:00", "2024-10-06T00:00:00+10:30", 23.5),
        # the clock was put forward at midnight: the day began at one
        ("day", "America/Sao_Paulo", "2018-11-04T12:00", "2018-11-04T01:00:00-02:00", 23),
        # Samoa left out the 30th when it changed sides of the date line
        ("day", "Pacific/Apia", "2011-12-29T12:00", "2011-12-29T00:00:00-10:00", 24),
        ("day", "Pacific/Apia", "2011-12-31T12:00", "2011-12-31T00:00:00+14:00", 24),
        ("hour", "Europe/Berlin", "2024-10-27T02:30+02:00", "2024-10-27T02:00:00+02:00", 1),
        ("hour", "Europe/Berlin", "2024-10-27T02:30+01:00", "2024-10-27T02:00:00+01:00", 1),
        ("hour", "Asia/Kathmandu", "2024-10-27T02:30", "2024-10-27T02:00:00+05:45", 1),
        ("hour", "Australia/Lord_Howe", "2024-04-07T01:45+10:30", "2024-04-07T01:30:00+10:30", 0.5),
        ("hour", "Australia/Lord_Howe", "2024-10-06T02:45", "2024-10-06T02:30:00+11:00", 0.5),
        ("week", "Europe/Berlin", "2024-03-31T12:00", "2024-03-25T00:00:00+01:00", 7 * 24 - 1),
        ("month", "Europe/Berlin", "2024-10-31T12:00", "2024-10-01T00:00:00+02:00", 31 * 24 + 1),
        ("month", "UTC", "2024-02-29T23:59", "2024-02-01T00:00:00+00:00", 29 * 24),
        ("quarter", "America/New_York", "2024-03-31T12:00", "2024-01-01T00:00:00-05:00", 91 * 24 - 1),
        ("year", "America/New_York", "2024-07-31T12:00", "2024-01-01T00:00:00-05:00", 366 * 24),
    ],
)
def test_windows_follow_the_clock_of_their_zone(unit: str, tz: str, at: str, start: str, hours: float) -> None:
    found, _, length = spanned(unit, tz, at)
    assert (found, length / HOUR) == (start, hours)


def test_a_week_begins_on_the_day_that_is_said() -> None:
    found = [spanned("week", "UTC", "2024-05-15T12:00", week_starts=day)[0][:10] for day in WEEKDAYS]
    assert found == [f"2024-05-{n}" for n in (13, 14, 15, "09", 10, 11, 12)]


@settings(max_examples=400, deadline=None)
@given(
    st.sampled_from(ZONES),
    st.sampled_from(["hour", "day"]),
    years | new_year,
)
def test_any_moment_lies_in_the_window_that_a_walk_over_the_minutes_finds(zone: str, unit: str, at_ms: int) -> None:
    window = calendar(unit, tz=zone)
    assert window.span(at_ms) == dated(window, at_ms)


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(ZONES),
    st.sampled_from(["week", "month", "quarter"]),
    st.sampled_from(WEEKDAYS),
    years,
)
def test_longer_windows_too(zone: str, unit: str, first: str, at_ms: int) -> None:
    window = calendar(unit, tz=zone, week_starts=first)
    assert window.span(at_ms) == dated(window, at_ms)


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("zone", ZONES)
def test_windows_follow_one_another_without_a_gap(unit: str, zone: str) -> None:
    window, at = calendar(unit, tz=zone), 1_300_000_000_000
    for _ in range(2000 if unit in {"hour", "day"} else 100):
        start, end = window.span(at)
        assert start <= at < end
        assert window.span(start) == window.span(end - 1) == (start, end)
        at = end
        assert window.span(at)[0] == end


@given(
    st.sampled_from([tumbling("1h"), hopping("50ms", "20ms"), calendar("hour"), calendar("day", tz="Asia/Kolkata")]),
    years,
)
def test_the_first_window_that_ends_behind_a_moment(window: Hopping | Calendar, at_ms: int) -> None:
    first = window.first_ms(at_ms)
    assert window.end_ms(first) > at_ms
    assert window.end_ms(first - 1) <= at_ms


def declared(unit: str, zone: str) -> Topology:
    topology = Topology("t")
    windows = (
        clicks(topology, out_of_orderness="2h").group_by("by", col.user).window(calendar(unit, tz=zone, grace="1h"))
    )
    counts = windows.aggregate("counts", n=agg.count(), numbers=agg.collect_list(col.n))
    counts.on_close().sink("closed", topic="closed")
    counts.late().select("shape", col.n).sink("late-out", topic="late")
    return topology


moments = st.lists(st.integers(0, 5 * 24 * 60), min_size=1, max_size=40)
jumps = st.lists(st.sampled_from(["go on", "checkpoint", "restart"]), min_size=1, max_size=6)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(["Europe/Berlin", "Australia/Lord_Howe", "Asia/Kolkata"]),
    st.sampled_from(["day", "hour"]),
    moments,
    jumps,
    st.integers(1, 9),
)
def test_rows_against_a_naive_assignment(
    zone: str, unit: str, minutes: list[int], jumps: list[str], batch: int
) -> None:
    begin = int(datetime(2024, 4, 5, tzinfo=UTC).timestamp() * 1000)  # Lord Howe changes its clock on the 7th
    times = [begin + minute * 60_000 for minute in sorted(minutes, key=lambda m: m + (m * 7919) % 200)]
    driver = TopologyDriver(declared(unit, zone), batch=batch, cache_bytes=1)
    size = len(times) // len(jumps) + 1
    for place, at in enumerate(range(0, len(times), size)):
        rows = [
            {"user": "a", "n": n, "at": datetime.fromtimestamp(times[n] / 1000, UTC).isoformat()}
            for n in range(at, min(at + size, len(times)))
        ]
        driver.pipe("clicks", rows)
        if jumps[place % len(jumps)] == "checkpoint":
            driver.checkpoint()
        elif jumps[place % len(jumps)] == "restart":
            driver.restart()
    driver.finish()
    groups: dict[tuple[int, int], list[int]] = {}
    late, highest = [], -(10**18)
    for n, time_ms in enumerate(times):
        highest = max(highest, time_ms)
        start, end = dated(calendar(unit, tz=zone), time_ms)
        if end + 3_600_000 <= highest - 2 * 3_600_000:
            late.append(n)
        else:
            groups.setdefault((start, end), []).append(n)
    found = driver.output("closed")
    assert [row["numbers"] for row in found] == [groups[span] for span in sorted(groups)]
    starts = [
        datetime.fromtimestamp(start / 1000, UTC).isoformat().replace("+00:00", "Z") for start, _ in sorted(groups)
    ]
    assert [row["window_start"] for row in found] == starts
    assert [row["n"] for row in driver.output("late")] == late


def test_old_rows_are_removed_and_open_ones_found_again() -> None:
    topology = Topology("t")
    windows = clicks(topology).group_by("by", col.user).window(calendar("day", tz="Europe/Berlin", retention="2d"))
    windows.aggregate("counts", n=agg.count())
    driver = TopologyDriver(topology)
    for day in range(1, 9):
        driver.pipe("clicks", {"user": "a", "at": f"2024-03-{23 + day:02}T12:00:00Z"})
        driver.checkpoint()
        driver.restart()
    assert [row["window_start"].isoformat() for row in driver.table("counts")] == [
        "2024-03-28T23:00:00+00:00", "2024-03-29T23:00:00+00:00", "2024-03-30T23:00:00+00:00"
    ]  # fmt: skip
    assert len(list(driver.backend.store("t/counts").scan(b"", b"\xff"))) <= 4


def test_all_that_is_wrong_is_said_at_once() -> None:
    topology = Topology("t")
    windows = clicks(topology).group_by("by", col.user).window(
        calendar("days", tz="Europe/Berlyn", week_starts="mon", grace="soon")
    )  # fmt: skip
    windows.aggregate("counts", n=agg.count())
    with pytest.raises(TopologyError) as caught:
        TopologyDriver(topology)
    text = str(caught.value)
    assert all(part in text for part in ("'days'", "Did you mean 'day'?", "Europe/Berlyn", "'mon'", "'soon'"))

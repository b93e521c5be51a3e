"""A case as a topology: its pattern in the public language, its events as records."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from pydantic import BaseModel, create_model

from headrace import Pattern, Topology, begin, col, matched, skip
from tests.conformance.cases import NEGATIVE, steps
from tests.conformance.conditions import PREFIX, columns, translate

SCALE = 10
"""Milliseconds for one of a case: a watermark of a case lies behind its own millisecond, ours before the next."""

EPOCH = datetime(2024, 1, 1, tzinfo=UTC)
DETECT = "found"

Time = Literal["arrival", "watermark"]


def instant(ts: float) -> datetime:
    """Return the moment of a time stamp."""
    return EPOCH + timedelta(milliseconds=ts * SCALE)


def time_stamp(moment: datetime) -> float:
    """Return the time stamp of a moment."""
    return (moment - EPOCH) / timedelta(milliseconds=SCALE)


def _span(ms: int) -> timedelta:
    return timedelta(milliseconds=ms * SCALE)


class Translation:
    """The topology of a case. Records of several keys may be piped into it: each is an input of its own."""

    def __init__(self, case: Mapping[str, Any], entries: Iterable[Mapping[str, Any]], *, keyed: bool = True) -> None:
        """Declare; ``entries`` are those of all inputs; ``keyed``: the records come partitioned by the key."""
        self.time: Time = case.get("time", "arrival")
        rows = list(entries)
        self.fields = columns(_conditions(case["pattern"]), [row for row in rows if "ts" in row])
        self.lists = frozenset(name for name, kind in self.fields.items() if getattr(kind, "__origin__", None) is list)
        self.steps = list(steps(case["pattern"]))
        instants = [row.get("ts", row.get("advance_to", row.get("watermark"))) for row in rows]
        # only a watermark of the case itself may move event time
        self.lag = 0 if self.time == "arrival" else 2 * max((abs(t) for t in instants), default=0) + 1000
        self.topology = self._declare(case, keyed)

    def _declare(self, case: Mapping[str, Any], keyed: bool) -> Topology:
        topology = Topology("cep")
        source = topology.source(
            "in",
            topic="in",
            schema=self._schema(),
            key=col.k if keyed else None,
            time=col.at,
            out_of_orderness=_span(self.lag),
            on_error="fail",
        )
        found = (
            source.filter("events", ~col.tick)
            .group_by("by-key", col.k)
            .detect(DETECT, self.pattern(case), emit=self._emitted(), order=self._order())
        )
        found.sink("matches", topic="matches")
        found.timed_out().sink("timed-out", topic="timed-out")
        found.overflow().sink("overflow", topic="overflow")
        found.late().select("late-shape", col.k, col.id).sink("late", topic="late")
        return topology

    def _order(self) -> str:
        return "arrival" if self.time == "arrival" else "event_time"

    def _emitted(self) -> dict[str, Any]:
        return {"events": matched.all()} | {f"step_{n}": matched.all(step) for n, step in enumerate(self.steps)}

    def _schema(self) -> type[BaseModel]:
        known: dict[str, Any] = {"k": (str, ...), "id": (str, ...), "at": (datetime, ...), "tick": (bool, ...)}
        return create_model("Entry", **known, **{PREFIX + n: (t | None, None) for n, t in self.fields.items()})

    # the pattern

    def pattern(self, case: Mapping[str, Any]) -> Pattern:
        """Return the pattern of a case."""
        found = self._elements(case["pattern"])
        within = case.get("within_ms")
        found = found.within(None if within is None else _span(within))
        return found.after_match(_skip(case.get("skip", "no_skip")))

    def _elements(self, elements: Iterable[Mapping[str, Any]]) -> Pattern:
        found: Pattern | None = None
        for element in elements:
            what = self._elements(element["group"]) if "group" in element else element["step"]
            where = (translate(element["where"], self.lists),) if "where" in element else ()
            if not where and element.get("contiguity") in NEGATIVE:
                where = (True,)
            add = begin if found is None else getattr(found, element["contiguity"])
            found = add(what, *where)
            found = self._quantified(found, element)
        assert found is not None
        return found

    def _quantified(self, found: Pattern, element: Mapping[str, Any]) -> Pattern:
        least, most = element.get("times", [1, 1])
        optional = element.get("optional", False) or least == 0
        least = max(least, 1)
        if (least, most) == (1, None):
            found = found.one_or_more()
        elif least == most and most > 1:
            found = found.times(most)
        elif least != most:
            found = found.times(least, most)
        # how a loop goes on means nothing where there is none
        if element.get("loop", "relaxed") != "relaxed" and most != 1:
            found = getattr(found, element["loop"])()
        if optional:
            found = found.optional()
        if element.get("greedy", False):
            found = found.greedy()
        if "until" in element:
            found = found.until(translate(element["until"], self.lists))
        if "within_prev_ms" in element:
            found = found.within_step(_span(element["within_prev_ms"]))
        return found

    # the records

    def record(self, key: str, entry: Mapping[str, Any]) -> dict[str, Any]:
        """Return the record for an entry: an event, or a tick, which only moves event time."""
        if "advance_to" in entry:
            return self._tick(entry["advance_to"] * SCALE)
        if "watermark" in entry:
            return self._tick(entry["watermark"] * SCALE + 1 + self.lag * SCALE)
        values = {PREFIX + name: entry.get(name) for name in self.fields}
        return {"k": key, "id": entry["id"], "at": instant(entry["ts"]).isoformat(), "tick": False, **values}

    def _tick(self, ms: float) -> dict[str, Any]:
        return {"k": "tick", "id": "tick", "at": (EPOCH + timedelta(milliseconds=ms)).isoformat(), "tick": True}


def _conditions(elements: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    for element in elements:
        yield from (element[name] for name in ("where", "until") if name in element)
        yield from _conditions(element.get("group", ()))


def _skip(case: Any) -> Any:
    match case:
        case "no_skip":
            return skip.none()
        case "to_next":
            return skip.to_next()
        case "past_last":
            return skip.past_last()
        case {"to_first": step, **rest}:
            return skip.to_first(step, on_miss=rest.get("on_miss", "ignore"))
        case {"to_last": step, **rest}:
            return skip.to_last(step, on_miss=rest.get("on_miss", "ignore"))
        case _:
            raise ValueError(case)

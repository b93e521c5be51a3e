"""Random pattern cases, as data that prints: within what is defined, in the format of ``tests/conformance``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

LETTERS = "abcd"
NOBODY = "n"  # a name that no step takes
KEYS = 8
"""Inputs of one pattern: each is a key of one run."""

Element = dict[str, Any]
Draw = Any


@dataclass(frozen=True)
class Trial:
    """A pattern and its inputs, merged: (key, entry) in the order in which they come."""

    case: dict[str, Any]
    entries: list[tuple[str, dict[str, Any]]]

    def of(self, key: str) -> dict[str, Any]:
        """Return the case of one key: what comes for the others only moves time."""
        if self.case["time"] == "watermark":
            events = [entry for k, entry in self.entries if k == key or "watermark" in entry]
        else:
            events = [entry if k == key else {"advance_to": time_of(entry)} for k, entry in self.entries]
        return {**self.case, "events": events}


def time_of(entry: dict[str, Any]) -> int:
    """Return the time of an entry."""
    return int(entry.get("ts", entry.get("advance_to", 0)))


def is_loop(element: Element) -> bool:
    """Return whether an element may be gone through more than once."""
    return element.get("times", [1, 1]) != [1, 1]


def is_open(element: Element) -> bool:
    """Return whether a loop has no fixed number of rounds."""
    least, most = element.get("times", [1, 1])
    return bool(least != most)


def is_negative(element: Element) -> bool:
    """Return whether an element takes no event."""
    return str(element.get("contiguity")).startswith("not")


class _Names:
    """Step names; ``taking``: those of steps that take events, of which a condition may speak, in order."""

    def __init__(self) -> None:
        self.count = 0
        self.taking: list[str] = []

    def new(self, *, takes: bool = True) -> str:
        name = f"s{self.count}"
        self.count += 1
        if takes:
            self.taking.append(name)
        return name


def _condition(draw: Draw, letters: Iterable[str], names: _Names) -> str:
    chosen = sorted(letters)
    text = f"name == '{chosen[0]}'" if len(chosen) == 1 else f"name in {chosen!r}"
    step = draw(st.sampled_from(names.taking))
    own = names.taking[-1]
    return draw(
        st.sampled_from(
            [
                *[text] * 8,
                f"{text} and price > 0",
                f"{text} and not price == 2",
                f"{text} and sum({own}.price) + price < 4",
                f"{text} and (count({step}) < 2 or price >= last({step}).price)",
                f"price <= first({step}).price + 1 and {text} or {text} and count({step}) == 0",
            ]
        )
    )


def _quantified(draw: Draw, element: Element) -> Element:
    """Make it a loop, or not; optional, or not."""
    group = "group" in element
    times = draw(st.sampled_from([None, None, None, [2, 2], [1, None], [1, None], [1, 2], [2, 3], [2, None], [3, 3]]))
    if group and times == [3, 3]:
        times = [2, 2]
    if times is not None and not (group and len(element["group"]) == 1 and is_loop(element["group"][0])):
        element["times"] = times
        element["loop"] = draw(st.sampled_from(["relaxed", "relaxed", "consecutive", "allow_combinations"]))
    if draw(st.integers(0, 4)) == 0:
        element["optional"] = True
    if not group and element.get("times", [1, 1])[1] is None and draw(st.integers(0, 3)) == 0:
        element["until"] = draw(
            st.sampled_from(["price == 3", "name == 'x'", f"sum({element['step']}.price) > 2", "price == 0"])
        )
    return element


def _step(draw: Draw, names: _Names) -> Element:
    step = names.new()
    letters = draw(st.sampled_from(["a", "b", "c", "d", "ab", "bc", "abcd"]))
    return _quantified(draw, {"step": step, "where": _condition(draw, letters, names)})


def _group(draw: Draw, names: _Names, depth: int) -> Element:
    inner = _elements(draw, names, draw(st.integers(1, 3)), depth + 1)
    if all(element.get("optional") for element in inner):
        inner[-1].pop("optional")
    return _quantified(draw, {"group": inner})


def _elements(draw: Draw, names: _Names, count: int, depth: int = 0) -> list[Element]:
    """Return that many elements that take events, and negations between them."""
    found: list[Element] = []
    for place in range(count):
        group = depth < 2 and draw(st.integers(0, 6)) == 0
        element = _group(draw, names, depth) if group else _step(draw, names)
        if place:
            element["contiguity"] = draw(st.sampled_from(["next", "followed_by", "followed_by", "followed_by_any"]))
            if draw(st.integers(0, 4)) == 0:
                _negate(draw, names, found, element)
        found.append(element)
    for element, following in zip(found, [*found[1:], None], strict=True):
        _make_greedy(draw, element, following, depth)
    for place in range(1, len(found)):
        _bound_step(draw, found, place)
    return found


def _may_be_negated_after(element: Element) -> bool:
    least, most = element.get("times", [1, 1])
    if is_negative(element) or element.get("optional"):
        return False
    if "group" in element:
        last = element["group"][-1]
        return not is_loop(element) and not is_loop(last) and _may_be_negated_after(last)
    return bool(least == most or most is None)


def _negate(draw: Draw, names: _Names, before: list[Element], after: Element) -> None:
    """Put a negation between the last element and the next, where its meaning is settled."""
    least, most = after.get("times", [1, 1])
    if not _may_be_negated_after(before[-1]) or (least != most and most is not None):
        return
    if after["contiguity"] == "next" or "group" in after:
        return
    kind = "not_followed_by" if after.get("optional") else draw(st.sampled_from(["not_next", "not_followed_by"]))
    before.append(_negation(draw, names, kind))


def _negation(draw: Draw, names: _Names, kind: str) -> Element:
    condition = draw(st.sampled_from([*(f"name == '{letter}'" for letter in NOBODY + LETTERS), "price == 3"]))
    return {"step": names.new(takes=False), "contiguity": kind, "where": condition}


def _make_greedy(draw: Draw, element: Element, following: Element | None, depth: int) -> None:
    last = following is None and depth == 0
    plain = following is not None and not following.get("optional") and not is_negative(following)
    if following is not None and "group" in following:
        plain = plain and not following["group"][0].get("optional")
    if "group" in element or is_negative(element) or not is_open(element) or not (last or plain):
        return
    if element["loop"] != "allow_combinations" and draw(st.integers(0, 2)) == 0:
        element["greedy"] = True


def _bound_step(draw: Draw, elements: list[Element], place: int) -> None:
    """Give a step a window of its own, where its meaning is settled."""
    element, before = elements[place], elements[place - 1]
    if "group" in element or "group" in before or is_negative(element) or is_negative(before):
        return
    if is_open(element) or is_loop(before) or before.get("optional") or draw(st.integers(0, 3)):
        return
    element["within_prev_ms"] = draw(st.integers(1, 6))


@st.composite
def patterns(draw: Draw, *, windows: bool) -> dict[str, Any]:
    """Draw all of a case but its events."""
    names = _Names()
    elements = _elements(draw, names, draw(st.sampled_from([1, 2, 2, 3, 3, 4])))
    case: dict[str, Any] = {}
    if windows and draw(st.integers(0, 2)):
        case["within_ms"] = draw(st.integers(2, 12))
    skips = ["no_skip", "no_skip", "to_next", "past_last"]
    step = draw(st.sampled_from(names.taking))
    case["skip"] = draw(st.sampled_from([*skips, {"to_first": step}, {"to_last": step}]))
    if draw(st.integers(0, 4)) == 0 and _may_be_negated_after(elements[-1]):
        kind = draw(st.sampled_from(["not_next", "not_followed_by"]))
        negation = _negation(draw, names, kind)
        if kind == "not_followed_by" and "within_ms" not in case:
            fixed = "group" not in elements[-1] and not is_open(elements[-1])
            where = negation if fixed and draw(st.booleans()) else case
            where["within_prev_ms" if where is negation else "within_ms"] = draw(st.integers(1, 6))
        elements[-1].pop("greedy", None)
        elements.append(negation)
    if not windows:
        _unbound(elements)
    return {**case, "pattern": elements}


def _unbound(elements: list[Element]) -> None:
    for element in elements:
        if not is_negative(element):
            element.pop("within_prev_ms", None)
        _unbound(element.get("group", []))


def _events(case: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Return events, most of them of names that the pattern speaks of."""
    spoken = [letter for letter in LETTERS if f"'{letter}'" in str(case["pattern"])]
    names = [*spoken * 3, *LETTERS, "x", NOBODY]
    return st.fixed_dictionaries(
        {"name": st.sampled_from(names), "price": st.sampled_from([0, 1, 1, 2, 3, None])}
    )  # fmt: skip


@st.composite
def arrivals(draw: Draw, events: st.SearchStrategy[dict[str, Any]]) -> list[tuple[str, dict[str, Any]]]:
    """Draw events and passing time, in the order of arrival."""
    entries, now = [], 0
    size = draw(st.integers(3, 9))
    for number in range(size * KEYS):
        now += draw(st.sampled_from([0, 0, 0, 0, 0, 0, 0, 1, 1, 2]))
        key = str(number if number < KEYS else draw(st.integers(0, KEYS - 1)))
        if draw(st.integers(0, 19)) == 0:
            entries.append((key, {"advance_to": now}))
        else:
            entries.append((key, {"id": f"e{number}", "ts": now, **draw(events)}))
    return entries


@st.composite
def watermarks(draw: Draw, events: st.SearchStrategy[dict[str, Any]]) -> list[tuple[str, dict[str, Any]]]:
    """Draw events out of order and watermarks between them."""
    entries: list[tuple[str, dict[str, Any]]] = []
    now = watermark = 0
    size = draw(st.integers(3, 9))
    for number in range(size * KEYS):
        now += draw(st.sampled_from([0, 0, 0, 0, 0, 1, 1]))
        key = str(number if number < KEYS else draw(st.integers(0, KEYS - 1)))
        if draw(st.integers(0, 9)) == 0:
            watermark = max(watermark, now - draw(st.integers(0, 4)))
            entries.append((key, {"watermark": watermark}))
        else:
            at = now - draw(st.sampled_from([0, 0, 0, 0, 1, 2, 3, 5]))
            entries.append((key, {"id": f"e{number}", "ts": at, **draw(events)}))
    return entries


@st.composite
def trials(draw: Draw, time: str) -> Trial:
    """Draw a pattern and inputs for it."""
    case = draw(patterns(windows=True))
    events = _events(case)
    entries = draw(arrivals(events) if time == "arrival" else watermarks(events))
    return Trial({"id": "random", **case, "time": time}, entries)

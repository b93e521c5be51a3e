"""Patterns checked: what was written down becomes the parts of a step, what makes no sense becomes faults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from itertools import pairwise

from headrace.topology.declaration import Declaration, shown
from headrace.topology.detect import Detect, Part
from headrace.topology.expr import Expr, Literal
from headrace.topology.matching import ONLY_EMITTED, Matched
from headrace.topology.operator import Port
from headrace.topology.patterns import (
    Contiguity,
    Element,
    Loop,
    Pattern,
    Recognition,
    Skip,
    To,
    Unsaid,
)

_STAND_IN = Part("step", (), Contiguity.FOLLOWED_BY, None, 1, 1, False, Loop.RELAXED, False, None, None)  # noqa: FBT003
_ORDERS = ("event_time", "arrival")


@dataclass(frozen=True, slots=True)
class Detecting:
    """What is said of a step that finds a pattern; unchecked."""

    pattern: object
    emit: object
    order: object
    runs: object


def checked(declared: Declaration, node_of: tuple[str, Port], said: Detecting, *, whole: bool) -> Detect:
    """Return the step of an id on a port; note what is wrong with it."""
    id, port = node_of
    check = _Check(declared, id)
    pattern, emit = check.pattern(said)
    parts = check.parts(pattern) if pattern.elements else (_STAND_IN,)
    window = check.window(pattern.window, parts)
    if said.order not in _ORDERS:
        declared.fault(id, "order", "'event_time' or 'arrival'", shown(said.order), "Choose one of them.")
    return Detect(
        id,
        port,
        parts,
        window,
        check.skip(pattern.skip),
        check.emitted(emit),
        arrival=said.order == "arrival",
        runs=declared.count(id, "runs", said.runs),
        whole=whole,
    )


class _Check:
    """The check of one pattern."""

    def __init__(self, declared: Declaration, id: str) -> None:
        self._declared, self._id = declared, id
        self._names: dict[str, bool] = {}

    def _fault(self, parameter: str, expected: str, got: str, remedy: str) -> None:
        self._declared.fault(self._id, f"pattern, {parameter}", expected, got, remedy)

    def pattern(self, said: Detecting) -> tuple[Pattern, object]:
        """Return the pattern and what is emitted for a match."""
        match said.pattern:
            case Recognition(pattern, emit):
                if said.emit is not None:
                    remedy = "The text says in MEASURES what is emitted."
                    self._declared.fault(self._id, "emit", "none", shown(said.emit), remedy)
                return pattern, emit
            case Pattern():
                return said.pattern, said.emit
            case _:
                remedy = "Begin one: begin('first', col.type == 'a')."
                self._declared.fault(self._id, "pattern", "a pattern", shown(said.pattern), remedy)
                return Pattern((), None), None

    def parts(self, pattern: Pattern) -> tuple[Part, ...]:
        """Return the parts of a whole pattern."""
        found = self._sequence(pattern, top=True)
        for part in (inner for outer in found for inner in _all(outer)):
            for name, expr in (("where", part.where), ("until", part.until)):
                if expr is not None:
                    self._references(f"pattern, {part.step}, {name}", expr, emitted=False)
        return found

    def _sequence(self, pattern: Pattern, *, top: bool) -> tuple[Part, ...]:
        for mistake in pattern.mistakes:
            self._fault(mistake.parameter, mistake.expected, mistake.got, mistake.remedy)
        if not top:
            self._check_group(pattern)
        found = tuple(self._part(element) for element in pattern.elements)
        self._check_order(pattern, found, top=top)
        return found

    def _check_group(self, pattern: Pattern) -> None:
        if pattern.window is not Unsaid.WINDOW:
            self._fault("within", "a window of the whole pattern", "one of a group", "Say it behind the last step.")
        if not isinstance(pattern.skip, Skip) or pattern.skip.to is not To.NONE:
            self._fault("after_match", "it behind the whole pattern", "it in a group", "Say it behind the last step.")

    def _part(self, element: Element) -> Part:
        name = self._name(element)
        least, most = self._times(name, element)
        group = self._sequence(element.step, top=False) if isinstance(element.step, Pattern) else ()
        condition = self._declared.condition
        where = None if element.where is None else condition(self._id, f"pattern, {name}, where", element.where)
        until = None if element.until is None else condition(self._id, f"pattern, {name}, until", element.until)
        within_ms = None
        if element.within is not None:
            within_ms = self._declared.duration(self._id, f"pattern, {name}, within_step", element.within, least=1)
        part = Part(
            name,
            group,
            element.contiguity,
            None if isinstance(where, Literal) and where.value is True else where,
            max(least, 1),
            most,
            element.optional or least == 0,
            element.loop or Loop.RELAXED,
            element.greedy,
            until,
            within_ms,
        )
        self._check_quantifiers(element, part)
        return replace(part, greedy=False) if part.group else part

    def _name(self, element: Element) -> str:
        step = element.step
        if isinstance(step, Pattern):
            name = f"({', '.join(str(e.step) for e in step.elements)})"
            if element.contiguity.negative:
                self._fault(name, "a step to be absent", "a group", "Say which event must not come.")
            if element.where is not None:
                self._fault(f"{name}, where", "no condition of a group", shown(element.where), "Give it to its steps.")
            return name
        if not (isinstance(step, str) and step):
            self._fault("step", "a name, or a pattern as a group", shown(step), "Name the step.")
            return str(step)
        if step in self._names:
            self._fault(step, "every step once", f"{step!r} twice", "Name one of them otherwise.")
        self._names[step] = element.contiguity.negative
        return step

    def _times(self, name: str, element: Element) -> tuple[int, int | None]:
        if element.times is None:
            return 1, 1
        match element.times:
            case (int(least), None) if least >= 0:
                return least, None
            case (int(least), int(most)) if 0 <= least <= most and most >= 1:
                return least, most
            case (least, most):
                expected, got = "whole numbers, 0 <= least <= most, 1 <= most", f"times({least!r}, {most!r})"
                self._fault(f"{name}, times", expected, got, "Mend them.")
        return 1, 1

    def _check_quantifiers(self, element: Element, part: Part) -> None:
        name = part.step
        if part.contiguity.negative:
            said = [word for word, is_said in _quantifiers(element) if is_said]
            if said:
                self._fault(name, "no quantifier of what must be absent", ", ".join(said), "Leave it out.")
            if element.where is None:
                self._fault(f"{name}, where", "a condition", "none", "Say which event must not come.")
            return
        if not part.repeats:
            loose = {"until": part.until is not None, "greedy": part.greedy, part.loop.value: element.loop is not None}
            for word in (word for word, is_said in loose.items() if is_said):
                remedy = "Repeat it: times(...), one_or_more(); or leave it out."
                self._fault(f"{name}, {word}", "it of a step that repeats", "it of a single one", remedy)
        if part.greedy and part.loop is Loop.COMBINATIONS:
            remedy = "Leave one of them out: a greedy loop takes every event, combinations pass over some."
            self._fault(f"{name}, greedy", "greedy or allow_combinations", "both", remedy)
        if part.group:
            stops, waits = part.until is not None, part.within_ms is not None
            inner = {"greedy": part.greedy, "until": stops, "within_step": waits}
            for word in (word for word, is_said in inner.items() if is_said):
                remedy = "What it means in the middle of a round is not defined: give it to a step of the group."
                self._fault(f"{name}, {word}", "it of a step", "it of a group", remedy)
        elif part.within_ms is not None and part.ranged:
            remedy = "Give the whole pattern a window, or repeat the step a fixed number of times."
            self._fault(f"{name}, within_step", "it of a step that takes a fixed number", "it of a loop", remedy)

    def _check_order(self, pattern: Pattern, parts: tuple[Part, ...], *, top: bool) -> None:
        first, last = parts[0], parts[-1]
        if first.contiguity.negative:
            expected = f"a step that takes an event at the beginning of {'the pattern' if top else 'a group'}"
            self._fault(first.step, expected, "a negation", "Begin with a step.")
        if not top and last.contiguity.negative:
            expected = "a step that takes an event at the end of a group"
            self._fault(last.step, expected, "a negation", "Put it behind the group.")
        for before, part in pairwise(parts):
            self._check_pair(before, part)
        for part in parts:
            at_end = part is last and part.contiguity is Contiguity.NOT_FOLLOWED_BY
            if part.contiguity.negative and part.within_ms is not None and not at_end:
                expected = "it of a not_followed_by at the end"
                self._fault(f"{part.step}, within_step", expected, "it elsewhere", "Leave it out.")

    def _check_pair(self, before: Part, part: Part) -> None:
        if _ends_greedy(before) and part.may_be_empty:
            remedy = "What both may take, either may: make the step required, or the loop not greedy."
            got = f"{part.step}, which is optional"
            self._fault(f"{_inner(before)}, greedy", "a required step behind a greedy loop", got, remedy)
        if part.within_ms is not None and before.ranged:
            expected, got = "a step before it that takes a fixed number", f"the loop {before.step}"
            self._fault(f"{part.step}, within_step", expected, got, "Give the whole pattern a window.")
        if part.contiguity.negative and before.may_be_empty:
            remedy = "Say what must be absent in front of a required step."
            got = f"{before.step}, which is optional"
            self._fault(part.step, "a required step before what must be absent", got, remedy)
        if part.contiguity.negative and before.ranged and before.most is not None:
            self._range(part, before)
        if before.contiguity.negative and part.ranged and part.most is not None:
            self._range(before, part)

    def _range(self, negation: Part, loop: Part) -> None:
        got = f"{loop.step}, from {loop.least} to {loop.most}"
        remedy = "Repeat it a fixed number of times, or without an upper bound."
        self._fault(negation.step, "no range next to what must be absent", got, remedy)

    def window(self, window: object, parts: tuple[Part, ...]) -> int | None:
        """Return the window of the whole pattern."""
        found: int | None = None
        if window is Unsaid.WINDOW:
            if not any(part.within_ms is not None for whole in parts for part in _all(whole)):
                remedy = "Runs that never end are state that never goes: say within('5m'), or within(None) if so be it."
                self._fault("within", "a window", "none", remedy)
        elif window is not None:
            found = self._declared.duration(self._id, "pattern, within", window, least=1)
        last = parts[-1]
        endless = found is None and last.within_ms is None and window is not Unsaid.WINDOW
        if last.contiguity is Contiguity.NOT_FOLLOWED_BY and endless:
            remedy = "Say for how long the event must not come: within('5m')."
            self._fault(last.step, "a window for not_followed_by at the end", "none", remedy)
        return found

    def skip(self, value: object) -> Skip:
        """Return what a match discards."""
        if not isinstance(value, Skip):
            self._fault("after_match", "a skip strategy", shown(value), "Take one of skip, such as skip.past_last().")
            return Skip()
        if value.on_miss not in ("ignore", "error"):
            self._fault("after_match, on_miss", "'ignore' or 'error'", shown(value.on_miss), "Choose one of them.")
        if value.to in {To.FIRST, To.LAST}:
            self._known("pattern, after_match", value.step)
        return value

    def emitted(self, emit: object) -> tuple[tuple[str, Expr], ...] | None:
        """Return the columns of a match."""
        if emit is None:
            return None
        if not isinstance(emit, Mapping):
            remedy = "Write emit={'n': matched.count('a')}."
            self._declared.fault(self._id, "emit", "columns by their names", shown(emit), remedy)
            return None
        found = []
        for name, value in emit.items():
            column = self._declared.column_name(self._id, "emit", name)
            expr = self._declared.expression(self._id, f"emit, {column}", value)
            self._references(f"emit, {column}", expr, emitted=True)
            found.append((column, expr))
        return tuple(found)

    def _references(self, parameter: str, expr: Expr, *, emitted: bool) -> None:
        for reference, _ in Matched.references([expr]):
            if not emitted and reference.reading in ONLY_EMITTED:
                remedy = "It is known when the match is complete: use it in emit."
                self._declared.fault(self._id, parameter, "events taken so far", str(reference), remedy)
            if reference.step is not None:
                self._known(parameter, reference.step)
            if reference.argument is not None and Matched.references([reference.argument]):
                got = str(reference)
                remedy = "Compute the parts by themselves."
                self._declared.fault(self._id, parameter, "columns of one event", got, remedy)

    def _known(self, parameter: str, step: object) -> None:
        if step in self._names and not self._names[str(step)]:
            return
        takers = [name for name, negative in self._names.items() if not negative]
        close = get_close_matches(str(step), takers, n=1)
        if step in self._names:
            got, remedy = f"{step!r}, which takes none", f"There are: {', '.join(takers)}."
        else:
            got = repr(step)
            remedy = f"Did you mean {close[0]!r}?" if close else f"There are: {', '.join(takers)}."
        self._declared.fault(self._id, parameter, "a step that takes events", got, remedy)


def _quantifiers(element: Element) -> tuple[tuple[str, bool], ...]:
    return (
        ("times", element.times is not None),
        ("optional", element.optional),
        ("greedy", element.greedy),
        ("loop", element.loop is not None),
        ("until", element.until is not None),
    )


def _all(part: Part) -> list[Part]:
    return [found for inner in part.group for found in _all(inner)] if part.group else [part]


def _ends_greedy(part: Part) -> bool:
    return _ends_greedy(part.group[-1]) if part.group else part.greedy


def _inner(part: Part) -> str:
    return _inner(part.group[-1]) if part.group else part.step

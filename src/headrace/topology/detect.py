"""The step that finds a pattern, with its pattern checked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar

from headrace.event.dtypes import DType
from headrace.topology.expr import Column, Expr
from headrace.topology.matching import Matched, Reading, Reference
from headrace.topology.operator import Operator, Path, Port
from headrace.topology.patterns import Contiguity, Loop, Skip
from headrace.topology.trees import walk

MADE = ("out", "timed_out", "overflow")
"""The ports whose rows are made of what a run has taken."""


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """A step of a pattern or a group of them; ``most`` None: no upper bound."""

    step: str
    group: tuple[Part, ...]
    contiguity: Contiguity
    where: Expr | None
    least: int
    most: int | None
    optional: bool
    loop: Loop
    greedy: bool
    until: Expr | None
    within_ms: int | None

    @property
    def repeats(self) -> bool:
        """Whether it may take more than one event or, as a group, more than one round."""
        return self.most != 1

    @property
    def ranged(self) -> bool:
        """Whether it is a loop that may end after more than one number of rounds."""
        return self.least != self.most

    @property
    def may_be_empty(self) -> bool:
        """Whether it may take no event at all."""
        return self.optional or (bool(self.group) and all(part.may_be_empty for part in self.group))

    def __str__(self) -> str:
        name = f"({'; '.join(map(str, self.group))})" if self.group else self.step
        times = "" if not self.repeats else f"{{{self.least},{'' if self.most is None else self.most}}}"
        words = [self.contiguity.value, name + times + ("?" if self.optional else "")]
        words += [self.loop.value] if self.repeats else []
        words += ["greedy"] if self.greedy else []
        words += [f"where {self.where}"] if self.where is not None else []
        words += [f"until {self.until}"] if self.until is not None else []
        words += [f"within {self.within_ms} ms"] if self.within_ms is not None else []
        return " ".join(words)


@dataclass(frozen=True, slots=True, eq=False)
class Detect(Operator):
    """Find a pattern among the events of each key.

    ``arrival``: events are matched as they come, not in the order of their times. ``runs``: the most runs that one
    key may have. ``whole``: there is no key, all events meet.
    """

    id: str
    input: Port
    parts: tuple[Part, ...]
    within_ms: int | None
    skip: Skip
    emit: tuple[tuple[str, Expr], ...] | None
    arrival: bool
    runs: int
    whole: bool
    inline: ClassVar[frozenset[str]] = frozenset({"late"})

    @property
    def inputs(self) -> tuple[Port, ...]:
        """The port that it reads."""
        return (self.input,)

    def details(self) -> str:
        """Return its parameters as text."""
        window = "no window: runs may live for ever" if self.within_ms is None else f"within {self.within_ms} ms"
        order = "order of arrival" if self.arrival else "order of event time"
        emitted = "" if self.emit is None else "; emit " + ", ".join(f"{name} = {expr}" for name, expr in self.emit)
        steps = "; ".join(map(str, self.parts))
        return f"{steps}; {window}, skip {self.skip}, {order}, at most {self.runs} runs{emitted}"

    def steps(self) -> Iterator[Part]:
        """Yield the steps, those of groups too, in order."""
        return _steps(self.parts)

    def conditions(self) -> list[Expr]:
        """Return the conditions of all steps."""
        return [expr for part in self.steps() for expr in (part.where, part.until) if expr is not None]

    def emitted(self) -> list[Expr]:
        """Return the expressions of the columns of a match."""
        return [] if self.emit is None else [expr for _, expr in self.emit]

    def expressions(self) -> Iterable[object]:
        """Return the conditions, what is emitted, and what either computes over events taken before."""
        found = [*self.conditions(), *self.emitted()]
        return [*found, *(ref.argument for ref, _ in Matched.references(found) if ref.argument is not None)]

    def kept(self, columns: DType) -> set[Path]:
        """Return the columns of an event that are kept with it."""
        found = {path for expr in self.conditions() for path in _plain(expr)}
        for reference, path in Matched.references([*self.conditions(), *self.emitted()]):
            found |= _of_events(reference, path, columns)
        return found

    def drawing(self, name: str) -> Iterable[str]:
        """Return the pattern as a graph of its own: one node a step, edges as steps follow each other."""
        yield f'  subgraph {name}p["pattern of {_quoted(self.id)}"]'
        yield from _drawn(self.parts, f"{name}p")
        yield "  end"

    def reads(self, port: Port, needed: Callable[[str], set[Path]], columns: DType) -> set[Path]:
        """Return the columns that are kept of events, and what is needed of late records."""
        return needed("late") | self.kept(columns)


def _steps(parts: Iterable[Part]) -> Iterator[Part]:
    for part in parts:
        if part.group:
            yield from _steps(part.group)
        else:
            yield part


def _drawn(parts: tuple[Part, ...], name: str) -> Iterator[str]:
    before = None
    for number, part in enumerate(parts):
        own = f"{name}{number}"
        times = "" if not part.repeats else f" {{{part.least},{'' if part.most is None else part.most}}}"
        text = _quoted(f"{part.step}{times}{' ?' if part.optional else ''}{' greedy' if part.greedy else ''}")
        if part.group:
            yield f'    subgraph {own}["{text}"]'
            yield from _drawn(part.group, f"{own}x")
            yield "    end"
        else:
            yield f'    {own}(["{text}"])'
        if before is not None:
            arrow = "--x" if part.contiguity.negative else "-->"
            yield f"    {before} {arrow}|{part.contiguity.value.replace('_', ' ')}| {own}"
        if part.repeats:
            yield f"    {own} -->|{part.loop.value.replace('_', ' ')}| {own}"
        before = before if part.contiguity.negative else own


def _quoted(text: str) -> str:
    return text.replace('"', "#quot;")


def _plain(expr: Expr) -> set[Path]:
    return {e.path for e in walk(expr) if isinstance(e, Column) and not isinstance(e, Matched)}


def _of_events(reference: Reference, path: Path, columns: DType) -> set[Path]:
    if reference.argument is not None:
        return _plain(reference.argument)
    if reference.reading in {Reading.FIRST, Reading.LAST} and path:
        return {path}
    if reference.reading in {Reading.FIRST, Reading.LAST, Reading.ALL}:
        return {(name,) for name, _ in columns.fields}
    return set()


__all__ = ["MADE", "Detect", "Part"]

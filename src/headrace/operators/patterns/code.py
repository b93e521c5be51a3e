"""Generated functions of a pattern: its conditions, what they ask of events taken before, the columns of a match.

An event is a tuple: its time, its key, whether a run may begin with it, the time at which it came (in order of arrival
only), then the columns that are kept. What conditions ask of events taken before is kept up with each event taken, in a
tuple of *folds*: so a condition costs the same however long a run is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from headrace.event.dtypes import ANY, TIMESTAMP, DType, Kind
from headrace.operators.frame import Frame, Path, Value, type_at
from headrace.operators.patterns.automaton import Condition, Event
from headrace.operators.slots import python_type
from headrace.plan.model import PlannedStep
from headrace.plan.patterns import SEEN
from headrace.plan.projection import minimal
from headrace.time.instants import from_ms
from headrace.topology.detect import MADE, Detect
from headrace.topology.expr import Expr
from headrace.topology.matching import Matched, Reading, Reference
from headrace.topology.operator import Port

if TYPE_CHECKING:
    from headrace.operators.generator import Generator

TIME, KEY, BEGINS, CAME = range(4)
_ZERO: dict[Kind, object] = {Kind.FLOAT: 0.0, Kind.DECIMAL: Decimal(0)}


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the kept columns are in an event."""

    paths: tuple[Path, ...]
    types: tuple[DType, ...]
    begin: int

    @classmethod
    def of(cls, node: Detect, columns: DType) -> Layout:
        """Return the layout of a step's events."""
        paths = tuple(sorted(minimal(node.kept(columns))))
        return cls(paths, tuple(type_at(columns, path) for path in paths), CAME + 1 if node.arrival else CAME)

    @property
    def python_types(self) -> tuple[Any, ...]:
        """The Python types by which a stored event is decoded: its time and its columns."""
        return (int, *map(python_type, self.types))

    def frame(self, name: str, schema: DType) -> Frame:
        """Return the frame of an event in a local."""
        places = range(self.begin, self.begin + len(self.paths))
        columns: dict[Path, Value] = {
            path: (f"{name}[{place}]", dtype) for path, dtype, place in zip(self.paths, self.types, places, strict=True)
        }
        metas: dict[str, Value] = {"time": (f"_from_ms({name}[{TIME}])", TIMESTAMP)}
        return Frame(schema, columns, f"{name}[{TIME}]", ("0", 0), "0", metas=metas)

    def row(self, event: Event) -> dict[str, Any]:
        """Return the kept columns of an event; nested ones that are kept by themselves under their path."""
        return {".".join(path): event[place] for place, path in enumerate(self.paths, self.begin)}


@dataclass(frozen=True, slots=True)
class PatternCode:
    """The names of the generated functions of one pattern, by step or by (port, column)."""

    layout: Layout
    wheres: Mapping[str, tuple[str, bool]]
    untils: Mapping[str, tuple[str, bool]]
    folds: Mapping[int, str]
    nothing: tuple[Any, ...]
    columns: Mapping[tuple[str, str], str]

    def conditions(
        self, found: Mapping[str, tuple[str, bool]], made: Callable[[str], Callable[..., Any]]
    ) -> dict[str, Condition]:
        """Return conditions by their steps."""
        return {step: Condition(made(name), alone) for step, (name, alone) in found.items()}


class Writing:
    """Writes the functions of one pattern."""

    def __init__(self, g: Generator, step: PlannedStep, node: Detect, index: int) -> None:
        """Find out what has to be kept."""
        self._g, self._step, self._node, self._index = g, step, node, index
        self._columns = g.plan.columns[node.input]
        self._layout = Layout.of(node, self._columns)
        self._numbers = {part.step: number for number, part in enumerate(node.steps())}
        found = dict.fromkeys(ref.name for ref, _ in Matched.references(node.conditions()))
        self._folds = {name: number for number, name in enumerate(found)}
        self._references = {ref.name: ref for ref, _ in Matched.references(node.conditions())}
        g.names.update(_from_ms=from_ms, _no_decimal=Decimal(0))
        g.names[f"_row_{index}"] = self._layout.row

    def write(self) -> PatternCode:
        """Write all functions."""
        with self._g.writer.step(self._step.id):
            wheres, untils = {}, {}
            for part in self._node.steps():
                if part.where is not None:
                    wheres[part.step] = self._condition("where", part.step, part.where)
                if part.until is not None:
                    untils[part.step] = self._condition("until", part.step, part.until)
            folds = {self._numbers[step]: self._fold(step) for step in self._folded_steps()}
            return PatternCode(self._layout, wheres, untils, folds, self._nothing(), self._emitted())

    def _condition(self, what: str, step: str, expr: Expr) -> tuple[str, bool]:
        name = f"{what}_{self._index}_{self._numbers[step]}"
        code = self._g.emitter.condition(expr, self._seen())
        with self._g.writer.block(f"def {name}(e, r):"):
            self._g.writer.line(f"return {code}")
        return name, not Matched.references([expr])

    def _seen(self) -> Frame:
        """Return the event at hand, and the references as they are in the folds."""
        frame = self._layout.frame("e", self._g.plan.columns[Port(self._step.id, SEEN)])
        columns = dict(frame.columns)
        for reference, path in Matched.references(self._node.conditions()):
            place = f"r[{self._folds[reference.name]}]"
            columns[reference.name, *path] = self._known(reference, path, place, sure=False)
        return Frame(frame.schema, columns, frame.time, frame.watermark, frame.bound, metas=frame.metas)

    def _known(self, reference: Reference, path: Path, place: str, *, sure: bool) -> Value:
        """Return the value of a reference whose event, or number, is at a place."""
        if reference.reading not in {Reading.FIRST, Reading.LAST}:
            schema = self._g.plan.columns[Port(self._step.id, SEEN)]
            return place, schema.field(reference.name) or ANY
        code, dtype = (f"_row_{self._index}({place})", self._columns)
        if path:
            code, dtype = self._layout.frame(place, self._columns).column(path)
        return (code, dtype) if sure else (f"(None if {place} is None else {code})", dtype.optional())

    def _folded_steps(self) -> list[str]:
        return list(dict.fromkeys(str(ref.step) for ref in self._references.values()))

    def _nothing(self) -> tuple[Any, ...]:
        return tuple(self._zero(self._references[name]) for name in self._folds)

    def _zero(self, reference: Reference) -> object:
        match reference.reading:
            case Reading.COUNT:
                return 0
            case Reading.SUM:
                return _ZERO.get(self._argument(reference, "e")[1].kind, 0)
            case _:
                return None

    def _argument(self, reference: Reference, event: str) -> Value:
        if reference.argument is None:
            raise TypeError(reference.name)
        return self._g.value(reference.argument, self._layout.frame(event, self._columns))

    def _fold(self, step: str) -> str:
        """Write how an event that a step takes changes the folds."""
        w, name = self._g.writer, f"fold_{self._index}_{self._numbers[step]}"
        with w.block(f"def {name}(e, r):"):
            w.line(f"{''.join(f'r{n}, ' for n in self._folds.values())}= r")
            for reference in self._references.values():
                if reference.step == step:
                    self._add(reference, f"r{self._folds[reference.name]}", "e")
            w.line(f"return ({''.join(f'r{n}, ' for n in self._folds.values())})")
        return name

    def _add(self, reference: Reference, into: str, event: str) -> None:
        w = self._g.writer
        match reference.reading:
            case Reading.COUNT:
                w.line(f"{into} += 1")
            case Reading.FIRST:
                w.line(f"if {into} is None: {into} = {event}")
            case Reading.LAST:
                w.line(f"{into} = {event}")
            case Reading.SUM:
                w.line(f"a = {self._argument(reference, event)[0]}")
                w.line(f"if a is not None: {into} += a")
            case _:
                sign = "<" if reference.reading is Reading.MIN else ">"
                w.line(f"a = {self._argument(reference, event)[0]}")
                w.line(f"if a is not None and ({into} is None or a {sign} {into}): {into} = a")

    def _emitted(self) -> dict[tuple[str, str], str]:
        return {
            (port, column): self._column(port, number, expr)
            for port in MADE
            for number, (column, expr) in enumerate(self._node.emit or ())
        }

    def _column(self, port: str, number: int, expr: Expr) -> str:
        """Write a function that computes a column of a match from its events."""
        w, name = self._g.writer, f"column_{self._index}_{port}_{number}"
        key = [f"k{n}" for n in range(len(self._step.key))] if len(self._step.key) > 1 else ["k"]
        columns: dict[Path, Value] = {
            (column,): (code, dtype) for (column, dtype), code in zip(self._step.key, key, strict=False)
        }
        schema = self._g.plan.columns[Port(self._step.id, f"{SEEN} by {port}")]
        with w.block(f"def {name}(k, m):"):
            if len(key) > 1:
                w.line(f"{', '.join(key)} = k")
            for place, (reference, path) in enumerate(Matched.references([expr])):
                columns[reference.name, *path] = self._read(reference, path, f"m{place}", schema)
            frame = Frame(schema, columns, "0", ("0", 0), "0")
            w.line(f"return {self._g.value(expr, frame)[0]}")
        return name

    def _read(self, reference: Reference, path: Path, local: str, schema: DType) -> Value:
        """Write lines that bind what a reference reads of a match to a local; return the value."""
        w, found = self._g.writer, schema.field(reference.name)
        dtype = found if found is not None else TIMESTAMP
        number = "None" if reference.step is None else str(self._numbers[str(reference.step)])
        match reference.reading:
            case Reading.START | Reading.END:
                return f"_from_ms(m.{reference.reading.value}_ms)", dtype
            case Reading.ALL:
                w.line(f"{local} = [_row_{self._index}(e) for e in m.events({number})]")
                return local, dtype
            case Reading.COUNT:
                w.line(f"{local} = len(m.events({number}))")
                return local, dtype
            case Reading.FIRST | Reading.LAST:
                if reference.reading is Reading.LAST:
                    w.line(f"{local} = m.last({number})")
                else:
                    w.line(f"{local} = m.events({number})")
                    w.line(f"{local} = {local}[0] if {local} else None")
                return self._known(reference, path, local, sure=not dtype.nullable)
            case _:
                zero = self._zero(reference)
                w.line(f"{local} = {'_no_decimal' if isinstance(zero, Decimal) else zero}")
                with w.block(f"for e in m.events({number}):"):
                    self._add(reference, local, "e")
                return local, dtype


__all__ = ["BEGINS", "CAME", "KEY", "TIME", "Layout", "PatternCode", "Writing"]

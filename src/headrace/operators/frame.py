"""What generated code knows of the record at hand: where each column, the key and the time are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from headrace.event.dtypes import DType, Kind
from headrace.operators.expressions import field_code
from headrace.topology.expr import Column

Path = tuple[str, ...]
Value = tuple[str, DType]


@dataclass(frozen=True, slots=True)
class Frame:
    """A record in generated code.

    ``columns`` maps paths to cheap code; ``aliases`` maps a column's name to a path of the
    frame it was renamed from. ``watermark`` is (code, constant): the watermark to judge lateness
    by is ``code - constant``, that of the record's own input; ``bound`` is code of the lowest
    watermark of the task's other inputs. ``raw`` is the record's own bytes, as long as no step has changed it.
    ``headers`` is code of the headers of the batch, by place; None behind a step that keeps state: no record came in.
    ``trace`` is code of the trace that came with a row from another task, as :mod:`headrace.operators.traces` packs it.
    ``used`` collects the record properties that the code reads: all frames of one function share it.
    """

    schema: DType
    columns: Mapping[Path, Value]
    time: str
    watermark: tuple[str, int]
    bound: str
    key: tuple[Value, ...] = ()
    key_code: str | None = None
    raw_key: str | None = None
    raw: str | None = None
    headers: str | None = None
    trace: str | None = None
    metas: Mapping[str, Value] = field(default_factory=dict)
    origin: Frame | None = None
    aliases: Mapping[str, Path] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)

    def column(self, path: Path) -> Value:
        """Return code and type of a column; part of the expression emitter's scope."""
        if self.origin is not None and path[0] in self.aliases:
            return self.origin.column(self.aliases[path[0]] + path[1:])
        for length in range(len(path), 0, -1):
            found = self.columns.get(path[:length])
            if found is not None:
                code, dtype = found
                for name in path[length:]:
                    made = field_code(code, dtype, name)
                    code, dtype = made.text, made.dtype
                return code, dtype
        if self.origin is not None:
            return self.origin.column(path)
        raise KeyError(path)

    def meta(self, name: str) -> Value:
        """Return code and type of a record property."""
        self.used.add(name)
        return self.metas[name]

    def record_key(self) -> str:
        """Return the code of the key that the record came with, as bytes."""
        if self.raw_key is None:
            return "None"
        self.used.add("key")
        return self.raw_key

    def computed(self, schema: DType, values: Mapping[str, Value], aliases: Mapping[str, Path]) -> Frame:
        """Return the frame behind a step that computes columns."""
        columns: dict[Path, Value] = {(name,): value for name, value in values.items()}
        # a column that is computed anew hides the alias of the same name, and the other way round
        return replace(self, schema=schema, columns=columns, aliases=aliases, origin=self, raw=None)


def type_at(schema: DType, path: Path) -> DType:
    """Return the type at a path of a record; null where anything above it may be."""
    dtype, nullable = schema, False
    for name in path:
        nullable = nullable or dtype.nullable
        found = dtype.field(name) if dtype.kind is Kind.STRUCT else dtype.item
        dtype = found if found is not None else DType(Kind.ANY, nullable=True)
    return dtype.optional() if nullable else dtype


def column_path(expr: object) -> Path | None:
    """Return the path of a bare column, or None for any other expression."""
    return expr.path if isinstance(expr, Column) else None

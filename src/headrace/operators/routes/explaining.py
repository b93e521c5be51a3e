"""Why a rule matches a record or does not: the value of every part of its condition."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from headrace.event.dtypes import ANY, BOOL, FLOAT, INT, STR, DType, Kind, struct
from headrace.operators.routes.deciding import evaluator
from headrace.topology.expr import Binary, Column, Expr, Literal
from headrace.topology.trees import children
from headrace.topology.typing import chain


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a condition: how deep it lies in it, its text, and its value, or the error that it makes."""

    depth: int
    text: str
    value: object
    error: str | None = None


def explain(condition: Expr, columns: DType, record: Mapping[str, object]) -> list[Part]:
    """Return the condition and all its parts but constants, each before what it is made of.

    >>> from headrace.topology.rules import parse_rule
    >>> event = {"amount": 500}
    >>> for part in explain(parse_rule("amount > 100 or amount is null"), columns_of(event), event):
    ...     print("  " * part.depth + f"{part.text}: {part.value}")
    ((col.amount > 100) | is_null(col.amount)): True
      (col.amount > 100): True
        col.amount: 500
      is_null(col.amount): False
        col.amount: 500
    """
    values = [record.get(name) for name, _ in columns.fields]
    found = []
    for depth, part in _parts(condition):
        text = str(part)
        try:
            evaluate: Callable[..., Any] = evaluator(part, columns)
            found.append(Part(depth, text, evaluate(*values)))
        except Exception as error:  # whatever a part of a rule raises is what is asked for
            found.append(Part(depth, text, None, f"{type(error).__name__}: {error}"))
    return found


def columns_of(record: Mapping[str, object]) -> DType:
    """Return columns that fit one record: of the types that its values have in JSON."""
    return struct(**{name: _type_of(value) for name, value in record.items()})


def _type_of(value: object) -> DType:
    match value:
        case bool():
            return BOOL.optional()
        case int():
            return INT.optional()
        case float():
            return FLOAT.optional()
        case str():
            return STR.optional()
        case dict():
            return DType(Kind.STRUCT, nullable=True, fields=columns_of(value).fields)
        case _:
            return ANY


def _parts(expr: Expr, depth: int = 0) -> Iterator[tuple[int, Expr]]:
    if isinstance(expr, Literal):
        return
    yield depth, expr
    if isinstance(expr, Column):
        return
    below = chain(expr, expr.op) if isinstance(expr, Binary) and expr.op in {"&", "|"} else children(expr)
    for child in below:
        yield from _parts(child, depth + 1)

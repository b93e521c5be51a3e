"""One generated function per state of the rules: from a record's columns to the rules that match.

Only parsed expressions become code. Names, targets and tags are bound as objects, never written into the text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from headrace.errors import InternalError
from headrace.event.dtypes import DType, Kind
from headrace.operators.expressions import Emitter, field_code
from headrace.operators.frame import Value
from headrace.topology.expr import Expr
from headrace.topology.routes import RouteMode
from headrace.topology.rulechecks import RuleRefusedError, fitting

Match = tuple[str, int, str | None, list[str]]
"""What is said of a record that a rule matches: rule, version, target, tags."""

Decide = Callable[..., Any]
"""From the columns of a record to a match or None; with ``all``, to the list of matches."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A rule that may match. Sorts as rules are tried."""

    priority: int
    match: Match
    condition: Expr


@dataclass(frozen=True, slots=True)
class _Columns:
    """The columns of a record as parameters of a function."""

    schema: DType

    def column(self, path: tuple[str, ...]) -> Value:
        names = [name for name, _ in self.schema.fields]
        code, dtype = f"x{names.index(path[0])}", dict(self.schema.fields)[path[0]]
        for name in path[1:]:
            made = field_code(code, dtype, name)
            code, dtype = made.text, made.dtype
        return code, dtype

    def meta(self, name: str) -> Value:
        msg = f"a rule reads meta.{name}"
        raise InternalError(msg)


def decider(candidates: Iterable[Candidate], columns: DType, mode: RouteMode) -> Decide:
    """Return the function that matches a record against rules."""
    names: dict[str, object] = {}
    emitter, scope = Emitter(names), _Columns(columns)
    first = mode is RouteMode.FIRST
    lines = [_head(columns)]
    if not first:
        lines.append(" found = []")
    ordered = sorted(candidates, key=lambda candidate: (candidate.priority, candidate.match[0]))
    for number, candidate in enumerate(ordered):
        made = emitter.emit(candidate.condition, scope)
        names[f"rule_{number}"] = candidate.match
        exact = made.dtype.kind is Kind.BOOL and not made.dtype.nullable
        then = f"return rule_{number}" if first else f"found.append(rule_{number})"
        lines.append(f" if {made.text}{'' if exact else ' is True'}: {then}")
    lines.append(" return None" if first else " return found")
    return _made("\n".join(lines), names)


def evaluator(expr: Expr, columns: DType) -> Callable[..., Any]:
    """Return the function that computes one expression from the columns of a record."""
    names: dict[str, object] = {}
    made = Emitter(names).emit(expr, _Columns(columns))
    return _made(f"{_head(columns)}\n return {made.text}", names)


def _head(columns: DType) -> str:
    return f"def decide({', '.join(f'x{n}' for n in range(len(columns.fields)))}):"


def _made(text: str, names: dict[str, object]) -> Callable[..., Any]:
    exec(compile(text, "<headrace rules>", "exec"), names)  # noqa: S102 - our own text, never a user's
    function = names["decide"]
    if not callable(function):
        msg = "the generated name decide is no function"
        raise InternalError(msg)
    return function


@lru_cache(maxsize=10_000)
def compilable(condition: str, columns: DType) -> Expr:
    """Return a condition that fits records of these columns and that Python can compile: all tasks ask for the same.

    Raises:
        RuleRefusedError: it does not, or cannot.
    """
    try:
        expr = fitting(condition, columns)[0]
        evaluator(expr, columns)
    except RuleRefusedError:
        raise
    except (SyntaxError, RecursionError, MemoryError, ValueError) as error:
        msg = f"condition: it cannot be compiled: {type(error).__name__}: {error}."
        raise RuleRefusedError(msg) from error
    return expr

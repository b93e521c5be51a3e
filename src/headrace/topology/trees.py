"""What an expression is made of: its parts, the columns and the properties of the record that it reads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from headrace.topology.expr import Apply, Binary, Call, Case, Cast, Column, Expr, In, Meta, Unary


def children(expr: Expr) -> tuple[Expr, ...]:
    """Return the direct sub-expressions, left to right."""
    match expr:
        case Unary(_, operand) | In(operand, _) | Cast(operand, _):
            return (operand,)
        case Binary(_, left, right):
            return (left, right)
        case Call(_, args) | Apply(_, args, _):
            return args
        case Case(branches, otherwise):
            return (*(e for branch in branches for e in branch), otherwise)
        case _:
            return ()


def walk(expr: Expr) -> Iterator[Expr]:
    """Yield the expression and all it is made of. Long chains nest deeper than Python calls may."""
    waiting = [expr]
    while waiting:
        found = waiting.pop()
        yield found
        waiting.extend(children(found))


def columns(expr: Expr) -> set[tuple[str, ...]]:
    """Return the paths of all columns that the expression reads."""
    return {found.path for found in walk(expr) if isinstance(found, Column)}


def all_columns(exprs: Iterable[object]) -> set[tuple[str, ...]]:
    """Return the paths of all columns that the expressions among these objects read."""
    return {path for expr in exprs if isinstance(expr, Expr) for path in columns(expr)}


def metas(expr: Expr) -> set[str]:
    """Return the names of all record properties that the expression reads."""
    return {found.name for found in walk(expr) if isinstance(found, Meta)}

"""Names in a pattern's text: a field of the event at hand, or of events that a step has taken.

In the condition of a step its own events include, as in SQL, the event at hand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import reduce
from typing import TYPE_CHECKING

from headrace.topology.expr import Binary, Call, Case, Cast, Column, Expr, In, Literal, Unary
from headrace.topology.functions import fn
from headrace.topology.grammar import Refusal
from headrace.topology.matching import matched
from headrace.topology.trees import walk

if TYPE_CHECKING:
    from lark import Token

FUNCTIONS = frozenset({"first", "last", "sum", "count", "min", "max", "match_rowtime"})
REFUSED = {
    "avg": "AVG is not supported, because of nulls. Write SUM(A.price) / COUNT(A.*).",
    "prev": "PREV is not supported. Write LAST(A.price): the row before is the last one that was taken.",
    "next": "NEXT is not supported: the next row is not there yet. Put the condition on the next step.",
    "classifier": "CLASSIFIER is not supported. Say what you need of each step in MEASURES.",
    "match_number": "MATCH_NUMBER is not supported: matches are not numbered.",
}


@dataclass(frozen=True, slots=True, eq=False)
class Named(Expr):
    """A name with dots, as it was written."""

    path: tuple[Token, ...]

    def __str__(self) -> str:
        return ".".join(self.path)


@dataclass(frozen=True, slots=True, eq=False)
class Read(Expr):
    """A function over the events of a step, as it was written.

    ``rows``: over the rows themselves; of all steps, if ``step`` is None.
    """

    function: Token
    args: tuple[Expr, ...]
    step: Token | None = None
    rows: bool = False


@dataclass(frozen=True, slots=True)
class Scope:
    """Where an expression stands: in the condition of step ``current``, or (None) among the measures."""

    steps: tuple[str, ...]
    current: str | None

    @property
    def pattern(self) -> str:
        """The steps, as a message names them."""
        return f"PATTERN ({', '.join(self.steps)})"


def resolve(expr: Expr, scope: Scope) -> Expr:
    """Return the expression with its names resolved.

    Raises:
        Refusal: a name or a function has no meaning there.
    """

    def leaf(found: Expr) -> Expr:
        match found:
            case Named():
                return _name(found, scope)
            case Read():
                return _read(found, scope)
            case _:
                return found

    return _rebuilt(expr, leaf)


def _rebuilt(expr: Expr, leaf: Callable[[Expr], Expr]) -> Expr:
    """Return the expression with each of its leaves replaced."""

    def again(found: Expr) -> Expr:
        return _rebuilt(found, leaf)

    match expr:
        case Unary(_, operand) | In(operand, _) | Cast(operand, _):
            return replace(expr, operand=again(operand))
        case Binary(op, left, right):
            return Binary(op, again(left), again(right))
        case Call(function, args):
            return Call(function, tuple(map(again, args)))
        case Case(branches, otherwise):
            return Case(tuple((again(c), again(v)) for c, v in branches), again(otherwise))
        case _:
            return leaf(expr)


def _name(named: Named, scope: Scope) -> Expr:
    head = named.path[0]
    if head in scope.steps:
        if len(named.path) == 1:
            msg = f"expected a field of step {str(head)!r}, got the step itself. Write {head}.price, say."
            raise Refusal(msg, head)
        return _at_hand(named) if head == scope.current else _of(matched.last(str(head)), named)
    if scope.current is None:
        msg = f"expected a field of a step, got {str(named)!r}. Write LAST({scope.steps[-1]}.{named})."
        raise Refusal(msg, head)
    return Column(tuple(map(str, named.path)))


def _at_hand(named: Named) -> Expr:
    """Return the field of the event at hand."""
    return Column(tuple(map(str, named.path[1:])))


def _of(event: Column, named: Named) -> Expr:
    """Return the field of an event that was taken."""
    for name in named.path[1:]:
        event = event[str(name)]
    return event


def _read(read: Read, scope: Scope) -> Expr:
    name = read.function.lower()
    if name == "match_rowtime":
        return _rowtime(read, scope)
    if name == "count":
        return _count(read, scope)
    step, argument = _argument(read, scope)
    back = _back(read, own=step == scope.current)
    here = _fields(argument, _at_hand)
    if name in {"first", "last"}:
        event = matched.first(step) if name == "first" else matched.last(step)
        before = _fields(argument, lambda named: _of(event, named))
        if step != scope.current or back:
            return before
        return here if name == "last" else Case(((matched.count(step) == 0, here),), before)
    return _folded(name, step, here, own=step == scope.current)


def _folded(name: str, step: str, value: Expr, *, own: bool) -> Expr:
    """Return the sum, the least or the greatest value; of the ``own`` step's events with the one at hand."""
    if name == "sum":
        total = matched.sum(step, value)
        return total + value.fill_null(0) if own else total
    extreme = matched.min(step, value) if name == "min" else matched.max(step, value)
    if not own:
        return extreme
    choose = fn.least if name == "min" else fn.greatest
    return choose(extreme.fill_null(value), value.fill_null(extreme))


def _rowtime(read: Read, scope: Scope) -> Expr:
    if read.args or scope.current is not None:
        msg = "expected MATCH_ROWTIME() among the MEASURES: it is the time of the last row of a match."
        raise Refusal(msg, read.function)
    return matched.end


def _count(read: Read, scope: Scope) -> Expr:
    if not read.rows:
        msg = f"expected rows to be counted, got a field. Write {read.function}(A.*)."
        raise Refusal(msg, read.function)
    if read.step is not None and read.step not in scope.steps:
        msg = f"expected a step of {scope.pattern}, got {str(read.step)!r}. Mend the name."
        raise Refusal(msg, read.step)
    counted = scope.steps if read.step is None else (str(read.step),)
    counts: Iterable[Expr] = (matched.count(step) for step in counted)
    total = reduce(lambda a, b: a + b, counts)
    return total + 1 if scope.current in counted else total


def _back(read: Read, *, own: bool) -> int:
    """Return how many rows to go back: the second argument of FIRST and LAST; 1 in LAST of the ``own`` step."""
    name = read.function.lower()
    navigates = name in {"first", "last"}
    match read.args[1:]:
        case []:
            return 0
        case [Literal(int(back))] if navigates and not isinstance(back, bool):
            if back and not (own and name == "last" and back == 1):
                msg = (
                    "expected no number of rows to go back, except 1 in LAST of the step's own condition, "
                    f"got {back}. Only the first and the last row of a step are kept at hand."
                )
                raise Refusal(msg, read.function)
            return back
        case _:
            form = "one field, and a whole number" if navigates else "one field"
            msg = f"expected {form}, got something else. Write {read.function}(A.price)."
            raise Refusal(msg, read.function)


def _argument(read: Read, scope: Scope) -> tuple[str, Expr]:
    """Return the argument of a function, and the one step whose events it reads."""
    parts = list(walk(read.args[0])) if read.args else []
    for part in parts:
        if isinstance(part, Read):
            got = f"{part.function}(...)"
            msg = f"expected a field in {read.function}(...), got {got}. Functions over steps do not nest."
            raise Refusal(msg, part.function)
    names = [part for part in parts if isinstance(part, Named)]
    for named in names:
        if named.path[0] not in scope.steps or len(named.path) == 1:
            msg = f"expected a field of a step of {scope.pattern}, got {str(named)!r}. Mend the name."
            raise Refusal(msg, named.path[0])
    steps = {str(named.path[0]) for named in names}
    if len(steps) != 1:
        got = " and ".join(sorted(steps)) or "none"
        msg = f"expected fields of one step in {read.function}(...), got {got}. Write {read.function}(A.price)."
        raise Refusal(msg, read.function)
    return steps.pop(), read.args[0]


def _fields(argument: Expr, of: Callable[[Named], Expr]) -> Expr:
    return _rebuilt(argument, lambda leaf: of(leaf) if isinstance(leaf, Named) else leaf)


__all__ = ["FUNCTIONS", "REFUSED", "Named", "Read", "Scope", "resolve"]

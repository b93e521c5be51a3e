"""The type of an expression over a schema, and every fault in it.

    >>> from headrace import col
    >>> from headrace.event.dtypes import INT, struct
    >>> str(infer(col.amount > 100, struct(amount=INT), print))
    'bool'

A part that is at fault has type ANY from there on, so that one mistake is reported once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from difflib import get_close_matches
from inspect import iscoroutinefunction

from headrace.event.dtypes import (
    ANY,
    BOOL,
    BYTES,
    DATE,
    DECIMAL,
    DURATION,
    FLOAT,
    INT,
    NULL,
    STR,
    TIMESTAMP,
    DType,
    Kind,
)
from headrace.topology.casts import castable, to_dtype
from headrace.topology.expr import (
    Apply,
    Binary,
    Call,
    Case,
    Cast,
    Column,
    Expr,
    In,
    Literal,
    Meta,
    Scalar,
    Unary,
)
from headrace.topology.functions import FUNCTIONS, Function, Nulls
from headrace.topology.names import callable_name
from headrace.topology.promotion import COMPARISONS, NUMBERS, arithmetic, common_of, comparable
from headrace.topology.trees import children

__all__ = ["MAX_DEPTH", "META", "Report", "chain", "depth", "infer", "literal_dtype", "result_dtype", "to_dtype"]

Report = Callable[[str, str, str], None]
"""Called with what was expected, what there is, and the remedy."""

META = {"time": TIMESTAMP, "key": STR.optional(), "topic": STR, "partition": INT, "offset": INT}

MAX_DEPTH = 100
"""Levels of nesting, chains of ``&`` or ``|`` counted once: Python's compiler takes 200 open parentheses,
and a null guard may take two a level."""

_BOOLEAN = ("&", "|")


def infer(expr: Expr, schema: DType, report: Report) -> DType:
    """Return the type of ``expr`` over records of the STRUCT ``schema``; report every fault in it."""
    if depth(expr) > MAX_DEPTH:
        report(
            f"an expression of at most {MAX_DEPTH} levels",
            "one that is nested deeper",
            "Split it: compute parts with map() in earlier steps, or use is_in() for a long chain of tests.",
        )
        return ANY
    return _infer(expr, schema, report)


def _infer(expr: Expr, schema: DType, report: Report) -> DType:
    match expr:
        case Column(path):
            return _column(path, schema, report)
        case Meta(name):
            return META[name] if name in META else _unknown("a record property", name, tuple(META), report)
        case Literal(value):
            return literal_dtype(value, report)
        case Binary("&" | "|" as op):
            links = chain(expr, op)
            return _logic(links, op, tuple(_infer(link, schema, report) for link in links), report)
        case _:
            return result_dtype(expr, tuple(_infer(child, schema, report) for child in children(expr)), report)


def result_dtype(expr: Expr, args: tuple[DType, ...], report: Report) -> DType:
    """Return the type of an operation from the types of its children; report the faults of this node only."""
    match expr:
        case Unary(op, _):
            return _unary(expr, op, args[0], report)
        case Binary("&" | "|" as op, left, right):
            return _logic((left, right), op, args, report)
        case Binary(op, left, right):
            return _binary(expr, (op, left, right), args, report)
        case Call(name, arguments):
            return _call(name, arguments, args, report)
        case In(_, values):
            return _membership(expr, values, args[0], report)
        case Cast(_, target):
            return _cast(target, args[0], report)
        case Case():
            return _case(args, report)
        case Apply():
            return _applied(expr, report)
        case _:
            return ANY


def literal_dtype(value: Scalar, report: Report) -> DType:
    """Return the type of a constant; a time without an offset is a fault."""
    if isinstance(value, datetime) and value.tzinfo is None:
        report("a time with an offset", repr(value), "Give the constant a time zone: datetime(..., tzinfo=UTC).")
        return ANY
    # bool before int, datetime before date: the former are subclasses of the latter.
    kinds: tuple[tuple[type, DType], ...] = (
        (bool, BOOL),
        (int, INT),
        (float, FLOAT),
        (str, STR),
        (bytes, BYTES),
        (Decimal, DECIMAL),
        (datetime, TIMESTAMP),
        (date, DATE),
        (timedelta, DURATION),
    )
    return next((dtype for python, dtype in kinds if isinstance(value, python)), NULL)


def depth(expr: Expr) -> int:
    """Return the levels of nesting; a chain of one of ``&`` or ``|`` is one level.

    Works without recursion: the tree may be deeper than Python's stack.
    """
    deepest, stack = 0, [(expr, 1)]
    while stack:
        node, level = stack.pop()
        deepest = max(deepest, level)
        below = chain(node, node.op) if isinstance(node, Binary) and node.op in _BOOLEAN else children(node)
        stack += ((child, level + 1) for child in below)
    return deepest


def chain(expr: Expr, op: str) -> tuple[Expr, ...]:
    """Return the operands of a chain of one boolean operator, in order."""
    found: list[Expr] = []
    stack = [expr]
    while stack:
        node = stack.pop()
        if isinstance(node, Binary) and node.op == op:
            stack += (node.right, node.left)
        else:
            found.append(node)
    return tuple(found)


def _column(path: tuple[str, ...], schema: DType, report: Report) -> DType:
    dtype, nullable = schema, False
    for depth, name in enumerate(path):
        nullable = nullable or dtype.nullable
        found: DType | None = None
        match dtype.kind:
            case Kind.ANY:
                return ANY
            case Kind.STRUCT:
                found = dtype.field(name)
                if found is None:
                    where = f" of {'.'.join(path[:depth])}" if depth else ""
                    return _unknown(f"a field{where}", name, tuple(n for n, _ in dtype.fields), report)
            case Kind.MAP:
                found = (dtype.item or ANY).optional()
            case _:
                parent = ".".join(path[:depth])
                report("a field with fields of its own", f"{parent}, which is {dtype}", f"Use col.{parent} itself.")
                return ANY
        dtype = found
    return dtype.optional() if nullable else dtype


def _unknown(what: str, name: str, known: tuple[str, ...], report: Report) -> DType:
    close = get_close_matches(name, known, n=3, cutoff=0.6)
    remedy = f"Did you mean {' or '.join(map(repr, close))}?" if close else f"There are: {', '.join(known) or 'none'}."
    report(what, repr(name), remedy)
    return ANY


def _unary(expr: Expr, op: str, operand: DType, report: Report) -> DType:
    if operand.kind is Kind.ANY:
        return ANY
    expected, kinds = ("bool", {Kind.BOOL}) if op == "~" else ("a number or a duration", {*NUMBERS, Kind.DURATION})
    if operand.kind in kinds:
        return replace(operand, choices=())
    report(f"{expected} for {op!r}", f"{operand} in {expr}", "Use a comparison." if op == "~" else "Use a number.")
    return ANY


def _logic(links: tuple[Expr, ...], op: str, args: tuple[DType, ...], report: Report) -> DType:
    for link, dtype in zip(links, args, strict=True):
        if dtype.kind not in (Kind.BOOL, Kind.ANY):
            remedy = "Compare it with something; mind that & and | bind tighter than comparisons: use parentheses."
            report(f"bool on both sides of {op!r}", f"{dtype} ({link})", remedy)
    return DType(Kind.BOOL, nullable=any(dtype.nullable for dtype in args))


def _binary(expr: Expr, parts: tuple[str, Expr, Expr], args: tuple[DType, ...], report: Report) -> DType:
    (op, left, right), (one, two) = parts, args
    boolean = DType(Kind.BOOL, one.nullable or two.nullable)
    found = arithmetic(op, one, two)
    if op in COMPARISONS:
        found = boolean if comparable(op, one, two) else None
        for dtype, constant in ((one, right), (two, left)):
            if found and isinstance(constant, Literal):
                _choice(dtype, constant.value, report)
    if found is None:
        report(f"operands that {op!r} takes", f"{one} {op} {two} in {expr}", _remedy(op, one, two))
        return ANY if op not in COMPARISONS else BOOL.optional()
    return found


def _remedy(op: str, left: DType, right: DType) -> str:
    kinds = {left.kind, right.kind}
    if Kind.NULL in kinds:
        return "The result would always be null: use is_null() or is_not_null()."
    if kinds == {Kind.FLOAT, Kind.DECIMAL}:
        return "Decimal and float do not mix: convert one side with .cast(Decimal) or .cast(float)."
    if Kind.STR in kinds and kinds & NUMBERS:
        return "Text and numbers do not mix: convert one side with .cast(...)."
    if kinds == {Kind.TIMESTAMP, Kind.DATE}:
        return "Take the date of the time with fn.date(...), or .cast(datetime) the date."
    if kinds == {Kind.DATE, Kind.DURATION}:
        return "A date has no time of day: .cast(datetime) it first."
    if kinds & {Kind.TIMESTAMP, Kind.DATE, Kind.DURATION} and kinds & {Kind.STR, *NUMBERS}:
        return "Use a constant of the same type (datetime with tzinfo, date, timedelta), or convert with .cast(...)."
    if op in ("//", "%") and Kind.DECIMAL in kinds:
        return "These take int and float only: convert with .cast(...)."
    if op in ("<", "<=", ">", ">=") and left.kind is right.kind:
        return "Values of this type have no order."
    return "Convert one side with .cast(...)."


def _choice(dtype: DType, value: Scalar, report: Report) -> None:
    if dtype.choices and value is not None and value not in dtype.choices:
        close = get_close_matches(str(value), [str(c) for c in dtype.choices], n=3, cutoff=0.6)
        hint = f"Did you mean {' or '.join(map(repr, close))}?" if close else "The test would never hold."
        report(f"one of {', '.join(map(repr, dtype.choices))}", repr(value), hint)


def _call(name: str, arguments: tuple[Expr, ...], args: tuple[DType, ...], report: Report) -> DType:
    function = FUNCTIONS.get(name)
    if function is None:
        return _unknown("a function", name, tuple(FUNCTIONS), report)
    if len(args) < function.least or function.param(len(args) - 1) is None:
        report(str(function), f"{len(args)} arguments", "Give it the arguments that it takes.")
        return ANY
    sound = [_argument(function, n, arguments[n], dtype, report) for n, dtype in enumerate(args)]
    if not all(sound):
        return ANY
    found = function.result(args)
    if found is None:
        got = ", ".join(map(str, args))
        report(f"arguments of {name} that fit each other", f"({got})", "Convert one of them with .cast(...).")
        return ANY
    if function.nulls is Nulls.PROPAGATE:
        return replace(found, nullable=found.nullable or any(arg.nullable for arg in args))
    return replace(found, nullable=all(arg.nullable for arg in args)) if function.nulls is Nulls.FIRST else found


def _argument(function: Function, index: int, argument: Expr, dtype: DType, report: Report) -> bool:
    param = function.param(index)
    if param is None:
        return False
    if param.prepare is not None and not isinstance(argument, Literal):
        report(f"a constant for {param.name} of {function}", str(argument), "Write the value itself.")
        return False
    null_is_fine = function.nulls is not Nulls.PROPAGATE
    if not (dtype.kind in param.kinds or dtype.kind is Kind.ANY) or (dtype.kind is Kind.NULL and not null_is_fine):
        kinds = " or ".join(sorted(kind.value for kind in param.kinds))
        report(f"{kinds} for {param.name} of {function}", f"{dtype} ({argument})", "Convert it with .cast(...).")
        return False
    if param.prepare is not None and isinstance(argument, Literal):
        try:
            param.prepare(argument.value)
        except ValueError as error:
            report(f"a valid {param.name} for {function}", f"{argument.value!r}: {error}", "Mend the constant.")
            return False
    return True


def _membership(expr: Expr, values: tuple[Scalar, ...], operand: DType, report: Report) -> DType:
    for value in values:
        dtype = literal_dtype(value, report)
        if dtype.kind is Kind.ANY:
            continue
        if not comparable("==", operand, dtype):
            report(f"values of type {operand}", f"{value!r} in {expr}", _remedy("==", operand, dtype))
        else:
            _choice(operand, value, report)
    return DType(Kind.BOOL, operand.nullable)


def _cast(target: object, operand: DType, report: Report) -> DType:
    dtype = _declared(target, "the type of cast", report)
    if not castable(operand, dtype):
        report(f"a type that converts to {dtype}", str(operand), "Convert in two steps, or use apply().")
        return ANY
    return dtype.optional() if operand.nullable else dtype


def _applied(expr: Apply, report: Report) -> DType:
    function: object = expr.function
    if not callable(function):
        report("a function for apply()", repr(function), "Give the function itself, and its arguments behind it.")
    elif iscoroutinefunction(function):
        remedy = "Call it with handle(); what apply() calls must return its result at once."
        report("a plain function for apply()", f"{callable_name(function)}, which is async", remedy)
    return _declared(expr.returns, f"returns of {getattr(function, '__name__', function)}", report)


def _declared(target: object, what: str, report: Report) -> DType:
    try:
        return to_dtype(target)
    except TypeError as error:
        report(f"a value type for {what}", repr(target), f"{str(error)[0].upper()}{str(error)[1:]}.")
        return ANY


def _case(args: tuple[DType, ...], report: Report) -> DType:
    # The children of a Case are (condition, value) per branch, then the value of otherwise.
    for condition in args[:-1:2]:
        if condition.kind not in (Kind.BOOL, Kind.ANY):
            report("bool as the condition of when()", str(condition), "Use a comparison.")
    values = (*args[1::2], args[-1])
    found = common_of(values)
    if found is None:
        got = ", ".join(dict.fromkeys(map(str, values)))
        report("values of one type in when().then().otherwise()", got, "Convert them with .cast(...).")
        return ANY
    return found

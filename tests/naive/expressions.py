"""What an expression means: a walk over the tree, value by value, with the nulls of SQL.

Independent of code generation: it has its own table of functions and casts, knows no types
and evaluates every operand (only ``& |``, ``coalesce`` and conditionals stop early).
"""

from __future__ import annotations

# ruff: noqa: PLR0911 - one return per case is the table that a reader wants
import math
import operator
import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from enum import Enum
from typing import Any

from headrace.event.dtypes import DType, Kind
from headrace.topology.expr import Apply, Binary, Call, Case, Cast, Column, Expr, In, Literal, Meta, Unary

UNIX = datetime(1970, 1, 1, tzinfo=UTC)

OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "//": operator.floordiv,
    "%": operator.mod,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def seconds(text: str | timedelta) -> float:
    if isinstance(text, timedelta):
        return text.total_seconds()
    units = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
    return sum(float(n) * units[u] for n, u in re.findall(r"([\d.]+)(ms|[smhdw])", text))


def truncated(time: datetime, step: str | timedelta) -> datetime:
    width = timedelta(seconds=seconds(step))
    return time - (time - UNIX) % width


def part_of(text: str, start: int, length: int | None = None) -> str:
    begin = max(len(text) + start, 0) if start < 0 else start
    if length is None:
        return text[begin:]
    if length < 0:
        raise ValueError(length)
    return "".join(text[i] for i in range(begin, min(begin + length, len(text))))


def item_at(items: list[Any], index: int) -> Any:
    try:
        return items[index]
    except IndexError:
        return None


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "lower": str.lower,
    "upper": str.upper,
    "trim": str.strip,
    "length": len,
    "contains": lambda text, part: text.find(part) >= 0,
    "starts_with": lambda text, part: text[: len(part)] == part,
    "ends_with": lambda text, part: part == "" or text[-len(part) :] == part,
    "replace": str.replace,
    "split": str.split,
    "substring": part_of,
    "concat": lambda *parts: "".join(parts),
    "matches": lambda text, pattern: bool(re.search(pattern, text)),
    "abs": lambda x: -x if x < type(x)(0) else x if x else abs(x),
    "round": lambda x, digits=0: type(x)(round(x, digits)),
    "floor": math.floor,
    "ceil": lambda x: -math.floor(-x),
    "sqrt": math.sqrt,
    "power": math.pow,
    "log": math.log,
    "greatest": lambda *values: sorted(values)[-1],
    "least": lambda *values: sorted(values)[0],
    "year": lambda t: t.year,
    "month": lambda t: t.month,
    "day": lambda t: t.day,
    "hour": lambda t: t.hour,
    "minute": lambda t: t.minute,
    "second": lambda t: t.second,
    "weekday": lambda t: t.weekday() + 1,
    "date": lambda t: date(t.year, t.month, t.day),
    "truncate": truncated,
    "epoch_ms": lambda t: math.floor((t - UNIX) / timedelta(microseconds=1)) // 1000,
    "from_epoch_ms": lambda ms: UNIX + timedelta(days=ms // 86_400_000, milliseconds=ms % 86_400_000),
    "size": len,
    "element": item_at,
    "get": lambda values, key: values.get(key),
    "contains_element": lambda items, value: any(x == value for x in items),
}


def evaluate(expr: Expr, record: Mapping[str, Any], meta: Mapping[str, Any]) -> Any:
    """Return the value of an expression over one record; None is null."""

    def value(part: Expr) -> Any:
        return evaluate(part, record, meta)

    match expr:
        case Column(path):
            return follow(record, path)
        case Meta(name):
            return meta[name]
        case Literal(constant):
            return constant
        case Unary(op, operand):
            x = value(operand)
            return None if x is None else (not x) if op == "~" else -x
        case Binary("&", left, right):
            return both(value, left, right)
        case Binary("|", left, right):
            return either(value, left, right)
        case Binary(op, left, right):
            one, two = value(left), value(right)
            return None if one is None or two is None else OPERATORS[op](one, two)
        case In(operand, values):
            x = value(operand)
            return None if x is None else any(x == option for option in values)
        case Cast(operand, dtype):
            x = value(operand)
            return None if x is None else convert(x, dtype)
        case Case(branches, otherwise):
            return pick(value, branches, otherwise)
        case Apply(function, args, _):
            return function(*[value(arg) for arg in args])
        case Call(name, args):
            return call(value, name, args)
        case _:
            raise AssertionError(expr)


def pick(value: Callable[[Expr], Any], branches: tuple[tuple[Expr, Expr], ...], otherwise: Expr) -> Any:
    for condition, result in branches:
        if value(condition) is True:
            return value(result)
    return value(otherwise)


def both(value: Callable[[Expr], Any], left: Expr, right: Expr) -> Any:
    one = value(left)
    if one is False:
        return False
    two = value(right)
    if two is False:
        return False
    return None if one is None or two is None else True


def either(value: Callable[[Expr], Any], left: Expr, right: Expr) -> Any:
    one = value(left)
    if one is True:
        return True
    two = value(right)
    if two is True:
        return True
    return None if one is None or two is None else False


def call(value: Callable[[Expr], Any], name: str, args: tuple[Expr, ...]) -> Any:
    match name:
        case "is_null":
            return value(args[0]) is None
        case "coalesce" | "if_null":
            return next((x for x in map(value, args) if x is not None), None)
        case "null_if":
            one, two = value(args[0]), value(args[1])
            return None if one == two else one
        case _:
            values = [value(arg) for arg in args]
            return None if any(x is None for x in values) else FUNCTIONS[name](*values)


def follow(record: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        if record is None:
            return None
        record = record.get(name) if isinstance(record, Mapping) else getattr(record, name)
    return record.value if isinstance(record, Enum) else record


def convert(x: Any, target: DType | type) -> Any:
    names = {
        int: Kind.INT,
        float: Kind.FLOAT,
        str: Kind.STR,
        bool: Kind.BOOL,
        Decimal: Kind.DECIMAL,
        datetime: Kind.TIMESTAMP,
        date: Kind.DATE,
        timedelta: Kind.DURATION,
        bytes: Kind.BYTES,
    }
    kind = target.kind if isinstance(target, DType) else names[target]
    match kind, x:
        case (Kind.INT, bool()):
            return 1 if x else 0
        case (Kind.INT, datetime()):
            return FUNCTIONS["epoch_ms"](x)
        case (Kind.INT, timedelta()):
            return math.floor(x / timedelta(microseconds=1)) // 1000
        case (Kind.INT, float() | Decimal()):
            return math.trunc(x) if math.isfinite(x) else bad(x)
        case (Kind.INT, str()):
            return int(x) if re.fullmatch(r"\s*[+-]?\d+\s*", x) else bad(x)
        case (Kind.FLOAT, str()):
            return bad(x) if "_" in x else float(x)
        case (Kind.FLOAT, int() | Decimal()):
            return float(x)
        case (Kind.DECIMAL, float()):
            return Decimal(str(x))
        case (Kind.DECIMAL, str()):
            try:
                return bad(x) if "_" in x else Decimal(x)
            except InvalidOperation:
                return bad(x)
        case (Kind.DECIMAL, int()):
            return Decimal(x)
        case (Kind.BOOL, str()):
            return {"true": True, "false": False}[x.strip().lower()]
        case (Kind.BOOL, int()):
            return x != 0
        case _:
            return convert_rest(kind, x)


def convert_rest(kind: Kind, x: Any) -> Any:
    match kind, x:
        case (Kind.STR, bool()):
            return str(x).lower()
        case (Kind.STR, datetime()):
            return x.isoformat()[: -len("+00:00")] + "Z"
        case (Kind.STR, bytes()):
            return x.decode("utf-8")
        case (Kind.STR, date() | int() | float() | Decimal()):
            return str(x)
        case (Kind.TIMESTAMP, str()):
            found = datetime.fromisoformat(x)
            return bad(x) if found.tzinfo is None else found.astimezone(UTC)
        case (Kind.TIMESTAMP, int()):
            return FUNCTIONS["from_epoch_ms"](x)
        case (Kind.TIMESTAMP, date()) if not isinstance(x, datetime):
            return datetime(x.year, x.month, x.day, tzinfo=UTC)
        case (Kind.DATE, datetime()):
            return date(x.year, x.month, x.day)
        case (Kind.DATE, str()):
            return date.fromisoformat(x)
        case (Kind.DURATION, str()):
            return timedelta(seconds=seconds(x))
        case (Kind.DURATION, int()):
            return timedelta(milliseconds=x)
        case (Kind.BYTES, str()):
            return x.encode("utf-8")
        case _:
            return x


def bad(x: object) -> Any:
    raise ValueError(x)

"""Code generation: an expression tree becomes the text of one Python expression.

Nothing a user wrote is pasted into the text: names of columns come from the scope, constants
are written by ``repr`` or bound as globals, and functions are templates of the language.

Nulls cost only where they can occur: an operand that cannot be null gives plain code
(``(amount > 100)``), one that can is guarded, bound to a local by ``:=`` where it is not a
local already. Evaluation is left to right; ``&``, ``|``, ``coalesce`` and conditionals stop
as soon as the result is known.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import NoReturn, Protocol

from headrace.errors import InternalError
from headrace.event.dtypes import ANY, BOOL, DType, Kind
from headrace.operators.calls import returned
from headrace.topology.casts import CASTS, cast_any, to_dtype
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
from headrace.topology.trees import children
from headrace.topology.typing import chain, literal_dtype, result_dtype

INLINE_INT = 1 << 63
"""Larger integers become globals: Python refuses to parse very long ones."""

# Constants are matched whole, so that a parenthesis inside of one does not count.
_BRACKET = re.compile(r"[()]|'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"")


@dataclass(frozen=True, slots=True)
class Code:
    """A Python expression, atomic (a name, a call or in parentheses), and the type of its value."""

    text: str
    dtype: DType


@dataclass(frozen=True, slots=True)
class _Guarded:
    """Code to use where none of the tests for null holds; it may still be ``null_by_itself``."""

    tests: tuple[str, ...]
    text: str
    dtype: DType
    null_by_itself: bool = False

    def code(self) -> Code:
        """Return the code that is null where a test holds."""
        text = f"(None if {' or '.join(self.tests)} else {self.text})" if self.tests else self.text
        return Code(text, self.dtype)


class Scope(Protocol):
    """Where the columns of the record are.

    The code must be cheap and free of side effects: a local name, or access to an attribute or item.
    """

    def column(self, path: tuple[str, ...]) -> tuple[str, DType]:
        """Return the code and the type of a column."""
        ...

    def meta(self, name: str) -> tuple[str, DType]:
        """Return the code and the type of a record property."""
        ...


def field_code(parent: str, dtype: DType, name: str) -> Code:
    """Return the code of field ``name`` of a value that is a dict at run time; null if the parent is.

    ``dtype`` is the parent's: a STRUCT, a MAP (null if the key is missing) or ANY (null if it is no dict).
    """
    match dtype.kind:
        case Kind.STRUCT:
            found = dtype.field(name) or _refuse(f"no field {name!r} in {dtype}")
        case Kind.MAP:
            found = (dtype.item or ANY).optional()
        case Kind.ANY:
            # One fixed temporary is enough: it is read right after it is set.
            return Code(f"(_s.get({name!r}) if isinstance((_s := {bare(parent)}), dict) else None)", ANY)
        case _:
            _refuse(f"{dtype} has no fields")
    # A decoded dict may leave out fields that may be null.
    access = f".get({name!r})" if found.nullable else f"[{name!r}]"
    if not dtype.nullable:
        return Code(f"{parent}{access}", found)
    return Code(f"(None if (_s := {bare(parent)}) is None else _s{access})", found.optional())


class Emitter:
    """Write expressions of one generated function.

    ``names`` are the globals of that function; what the code needs is added under fresh
    names. One emitter a function, so that its temporaries differ.
    """

    def __init__(self, names: dict[str, object]) -> None:
        """Write into ``names``."""
        self._names = names
        self._bound: dict[int, str] = {}
        self._temps = 0

    def emit(self, expr: Expr, scope: Scope) -> Code:
        """Return the code of the expression's value."""
        match expr:
            case Column(path):
                return Code(*scope.column(path))
            case Meta(name):
                return Code(*scope.meta(name))
            case Literal(value):
                return Code(self._constant(value), literal_dtype(value, _fault))
            case Binary("&" | "|" as op):
                return self._boolean(op, [self.emit(e, scope) for e in chain(expr, op)])
            case Case():
                return self._case(expr, scope)
            case Apply(function, args, returns):
                texts = ", ".join(bare(self.emit(arg, scope).text) for arg in args)
                dtype = to_dtype(returns)
                return Code(f"{self._bind(returned(function, dtype), '_f')}({texts})", dtype)
            case Call(name, _) if FUNCTIONS[name].nulls is not Nulls.PROPAGATE:
                return self._own_nulls(expr, FUNCTIONS[name], scope)
            case _:
                return self._strict(expr, scope).code()

    def condition(self, expr: Expr, scope: Scope) -> str:
        """Return code that is truthy exactly where the expression is true: null counts as false."""
        match expr:
            case Binary("&" | "|" as op):
                word = " and " if op == "&" else " or "
                return f"({word.join(self.condition(e, scope) for e in chain(expr, op))})"
            case _:
                return self.emit(expr, scope).text

    def _strict(self, expr: Expr, scope: Scope) -> _Guarded:
        """Return the code of an operation that is null if any operand is.

        The tests of all operands are gathered in front, so that a tree of such operations is
        guarded once. An operand is therefore not evaluated where another one is null.
        """
        operands = [self._operand(child, scope) for child in children(expr)]
        tests = tuple(dict.fromkeys(test for operand in operands for test in operand.tests))
        dtypes = tuple(operand.dtype for operand in operands)
        dtype = result_dtype(expr, dtypes, _fault)
        null_by_itself = result_dtype(expr, tuple(d.required() for d in dtypes), _fault).nullable
        return _Guarded(tests, self._operation(expr, operands), dtype, null_by_itself)

    def _operand(self, expr: Expr, scope: Scope) -> _Guarded:
        """Return the code of a value that is not null once the tests are passed."""
        value = self._strict(expr, scope) if _is_strict(expr) else None
        if value is not None and not value.null_by_itself:
            return value
        code = self.emit(expr, scope) if value is None else value.code()
        if not code.dtype.nullable:
            return _Guarded((), code.text, code.dtype)
        test, name = self._test(code)
        return _Guarded((f"{test} is None",), name, code.dtype)

    def _operation(self, expr: Expr, operands: list[_Guarded]) -> str:
        texts = [operand.text for operand in operands]
        match expr:
            case Unary(op, _):
                return f"({'not ' if op == '~' else op}{texts[0]})"
            case Binary(op, _, _):
                return f"({texts[0]} {op} {texts[1]})"
            case In(_, values):
                return f"({texts[0]} in {self._options(values, operands[0].dtype)})"
            case Cast(_, target):
                return self._cast(texts[0], operands[0].dtype, to_dtype(target))
            case Call(name, arguments):
                return self._call(FUNCTIONS[name], arguments, operands)
            case _:
                msg = f"no code for {type(expr).__name__}"
                raise InternalError(msg)

    def _case(self, expr: Case, scope: Scope) -> Code:
        tests = [self.condition(condition, scope) for condition, _ in expr.branches]
        values = [self.emit(value, scope) for value in (*(v for _, v in expr.branches), expr.otherwise)]
        dtypes = [value.dtype for value in values]
        dtype = result_dtype(expr, (*(d for value in dtypes[:-1] for d in (BOOL, value)), dtypes[-1]), _fault)
        texts = [self._as(value, dtype).text for value in values]
        picks = "".join(f"{text} if {test} else " for text, test in zip(texts[:-1], tests, strict=True))
        return Code(f"({picks}{texts[-1]})", dtype)

    def _call(self, function: Function, arguments: tuple[Expr, ...], operands: list[_Guarded]) -> str:
        """Write a function whose arguments are not null by now."""
        codes = [Code(operand.text, operand.dtype.required()) for operand in operands]
        if function.alike:
            dtype = function.result(tuple(code.dtype for code in codes)) or ANY
            codes = [self._as(code, dtype) for code in codes]
        texts = [self._prepared(function, n, arguments[n]) or code.text for n, code in enumerate(codes)]
        return self._fill(function, texts)

    def _own_nulls(self, expr: Call, function: Function, scope: Scope) -> Code:
        args = [self.emit(arg, scope) for arg in expr.args]
        dtype = result_dtype(expr, tuple(arg.dtype for arg in args), _fault)
        if function.nulls is Nulls.FIRST:
            return Code(self._first([self._as(arg, dtype) for arg in args]), dtype)
        texts = [self._named(e, arg) for e, arg in zip(expr.args, args, strict=True)]
        return Code(self._fill(function, texts), dtype)

    def _named(self, expr: Expr, arg: Code) -> str:
        """Return the code of a value, of what may be a constant under a name: Python warns of ``5 is None``."""
        if isinstance(expr, Literal):
            return self._bind(expr.value, "_c")
        if arg.dtype.nullable or isinstance(expr, Column):
            return arg.text
        return f"({self._temp()} := {bare(arg.text)})"

    def _fill(self, function: Function, texts: list[str]) -> str:
        names = {name: self._bind(helper, f"_{name}_") for name, helper in function.helpers.items()}
        if "{t}" in function.code:
            names["t"] = self._temp()
        return function.code.format(*texts, args=", ".join(map(bare, texts)), **names)

    def _prepared(self, function: Function, index: int, argument: Expr) -> str:
        """Return the constant that a parameter's check made of a literal argument, or nothing."""
        param = function.param(index)
        if param is None or param.prepare is None or not isinstance(argument, Literal):
            return ""
        value = param.prepare(argument.value)
        return repr(value) if isinstance(value, int) else self._bind(value, "_c")

    def _first(self, args: list[Code]) -> str:
        text = ""
        for arg in args[:-1]:
            if not arg.dtype.nullable:
                return f"({text}{arg.text})" if text else arg.text
            test, name = self._test(arg)
            text += f"{name} if {test} is not None else "
        return f"({text}{args[-1].text})"

    def _boolean(self, op: str, args: list[Code]) -> Code:
        """Write three-valued logic: false decides ``&``, true decides ``|``, else null if any operand is."""
        nullable = any(arg.dtype.nullable for arg in args)
        dtype = DType(Kind.BOOL, nullable)
        if not any(arg.dtype.nullable for arg in args[:-1]):
            # Python's operators give the last operand as it is, which may be null.
            word = " and " if op == "&" else " or "
            return Code(f"({word.join(arg.text for arg in args)})", dtype)
        decides, negate = ("False", "not ") if op == "&" else ("True", "")
        stops, nulls = [], []
        for arg in args:
            if arg.dtype.nullable:
                test, name = self._test(arg)
                stops.append(f"{test} is {decides}")
                nulls.append(f"{name} is None")
            else:
                stops.append(f"{negate}{arg.text}")
        other = "True" if op == "&" else "False"
        return Code(f"({decides} if {' or '.join(stops)} else None if {' or '.join(nulls)} else {other})", dtype)

    def _options(self, values: tuple[Scalar, ...], dtype: DType) -> str:
        if dtype.kind is Kind.ANY or not values:
            # The value may be a list, which has no hash.
            return self._bind(values, "_c")
        if all(_inline(value) for value in values):
            return "{" + ", ".join(map(repr, values)) + "}"
        return self._bind(frozenset(values), "_c")

    def _cast(self, text: str, source: DType, target: DType) -> str:
        if source.kind is Kind.ANY and target.kind is not Kind.ANY:
            return f"{self._bind(cast_any, '_cast_any_')}({bare(text)}, {target.kind.value!r})"
        convert = CASTS.get((source.kind, target.kind))
        return text if convert is None else f"{self._bind(convert, f'_{convert.__name__}_')}({bare(text)})"

    def _as(self, arg: Code, dtype: DType) -> Code:
        """Widen a number to the type of the result that it becomes."""
        if arg.dtype.kind is not Kind.INT or dtype.kind not in (Kind.FLOAT, Kind.DECIMAL):
            return arg
        if arg.text.isdecimal():
            value = int(arg.text)
            return Code(self._constant(float(value) if dtype.kind is Kind.FLOAT else Decimal(value)), dtype.required())
        tests, text = [], arg.text
        if arg.dtype.nullable:
            test, text = self._test(arg)
            tests.append(f"{test} is None")
        widened = DType(dtype.kind, arg.dtype.nullable)
        return _Guarded(tuple(tests), self._cast(text, arg.dtype, widened), widened).code()

    def _test(self, arg: Code) -> tuple[str, str]:
        """Return the code to test a value, and the name that holds it from then on."""
        if arg.text.isidentifier():
            return arg.text, arg.text
        name = self._temp()
        return f"({name} := {bare(arg.text)})", name

    def _temp(self) -> str:
        self._temps += 1
        return f"_t{self._temps - 1}"

    def _constant(self, value: Scalar) -> str:
        if isinstance(value, datetime) and value.tzinfo is not None:
            value = value.astimezone(UTC)
        if not _inline(value):
            return self._bind(value, "_c")
        return f"({value!r})" if isinstance(value, int | float) and value < 0 else repr(value)

    def _bind(self, value: object, prefix: str) -> str:
        """Return the global name of an object; the same object keeps its name."""
        known = self._bound.get(id(value))
        if known is not None:
            return known
        number = 0
        while (name := f"{prefix}{number}") in self._names:
            number += 1
        self._names[name] = value
        self._bound[id(value)] = name
        return name


def bare(text: str) -> str:
    """Return the text without the parentheses around all of it.

    Python reads at most 200 nested parentheses, so code is not wrapped twice.
    """
    if not (text.startswith("(") and text.endswith(")")):
        return text
    depth = 0
    for bracket in _BRACKET.finditer(text):
        depth += {"(": 1, ")": -1}.get(bracket.group(), 0)
        if depth == 0 and bracket.end() < len(text):
            return text
    return text[1:-1]


def _is_strict(expr: Expr) -> bool:
    match expr:
        case Binary(op, _, _):
            return op not in ("&", "|")
        case Call(name, _):
            return FUNCTIONS[name].nulls is Nulls.PROPAGATE
        case _:
            return isinstance(expr, Unary | In | Cast)


def _inline(value: Scalar) -> bool:
    match value:
        case bool() | str() | bytes() | None:
            return True
        case int():
            return -INLINE_INT <= value < INLINE_INT
        case float():
            return math.isfinite(value)
        case _:
            return False


def _fault(expected: str, got: str, remedy: str) -> None:
    msg = f"an expression reached code generation unchecked: expected {expected}, got {got}. {remedy}"
    raise InternalError(msg)


def _refuse(message: str) -> NoReturn:
    raise InternalError(message)

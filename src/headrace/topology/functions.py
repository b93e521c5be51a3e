"""The functions of the language, in expressions (``fn.lower(col.name)``) and in rule strings (``lower(name)``).

To add a function, add a method to :class:`Functions`: the decorator registers its types
and its code, the signature and the docstring are what users see. Nothing else has to change.

Unless a docstring says otherwise, the result is null if any argument is.

    >>> from headrace import col, fn
    >>> str(fn.lower(col.name) == "ada")
    "(lower(col.name) == 'ada')"
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum
from typing import TypeVar

from headrace.event.dtypes import ANY, BOOL, DATE, FLOAT, INT, STR, TIMESTAMP, DType, Kind
from headrace.topology import scalars
from headrace.topology.expr import Call, lift
from headrace.topology.promotion import NUMBERS, ORDERED, common, common_of


class Nulls(Enum):
    """What a function does with nulls."""

    PROPAGATE = "propagate"  # null if any argument is null; the code sees values only
    ACCEPT = "accept"  # the code sees None
    FIRST = "first"  # the first argument that is not null; the others are not evaluated


@dataclass(frozen=True, slots=True)
class Param:
    """A parameter: the kinds it accepts.

    ``prepare`` makes the parameter a constant, checked and converted at declaration; it
    raises ValueError for a constant that is wrong. Optional and repeated ones come last.
    """

    name: str
    kinds: frozenset[Kind]
    prepare: Callable[[object], object] | None = None
    optional: bool = False
    repeated: bool = False


@dataclass(frozen=True, slots=True)
class Function:
    """A function: parameters, type of the result, code.

    ``code`` is a template of one Python expression: ``{0}``, ``{1}`` are the arguments, each
    used at most once; ``{args}`` all of them; ``{name}`` the helper of that name; ``{t}`` a
    fresh local variable. ``result`` gives the type from those of the arguments, or None if
    they do not fit each other. With ``alike`` the arguments are converted to the result's type.
    """

    name: str
    params: tuple[Param, ...]
    result: Callable[[tuple[DType, ...]], DType | None]
    code: str
    helpers: Mapping[str, Callable[..., object]] = field(default_factory=dict)
    nulls: Nulls = Nulls.PROPAGATE
    alike: bool = False

    def param(self, index: int) -> Param | None:
        """Return the parameter for the argument at ``index``, or None if there are too many arguments."""
        if index < len(self.params):
            return self.params[index]
        return self.params[-1] if self.params[-1].repeated else None

    @property
    def least(self) -> int:
        """The smallest number of arguments."""
        return sum(not p.optional for p in self.params)

    def __str__(self) -> str:
        """Return the signature."""
        names = (f"[{p.name}]" if p.optional else f"{p.name}, ..." if p.repeated else p.name for p in self.params)
        return f"{self.name}({', '.join(names)})"


FUNCTIONS: dict[str, Function] = {}

_Method = TypeVar("_Method", bound=Callable[..., Call])
_Result = DType | Callable[[tuple[DType, ...]], DType | None]


def _define(
    code: str,
    *params: Param,
    result: _Result,
    nulls: Nulls = Nulls.PROPAGATE,
    alike: bool = False,
    **helpers: Callable[..., object],
) -> Callable[[_Method], _Method]:
    """Register the method's name as a function of the language."""
    rule: Callable[[tuple[DType, ...]], DType | None] = (lambda _: result) if isinstance(result, DType) else result

    def register(method: _Method) -> _Method:
        name = method.__name__
        FUNCTIONS[name] = Function(name, params, rule, code, helpers, nulls, alike)
        return method

    return register


def _call(name: str, *args: object) -> Call:
    return Call(name, tuple(lift(arg) for arg in args))


def _kinds(*kinds: Kind) -> frozenset[Kind]:
    return frozenset(kinds)


def _first(args: tuple[DType, ...]) -> DType:
    return DType(args[0].kind)


def _item(args: tuple[DType, ...]) -> DType:
    return (args[0].item or ANY).optional()


def _item_fits(args: tuple[DType, ...]) -> DType | None:
    return BOOL if common(args[0].item or ANY, args[1]) else None


def _null_if(args: tuple[DType, ...]) -> DType | None:
    return args[0].optional() if common(*args) else None


_ALL = frozenset(Kind)
_TEXT = Param("text", _kinds(Kind.STR))
_PART = Param("part", _kinds(Kind.STR))
_NUMBER = Param("number", NUMBERS)
_REAL = Param("number", _kinds(Kind.INT, Kind.FLOAT))
_BASE = Param("base", _kinds(Kind.INT, Kind.FLOAT), optional=True)
_INDEX = Param("index", _kinds(Kind.INT))
_DIGITS = Param("digits", _kinds(Kind.INT), optional=True)
_LENGTH = Param("length", _kinds(Kind.INT), optional=True)
_TIME = Param("time", _kinds(Kind.TIMESTAMP))
_DAY = Param("time", _kinds(Kind.TIMESTAMP, Kind.DATE))
_STEP = Param("step", _kinds(Kind.STR, Kind.DURATION), prepare=scalars.step_ms)
_PATTERN = Param("pattern", _kinds(Kind.STR), prepare=scalars.compile_pattern)
_LIST = Param("items", _kinds(Kind.LIST))
_MAP = Param("values", _kinds(Kind.MAP))
_ANY = Param("value", _ALL)
_OTHER = Param("other", _ALL)
_MORE = Param("other", _ALL, repeated=True)
_SCALAR = Param("value", ORDERED)
_SCALARS = Param("other", ORDERED, repeated=True)


class Functions:
    """The functions of the language. Use :data:`fn`."""

    __slots__ = ()

    # Text

    @_define("{0}.lower()", _TEXT, result=STR)
    def lower(self, text: object) -> Call:
        """Return the text in lower case."""
        return _call("lower", text)

    @_define("{0}.upper()", _TEXT, result=STR)
    def upper(self, text: object) -> Call:
        """Return the text in upper case."""
        return _call("upper", text)

    @_define("{0}.strip()", _TEXT, result=STR)
    def trim(self, text: object) -> Call:
        """Return the text without white space around it."""
        return _call("trim", text)

    @_define("len({0})", _TEXT, result=INT)
    def length(self, text: object) -> Call:
        """Return the number of characters."""
        return _call("length", text)

    @_define("({1} in {0})", _TEXT, _PART, result=BOOL)
    def contains(self, text: object, part: object) -> Call:
        """Test whether the text contains ``part``."""
        return _call("contains", text, part)

    @_define("{0}.startswith({1})", _TEXT, _PART, result=BOOL)
    def starts_with(self, text: object, part: object) -> Call:
        """Test whether the text starts with ``part``."""
        return _call("starts_with", text, part)

    @_define("{0}.endswith({1})", _TEXT, _PART, result=BOOL)
    def ends_with(self, text: object, part: object) -> Call:
        """Test whether the text ends with ``part``."""
        return _call("ends_with", text, part)

    @_define("{0}.replace({1}, {2})", _TEXT, _PART, Param("new", _kinds(Kind.STR)), result=STR)
    def replace(self, text: object, part: object, new: object) -> Call:
        """Replace every ``part`` of the text by ``new``."""
        return _call("replace", text, part, new)

    @_define("{0}.split({1})", _TEXT, _PART, result=DType(Kind.LIST, item=STR))
    def split(self, text: object, part: object) -> Call:
        """Return the list of texts between each ``part``, which must not be empty."""
        return _call("split", text, part)

    @_define("{substring}({args})", _TEXT, _INDEX, _LENGTH, result=STR, substring=scalars.substring)
    def substring(self, text: object, start: object, length: object = None) -> Call:
        """Return ``length`` characters from ``start`` (from 0; negative: from the end), or the rest."""
        return _call("substring", text, start) if length is None else _call("substring", text, start, length)

    @_define(
        "{concat}({args})",
        _TEXT,
        Param("more", _kinds(Kind.STR), repeated=True, optional=True),
        result=STR,
        concat=scalars.concat,
    )
    def concat(self, text: object, *more: object) -> Call:
        """Return the texts joined."""
        return _call("concat", text, *more)

    @_define("({1}.search({0}) is not None)", _TEXT, _PATTERN, result=BOOL)
    def matches(self, text: object, pattern: str) -> Call:
        """Test whether a regular expression (a constant) matches anywhere; ``^`` and ``$`` anchor it."""
        return _call("matches", text, pattern)

    # Numbers

    @_define("abs({0})", Param("number", NUMBERS | {Kind.DURATION}), result=_first)
    def abs(self, number: object) -> Call:
        """Return the absolute value of a number or a duration."""
        return _call("abs", number)

    @_define("{round_to}({args})", _NUMBER, _DIGITS, result=_first, round_to=scalars.round_to)
    def round(self, number: object, digits: object = 0) -> Call:
        """Round to so many digits, half to even; the type stays."""
        return _call("round", number, digits)

    @_define("{floor}({0})", _NUMBER, result=INT, floor=math.floor)
    def floor(self, number: object) -> Call:
        """Return the largest integer that is not greater."""
        return _call("floor", number)

    @_define("{ceil}({0})", _NUMBER, result=INT, ceil=math.ceil)
    def ceil(self, number: object) -> Call:
        """Return the smallest integer that is not less."""
        return _call("ceil", number)

    @_define("{sqrt}({0})", _REAL, result=FLOAT, sqrt=math.sqrt)
    def sqrt(self, number: object) -> Call:
        """Return the square root; a negative number is an error of the step."""
        return _call("sqrt", number)

    @_define("{pow}({0}, {1})", _REAL, Param("exponent", _kinds(Kind.INT, Kind.FLOAT)), result=FLOAT, pow=math.pow)
    def power(self, number: object, exponent: object) -> Call:
        """Return the number to the power of ``exponent``, as a float."""
        return _call("power", number, exponent)

    @_define("{log}({args})", _REAL, _BASE, result=FLOAT, log=math.log)
    def log(self, number: object, base: object = None) -> Call:
        """Return the logarithm, natural or to ``base``."""
        return _call("log", number) if base is None else _call("log", number, base)

    @_define("max({args})", _SCALAR, _SCALARS, result=common_of, alike=True)
    def greatest(self, value: object, *others: object) -> Call:
        """Return the greatest of two or more values of one type."""
        return _call("greatest", value, *others)

    @_define("min({args})", _SCALAR, _SCALARS, result=common_of, alike=True)
    def least(self, value: object, *others: object) -> Call:
        """Return the least of two or more values of one type."""
        return _call("least", value, *others)

    # Time, in UTC

    @_define("{0}.year", _DAY, result=INT)
    def year(self, time: object) -> Call:
        """Return the year."""
        return _call("year", time)

    @_define("{0}.month", _DAY, result=INT)
    def month(self, time: object) -> Call:
        """Return the month, 1 to 12."""
        return _call("month", time)

    @_define("{0}.day", _DAY, result=INT)
    def day(self, time: object) -> Call:
        """Return the day of the month."""
        return _call("day", time)

    @_define("{0}.hour", _TIME, result=INT)
    def hour(self, time: object) -> Call:
        """Return the hour, 0 to 23."""
        return _call("hour", time)

    @_define("{0}.minute", _TIME, result=INT)
    def minute(self, time: object) -> Call:
        """Return the minute, 0 to 59."""
        return _call("minute", time)

    @_define("{0}.second", _TIME, result=INT)
    def second(self, time: object) -> Call:
        """Return the second, 0 to 59."""
        return _call("second", time)

    @_define("{0}.isoweekday()", _DAY, result=INT)
    def weekday(self, time: object) -> Call:
        """Return the day of the week, Monday 1 to Sunday 7 (ISO 8601)."""
        return _call("weekday", time)

    @_define("{0}.date()", _TIME, result=DATE)
    def date(self, time: object) -> Call:
        """Return the date in UTC."""
        return _call("date", time)

    @_define("{truncate}({0}, {1})", _TIME, _STEP, result=TIMESTAMP, truncate=scalars.truncate)
    def truncate(self, time: object, step: str | timedelta) -> Call:
        """Round down to a multiple of ``step`` (a constant such as ``"1h"``) since 1970, as windows do."""
        return _call("truncate", time, step)

    @_define("{epoch_ms}({0})", _TIME, result=INT, epoch_ms=scalars.epoch_ms)
    def epoch_ms(self, time: object) -> Call:
        """Return whole milliseconds since 1970."""
        return _call("epoch_ms", time)

    @_define("{from_ms}({0})", Param("ms", _kinds(Kind.INT)), result=TIMESTAMP, from_ms=scalars.from_epoch_ms)
    def from_epoch_ms(self, ms: object) -> Call:
        """Return the time so many milliseconds after 1970."""
        return _call("from_epoch_ms", ms)

    # Nulls

    @_define("({0} is None)", _ANY, result=BOOL, nulls=Nulls.ACCEPT)
    def is_null(self, value: object) -> Call:
        """Test for null; never null itself."""
        return _call("is_null", value)

    @_define("", _ANY, _MORE, result=common_of, nulls=Nulls.FIRST, alike=True)
    def coalesce(self, value: object, *others: object) -> Call:
        """Return the first value that is not null; null if all are."""
        return _call("coalesce", value, *others)

    @_define("", _ANY, _OTHER, result=common_of, nulls=Nulls.FIRST, alike=True)
    def if_null(self, value: object, other: object) -> Call:
        """Return the value, or ``other`` where it is null."""
        return _call("if_null", value, other)

    @_define("(None if ({t} := {0}) == {1} else {t})", _ANY, _OTHER, result=_null_if, nulls=Nulls.ACCEPT)
    def null_if(self, value: object, other: object) -> Call:
        """Return the value, or null where it equals ``other``."""
        return _call("null_if", value, other)

    # Lists and maps

    @_define("len({0})", Param("items", _kinds(Kind.LIST, Kind.MAP)), result=INT)
    def size(self, items: object) -> Call:
        """Return the number of elements of a list or map."""
        return _call("size", items)

    @_define("{element}({0}, {1})", _LIST, _INDEX, result=_item, element=scalars.element)
    def element(self, items: object, index: object) -> Call:
        """Return the element at ``index`` (from 0; negative: from the end); null if there is none."""
        return _call("element", items, index)

    @_define("{get}({0}, {1})", _MAP, Param("key", _kinds(Kind.STR)), result=_item, get=scalars.get)
    def get(self, values: object, key: object) -> Call:
        """Return the value of a map at ``key``; null if there is none."""
        return _call("get", values, key)

    @_define("({1} in {0})", _LIST, Param("value", ORDERED), result=_item_fits)
    def contains_element(self, items: object, value: object) -> Call:
        """Test whether a list contains a value."""
        return _call("contains_element", items, value)


fn = Functions()

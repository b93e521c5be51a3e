"""Expressions: inert trees that describe a value computed from one record.

``col.amount > 100`` builds a tree, evaluates nothing. The plan checks the tree against
the schema, pushes the fields it reads into the decoder and fuses it into generated code.

    >>> from headrace import col
    >>> str(col.amount * 2 > 100)
    '((col.amount * 2) > 100)'

Nulls are as in SQL: they propagate; ``filter`` keeps a record only if its condition is true.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import NoReturn

from headrace.event.dtypes import DType
from headrace.topology.names import callable_name

SCALARS = (bool, int, float, str, bytes, Decimal, datetime, date, timedelta, type(None))
Scalar = bool | int | float | str | bytes | Decimal | datetime | date | timedelta | None


class Expr:
    """A node of an expression tree. Operators build bigger trees.

    >>> from headrace import col
    >>> from headrace.testing import computed
    >>> computed(col.user.is_in(["ada", "bob"]) & (col.amount.cast(float) / 4 == 1.25), user="ada", amount=5)
    True
    >>> computed(col.user.fill_null("nobody"), user=None), computed(col.user.is_null(), user=None)
    ('nobody', True)
    """

    __slots__ = ()

    def __bool__(self) -> NoReturn:
        """Refuse: a tree has no truth value while it is being declared."""
        msg = (
            "an expression has no truth value while a topology is declared: "
            "use & | ~ in place of and, or, not, and is_in() in place of in"
        )
        raise TypeError(msg)

    def __iter__(self) -> NoReturn:
        """Refuse: use explode() for lists."""
        msg = "an expression cannot be iterated over: use stream.explode() for a list field"
        raise TypeError(msg)

    def __eq__(self, other: object) -> Expr:  # type: ignore[override]
        """Build an equality test."""
        return Binary("==", self, lift(other))

    def __ne__(self, other: object) -> Expr:  # type: ignore[override]
        """Build an inequality test."""
        return Binary("!=", self, lift(other))

    __hash__ = object.__hash__

    def __lt__(self, other: object) -> Expr:
        return Binary("<", self, lift(other))

    def __le__(self, other: object) -> Expr:
        return Binary("<=", self, lift(other))

    def __gt__(self, other: object) -> Expr:
        return Binary(">", self, lift(other))

    def __ge__(self, other: object) -> Expr:
        return Binary(">=", self, lift(other))

    def __add__(self, other: object) -> Expr:
        return Binary("+", self, lift(other))

    def __radd__(self, other: object) -> Expr:
        return Binary("+", lift(other), self)

    def __sub__(self, other: object) -> Expr:
        return Binary("-", self, lift(other))

    def __rsub__(self, other: object) -> Expr:
        return Binary("-", lift(other), self)

    def __mul__(self, other: object) -> Expr:
        return Binary("*", self, lift(other))

    def __rmul__(self, other: object) -> Expr:
        return Binary("*", lift(other), self)

    def __truediv__(self, other: object) -> Expr:
        return Binary("/", self, lift(other))

    def __rtruediv__(self, other: object) -> Expr:
        return Binary("/", lift(other), self)

    def __floordiv__(self, other: object) -> Expr:
        return Binary("//", self, lift(other))

    def __rfloordiv__(self, other: object) -> Expr:
        return Binary("//", lift(other), self)

    def __mod__(self, other: object) -> Expr:
        return Binary("%", self, lift(other))

    def __rmod__(self, other: object) -> Expr:
        return Binary("%", lift(other), self)

    def __and__(self, other: object) -> Expr:
        return Binary("&", self, lift(other))

    def __rand__(self, other: object) -> Expr:
        return Binary("&", lift(other), self)

    def __or__(self, other: object) -> Expr:
        return Binary("|", self, lift(other))

    def __ror__(self, other: object) -> Expr:
        return Binary("|", lift(other), self)

    def __neg__(self) -> Expr:
        return Unary("-", self)

    def __invert__(self) -> Expr:
        return Unary("~", self)

    def is_in(self, values: Iterable[object]) -> Expr:
        """Test for membership in a fixed list of values."""
        return In(self, tuple(_scalar(v) for v in values))

    def is_null(self) -> Expr:
        """Test for null. Never null itself."""
        return Call("is_null", (self,))

    def is_not_null(self) -> Expr:
        """Test for a value. Never null itself."""
        return Unary("~", Call("is_null", (self,)))

    def fill_null(self, other: object) -> Expr:
        """Return this value, or ``other`` where it is null."""
        return Call("coalesce", (self, lift(other)))

    def cast(self, dtype: DType | type) -> Expr:
        """Convert to another type; a value that cannot be converted is an error of the step."""
        return Cast(self, dtype)


@dataclass(frozen=True, slots=True, eq=False)
class Column(Expr):
    """A field of the record, by path: ``col.address.city`` is ``("address", "city")``."""

    path: tuple[str, ...]

    def __getattr__(self, name: str) -> Column:
        """Return the nested field ``name``."""
        if name.startswith("__"):
            raise AttributeError(name)
        return Column((*self.path, name))

    def __getitem__(self, name: str) -> Column:
        """Return the nested field ``name``, for names that are not Python identifiers or are taken."""
        return Column((*self.path, name))

    def __str__(self) -> str:
        return "col." + ".".join(self.path)


@dataclass(frozen=True, slots=True, eq=False)
class Meta(Expr):
    """A property of the record itself: ``time``, ``key``, ``topic``, ``partition``, ``offset``."""

    name: str

    def __str__(self) -> str:
        return f"meta.{self.name}"


@dataclass(frozen=True, slots=True, eq=False)
class Literal(Expr):
    """A constant."""

    value: Scalar

    def __str__(self) -> str:
        return repr(self.value)


@dataclass(frozen=True, slots=True, eq=False)
class Unary(Expr):
    """``-x`` or ``~x`` (not)."""

    op: str
    operand: Expr

    def __str__(self) -> str:
        return f"({self.op}{self.operand})"


@dataclass(frozen=True, slots=True, eq=False)
class Binary(Expr):
    """Arithmetic ``+ - * / // %``, comparison ``== != < <= > >=``, boolean ``& |``."""

    op: str
    left: Expr
    right: Expr

    def __str__(self) -> str:
        # Without recursion: a chain may nest deeper than Python calls may.
        written: list[str] = []
        waiting: list[Expr | str] = [self]
        while waiting:
            found = waiting.pop()
            if isinstance(found, Binary):
                waiting += (")", found.right, f" {found.op} ", found.left, "(")
            else:
                written.append(str(found))
        return "".join(written)


@dataclass(frozen=True, slots=True, eq=False)
class Call(Expr):
    """A function of the language (see :mod:`headrace.topology.functions`)."""

    function: str
    args: tuple[Expr, ...]

    def __str__(self) -> str:
        return f"{self.function}({', '.join(map(str, self.args))})"


@dataclass(frozen=True, slots=True, eq=False)
class In(Expr):
    """Membership in a fixed list."""

    operand: Expr
    values: tuple[Scalar, ...]

    def __str__(self) -> str:
        return f"({self.operand} in {list(self.values)!r})"


@dataclass(frozen=True, slots=True, eq=False)
class Cast(Expr):
    """Conversion to another type."""

    operand: Expr
    dtype: DType | type

    def __str__(self) -> str:
        name = self.dtype.__name__ if isinstance(self.dtype, type) else str(self.dtype)
        return f"cast({self.operand}, {name})"


@dataclass(frozen=True, slots=True, eq=False)
class Case(Expr):
    """The value of the first branch whose condition is true, else ``otherwise``."""

    branches: tuple[tuple[Expr, Expr], ...]
    otherwise: Expr

    def __str__(self) -> str:
        whens = " ".join(f"when {c} then {v}" for c, v in self.branches)
        return f"(case {whens} else {self.otherwise})"


@dataclass(frozen=True, slots=True, eq=False)
class Apply(Expr):
    """A call of a Python function: one call per record. The function must be pure.

    ``returns`` is the type of the result; nulls are passed to the function as None.
    """

    function: Callable[..., object]
    args: tuple[Expr, ...]
    returns: DType | type

    def __str__(self) -> str:
        return f"apply({', '.join((callable_name(self.function), *map(str, self.args)))})"


def lift(value: object) -> Expr:
    """Return ``value`` if it is an expression, else a literal of it.

    Raises:
        TypeError: the value is neither an expression nor a scalar.
    """
    return value if isinstance(value, Expr) else Literal(_scalar(value))


def _scalar(value: object) -> Scalar:
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, SCALARS):
        return value
    names = ", ".join(t.__name__ for t in SCALARS)
    msg = f"expected an expression or a constant ({names}), got {type(value).__name__}: {value!r}"
    raise TypeError(msg)


class _Columns:
    """The root of column expressions: ``col.amount``, ``col["order id"]``."""

    __slots__ = ()

    def __getattr__(self, name: str) -> Column:
        """Return the column ``name``."""
        if name.startswith("__"):
            raise AttributeError(name)
        return Column((name,))

    def __getitem__(self, name: str) -> Column:
        """Return the column ``name``."""
        return Column((name,))


class _Meta:
    """Properties of the record itself. Use :data:`meta`.

    >>> from headrace import meta
    >>> from headrace.testing import example
    >>> orders, run = example(user=str)
    >>> orders.map("told", topic=meta.topic, place=meta.offset).sink("out", topic="told")
    >>> run({"user": "ada"}).output("told")
    [{'user': 'ada', 'topic': 'orders', 'place': 0}]
    """

    __slots__ = ()

    time = Meta("time")
    key = Meta("key")
    topic = Meta("topic")
    partition = Meta("partition")
    offset = Meta("offset")


class When:
    """A condition that waits for its value: ``when(cond).then(value)``."""

    __slots__ = ("_branches", "_condition")

    def __init__(self, condition: Expr, branches: tuple[tuple[Expr, Expr], ...] = ()) -> None:
        """Keep the condition."""
        self._condition = condition
        self._branches = branches

    def then(self, value: object) -> Then:
        """Give the value for this condition."""
        return Then((*self._branches, (self._condition, lift(value))))


class Then:
    """A conditional that can be ended by ``otherwise`` or go on with ``when``."""

    __slots__ = ("_branches",)

    def __init__(self, branches: tuple[tuple[Expr, Expr], ...]) -> None:
        """Keep the branches."""
        self._branches = branches

    def when(self, condition: Expr) -> When:
        """Add a condition."""
        return When(condition, self._branches)

    def otherwise(self, value: object) -> Expr:
        """End with the value for all other records."""
        return Case(self._branches, lift(value))


def when(condition: Expr) -> When:
    """Begin a conditional: a value for the first condition that is true.

    >>> from headrace import col, when
    >>> from headrace.testing import computed
    >>> size = when(col.amount > 100).then("big").otherwise("small")
    >>> computed(size, amount=120), computed(size, amount=5)
    ('big', 'small')
    """
    return When(condition)


def apply(function: Callable[..., object], *args: object, returns: DType | type) -> Expr:
    """Call a Python function with expressions as its arguments, once per record.

    >>> from headrace import apply, col
    >>> from headrace.testing import computed
    >>> computed(apply(str.title, col.name, returns=str), name="ada lovelace")
    'Ada Lovelace'
    """
    return Apply(function, tuple(lift(a) for a in args), returns)


col = _Columns()
meta = _Meta()

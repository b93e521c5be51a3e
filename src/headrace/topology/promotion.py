"""Which value types go together: the rules of arithmetic, comparison and common types.

INT widens to FLOAT or to DECIMAL; FLOAT and DECIMAL do not mix, for the result would
silently lose the exactness that Decimal promises. Everything else must be of one kind.
The type ANY goes with everything: what it is shows only when the record is there.
"""

from __future__ import annotations

from dataclasses import replace

from headrace.event.dtypes import ANY, DURATION, FLOAT, NULL, STR, TIMESTAMP, DType, Kind

NUMBERS = frozenset({Kind.INT, Kind.FLOAT, Kind.DECIMAL})
ORDERED = NUMBERS | {Kind.STR, Kind.BOOL, Kind.BYTES, Kind.TIMESTAMP, Kind.DATE, Kind.DURATION}
COMPARISONS = frozenset({"==", "!=", "<", "<=", ">", ">="})
ARITHMETIC = frozenset({"+", "-", "*", "/", "//", "%"})

_TEMPORAL = {
    ("-", Kind.TIMESTAMP, Kind.TIMESTAMP): DURATION,
    ("+", Kind.TIMESTAMP, Kind.DURATION): TIMESTAMP,
    ("-", Kind.TIMESTAMP, Kind.DURATION): TIMESTAMP,
    ("+", Kind.DURATION, Kind.TIMESTAMP): TIMESTAMP,
    ("-", Kind.DATE, Kind.DATE): DURATION,
    ("+", Kind.DURATION, Kind.DURATION): DURATION,
    ("-", Kind.DURATION, Kind.DURATION): DURATION,
    ("/", Kind.DURATION, Kind.DURATION): FLOAT,
    ("*", Kind.DURATION, Kind.INT): DURATION,
    ("*", Kind.INT, Kind.DURATION): DURATION,
    ("*", Kind.DURATION, Kind.FLOAT): DURATION,
    ("*", Kind.FLOAT, Kind.DURATION): DURATION,
    ("/", Kind.DURATION, Kind.INT): DURATION,
    ("/", Kind.DURATION, Kind.FLOAT): DURATION,
    ("+", Kind.STR, Kind.STR): STR,
}


def widest(left: Kind, right: Kind) -> Kind | None:
    """Return the number kind that holds both number kinds exactly enough, or None for FLOAT with DECIMAL."""
    kinds = {left, right}
    if not kinds <= NUMBERS or kinds == {Kind.FLOAT, Kind.DECIMAL}:
        return None
    return next(k for k in (Kind.DECIMAL, Kind.FLOAT, Kind.INT) if k in kinds)


def arithmetic(op: str, left: DType, right: DType) -> DType | None:
    """Return the type of ``left op right``, null if either is, or None if the operands do not fit."""
    kinds = {left.kind, right.kind}
    if Kind.ANY in kinds:
        return ANY
    found = _TEMPORAL.get((op, left.kind, right.kind))
    if found is None:
        number = widest(left.kind, right.kind)
        if number is None or (op in ("//", "%") and number is Kind.DECIMAL):
            return None
        found = FLOAT if op == "/" and number is Kind.INT else DType(number)
    return replace(found, nullable=left.nullable or right.nullable)


def comparable(op: str, left: DType, right: DType) -> bool:
    """Tell whether ``left op right`` has a meaning: one kind, or numbers that widen; only scalars have an order."""
    kinds = {left.kind, right.kind}
    if Kind.ANY in kinds:
        return True
    if Kind.NULL in kinds or common(left, right) is None:
        return False
    return op in ("==", "!=") or kinds <= ORDERED


def common(left: DType, right: DType) -> DType | None:
    """Return the type that both types widen to, null if either is, or None if there is none.

    Only the values themselves are widened, never what a list, map or struct holds: a
    ``list[int]`` is no ``list[float]``.
    """
    nullable = left.nullable or right.nullable
    if left.kind is Kind.NULL:
        return right.optional()
    if right.kind is Kind.NULL:
        return left.optional()
    if Kind.ANY in (left.kind, right.kind):
        return ANY
    if left.kind is not right.kind:
        number = widest(left.kind, right.kind)
        return None if number is None else DType(number, nullable)
    choices = _union(left.choices, right.choices) if left.choices and right.choices else ()
    if left.kind is Kind.STRUCT:
        fields = _common_fields(left, right)
        return None if fields is None else DType(Kind.STRUCT, nullable, fields=fields)
    if left.item is None and right.item is None:
        return DType(left.kind, nullable, choices=choices)
    item = _same(left.item or ANY, right.item or ANY)
    return None if item is None else DType(left.kind, nullable, item=item)


def common_of(dtypes: tuple[DType, ...]) -> DType | None:
    """Return the type that all types widen to, or None if there is none."""
    found: DType | None = NULL
    for dtype in dtypes:
        found = common(found, dtype) if found is not None else None
    # NULL starts the fold and would make everything nullable.
    return None if found is None else replace(found, nullable=any(d.nullable for d in dtypes))


def _union(left: tuple[str | int, ...], right: tuple[str | int, ...]) -> tuple[str | int, ...]:
    return left + tuple(value for value in right if value not in left)


def _same(left: DType, right: DType) -> DType | None:
    """Return the common type if no value has to be converted for it."""
    found = common(left, right)
    kinds = {left.kind, right.kind} - {Kind.ANY, Kind.NULL}
    return found if len(kinds) <= 1 else None


def _common_fields(left: DType, right: DType) -> tuple[tuple[str, DType], ...] | None:
    others = dict(right.fields)
    if others.keys() != dict(left.fields).keys():
        return None
    found = tuple((name, _same(dtype, others[name])) for name, dtype in left.fields)
    kept = tuple((name, dtype) for name, dtype in found if dtype is not None)
    return kept if len(kept) == len(found) else None

"""Value types: what a field of a record or a column of a stream can hold.

A :class:`DType` is data: it compares, hashes and prints. Values at run time are plain
Python objects: ``int``, ``float``, ``Decimal``, ``str``, ``bool``, ``bytes``, aware UTC
``datetime``, ``date``, ``timedelta``, ``list``, ``dict``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum


class Kind(Enum):
    """The kinds of values."""

    INT = "int"
    FLOAT = "float"
    DECIMAL = "decimal"
    STR = "str"
    BOOL = "bool"
    BYTES = "bytes"
    TIMESTAMP = "timestamp"
    DATE = "date"
    DURATION = "duration"
    LIST = "list"
    MAP = "map"
    STRUCT = "struct"
    ANY = "any"
    NULL = "null"  # the type of the literal None


@dataclass(frozen=True, slots=True)
class DType:
    """A value type.

    ``item`` is the element type of a LIST or the value type of a MAP; ``fields`` the
    named fields of a STRUCT; ``choices`` the allowed values of an enumeration, if known.
    """

    kind: Kind
    nullable: bool = False
    item: DType | None = None
    fields: tuple[tuple[str, DType], ...] = ()
    choices: tuple[str | int, ...] = ()

    def optional(self) -> DType:
        """Return the same type, nullable."""
        return self if self.nullable else replace(self, nullable=True)

    def required(self) -> DType:
        """Return the same type, not nullable."""
        return replace(self, nullable=False) if self.nullable else self

    def field(self, name: str) -> DType | None:
        """Return the type of field ``name`` of a STRUCT, or None if there is none."""
        return dict(self.fields).get(name)

    def __str__(self) -> str:
        """Return a short readable form such as ``list[int]?``."""
        text = self.kind.value
        if self.item is not None:
            text = f"{text}[{self.item}]"
        if self.kind is Kind.STRUCT:
            text = "{" + ", ".join(f"{name}: {dtype}" for name, dtype in self.fields) + "}"
        return text + ("?" if self.nullable else "")


INT = DType(Kind.INT)
FLOAT = DType(Kind.FLOAT)
DECIMAL = DType(Kind.DECIMAL)
STR = DType(Kind.STR)
BOOL = DType(Kind.BOOL)
BYTES = DType(Kind.BYTES)
TIMESTAMP = DType(Kind.TIMESTAMP)
DATE = DType(Kind.DATE)
DURATION = DType(Kind.DURATION)
ANY = DType(Kind.ANY, nullable=True)
NULL = DType(Kind.NULL, nullable=True)


def struct(**fields: DType) -> DType:
    """Return a STRUCT type with these fields, in this order."""
    return DType(Kind.STRUCT, fields=tuple(fields.items()))

"""Distinct values in order of arrival: the state of ``collect_set``."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Any

SCANNED = 16  # so many values are looked through as fast as they are hashed, and need no second container


class Distinct:
    """A list of distinct values, and their marks for looking them up. It is stored as the list alone."""

    __slots__ = ("marks", "values")

    def __init__(self, values: list[Any]) -> None:
        """Take over a list."""
        self.values = values
        self.marks = {hashed(value) for value in values}

    def __iter__(self) -> Iterator[Any]:
        """Iterate over the values in order of arrival."""
        return iter(self.values)

    def __len__(self) -> int:
        """Return the number of values."""
        return len(self.values)


def add_distinct(known: list[Any] | Distinct, value: Any, mark: Hashable, limit: int) -> Distinct:
    """Add a value unless it is known or there are ``limit`` already. ``mark`` is its :func:`hashed` form."""
    if isinstance(known, list):
        known = Distinct(known)
    if len(known.values) < limit and mark not in known.marks:
        known.marks.add(mark)
        known.values.append(value)
    return known


def hashed(value: Any) -> Hashable:
    """Return a hashable value that equals another one's just if the values are equal."""
    if isinstance(value, list):
        return (list, *map(hashed, value))
    if isinstance(value, dict):
        return (dict, frozenset((key, hashed(item)) for key, item in value.items()))
    hash(value)  # a signaling NaN has no hash, and would spoil the set
    return value  # type: ignore[no-any-return]


def merge_sets(a: list[Any] | Distinct, b: list[Any] | Distinct, limit: int) -> list[Any] | Distinct:
    """Join two bounded sets, those of ``a`` first. Neither is changed."""
    joined: list[Any] | Distinct = list(a)
    for value in b:
        if len(joined) >= SCANNED:
            joined = add_distinct(joined, value, hashed(value), limit)
        elif len(joined) < limit and value not in joined:
            joined.append(value)  # type: ignore[union-attr]  # it is a list as long as it is short
    return joined

"""The best rows by a value: two lists in a state, of what is compared and of what is shown."""

from __future__ import annotations

from typing import Any


def place_of(best: list[Any], value: Any, limit: int) -> int:
    """Return where a value belongs among the best, behind those that equal it; ``limit`` if it is not one of them.

    NaN is never among the best. A value that cannot be compared, not even with itself, raises.
    """
    low, high = 0, len(best)
    if value != value or value > value or (high == limit and not value > best[-1]):  # noqa: PLR0124 - NaN does not equal itself
        return limit
    while low < high:
        middle = (low + high) // 2
        if value > best[middle]:
            high = middle
        else:
            low = middle + 1
    return low


def insert(best: list[Any], shown: list[Any], place: int, row: tuple[Any, Any], limit: int) -> None:
    """Put a row of (value, item) in its place, and drop what is beyond the limit."""
    if place < limit:
        best.insert(place, row[0])
        shown.insert(place, row[1])
        del best[limit:], shown[limit:]


def merge_tops(best: list[Any], shown: list[Any], others: list[Any], items: list[Any], limit: int) -> list[list[Any]]:
    """Return two rankings as one, those of the first one first among equals. Neither is changed."""
    best, shown = list(best), list(shown)
    for value, item in zip(others, items, strict=True):
        insert(best, shown, place_of(best, value, limit), (value, item), limit)
    return [best, shown]


def ranked(best: list[Any], shown: list[Any]) -> list[dict[str, Any]]:
    """Return the rows of a ranking."""
    pairs = zip(best, shown, strict=True)
    return [{"rank": rank, "value": item, "by": value} for rank, (value, item) in enumerate(pairs, 1)]

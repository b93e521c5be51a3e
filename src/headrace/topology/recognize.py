"""Patterns as text, after SQL's MATCH_RECOGNIZE: ``recognize("PATTERN (A B+ C) DEFINE ...")``.

The conditions are those of rule strings; a name with a step before it is a field of that step's events. Nothing is
ever evaluated as Python. What each part means, and what is refused, is in ``docs/match-recognize.md``.
"""

from __future__ import annotations

from typing import ClassVar

from headrace.topology.patterns import Recognition
from headrace.topology.rules import RuleSyntaxError, bounded


class RecognizeSyntaxError(RuleSyntaxError):
    """A pattern's text is wrong: ``reason`` says how, ``line`` and ``column``, from 1, say where."""

    noun: ClassVar[str] = "pattern"


def recognize(text: str) -> Recognition:
    """Return the pattern that a text denotes, with what it measures: for ``detect()``.

    >>> from headrace import recognize
    >>> found = recognize('''
    ...     PATTERN (A B+ C)
    ...     DEFINE B AS price < coalesce(LAST(B.price, 1), A.price), C AS price > A.price
    ...     WITHIN 5 MINUTES
    ...     MEASURES FIRST(A.price) AS begun, COUNT(B.*) AS falls, C.price AS price
    ... ''')
    >>> print(found.pattern)
    A, next B{1,} consecutive greedy, next C, within 5m, skip past last
    >>> sorted(found.emit)
    ['begun', 'falls', 'price']

    Raises:
        RecognizeSyntaxError: the text is no pattern; the message points at the place.
    """
    bounded(text, RecognizeSyntaxError)
    # The parser is loaded by the first text: topologies without one stay cheap to import.
    from headrace.topology.recognizing import parse  # noqa: PLC0415

    return parse(text, RecognizeSyntaxError)


__all__ = ["RecognizeSyntaxError", "recognize"]

"""Rule strings: ``"amount > 100 and country in ['DE', 'FR']"`` parsed into an expression.

The language is that of SQL conditions: ``and or not``, ``= == != <> < <= > >=``, ``in``,
``between``, ``like``, ``is null``, arithmetic, ``case when .. then .. else .. end``,
``cast(x as int)``, the functions of :mod:`headrace.topology.functions`, and the constants
``'text'``, ``1``, ``1.5``, ``true``, ``null``, ``duration '5m'``, ``timestamp
'2024-01-01T00:00:00Z'``, ``date '2024-01-01'``. Fields are names with dots; a name that is a
keyword or no identifier is put in backquotes. Nothing is ever evaluated as Python.

    >>> str(parse_rule("amount > 100 and country in ['DE', 'FR']"))
    "((col.amount > 100) & (col.country in ['DE', 'FR']))"
"""

from __future__ import annotations

import re
from typing import ClassVar

from headrace.errors import ConfigError
from headrace.topology.expr import Expr
from headrace.topology.typing import MAX_DEPTH, depth

Condition = Expr | str | bool
"""A condition as it may be given: an expression, the text of a rule, or a constant."""

MAX_LENGTH = 10_000

_OPENERS = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|`[^`]*`|[(\[)\]]|\b(?:case|end)\b""", re.I | re.S)


class RuleSyntaxError(ConfigError, ValueError):
    """A rule string is wrong: ``reason`` says how, ``line`` and ``column``, from 1, say where."""

    noun: ClassVar[str] = "rule"
    """What the text is called in messages."""

    def __init__(self, message: str, text: str, line: int, column: int) -> None:
        """Build the message with the line at fault and a caret under the place."""
        self.reason = message
        self.line = line
        self.column = column
        lines = text.split("\n")
        shown = lines[line - 1] if 0 < line <= len(lines) else ""
        # Long lines are cut around the caret.
        start = max(0, column - 60)
        excerpt = shown[start : start + 100].replace("\t", " ")
        caret = " " * (column - 1 - start) + "^"
        super().__init__(f"line {line}, column {column}: {message}\n  {excerpt}\n  {caret}")


def parse_rule(text: str) -> Expr:
    """Return the expression that a rule string denotes.

    Raises:
        RuleSyntaxError: the text is no rule; the message points at the place.
    """
    bounded(text, RuleSyntaxError)
    # The parser is loaded by the first rule: topologies without rules stay cheap to import.
    from headrace.topology.grammar import parse  # noqa: PLC0415

    result = parse(text)
    if depth(result) > MAX_DEPTH:
        msg = f"a rule may be nested at most {MAX_DEPTH} deep"
        raise RuleSyntaxError(msg, text, 1, 1)
    return result


def position(text: str, offset: int) -> tuple[int, int]:
    """Return line and column, from 1, of an offset in the text."""
    before = text[:offset]
    return before.count("\n") + 1, offset - (before.rfind("\n") + 1) + 1


def bounded(text: str, failure: type[RuleSyntaxError]) -> None:
    """Refuse a text that is too long, or nested deeper than a parser can go.

    Raises:
        RuleSyntaxError: of the type given.
    """
    if len(text) > MAX_LENGTH:
        msg = f"a {failure.noun} may have at most {MAX_LENGTH} characters, this one has {len(text)}"
        raise failure(msg, text, 1, 1)
    depth = 0
    for match in _OPENERS.finditer(text):
        token = match.group().lower()
        depth += token in ("(", "[", "case")
        depth -= token in (")", "]", "end")
        if depth > MAX_DEPTH:
            msg = f"a {failure.noun} may be nested at most {MAX_DEPTH} deep"
            raise failure(msg, text, *position(text, match.start()))

"""The parser of patterns as text: ``recognize.lark`` behind ``rules.lark``, and what each of its rules builds."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import TypeVar

from lark import Lark, Token, v_args

from headrace.topology.duration import DurationError, duration_ms
from headrace.topology.expr import Expr
from headrace.topology.grammar import Builder, Refusal, parser_of, read, refused
from headrace.topology.patterns import Recognition, Skip, skip
from headrace.topology.rules import RuleSyntaxError
from headrace.topology.sequences import Bounds, Part, assemble, steps_of
from headrace.topology.step_names import FUNCTIONS, REFUSED, Named, Read, Scope, resolve
from headrace.topology.typing import MAX_DEPTH, depth

_UNITS = {"millisecond": "ms", "second": "s", "minute": "m", "hour": "h", "day": "d", "week": "w"}
_CLAUSES = re.compile(r"\b(pattern|define|within|after|measures|one)\b", re.I)
_HINTS = (
    (r"partition\s+by\b", "PARTITION BY is no part of the text: write stream.group_by(...).detect(...)"),
    (r"order\s+by\b", "ORDER BY is no part of the text: detect(order=...) says in which order events are matched"),
    (r"all\s+rows?\b", "ALL ROWS PER MATCH is not supported: a match makes one row"),
    (r"subset\b", "SUBSET is not supported: name the steps one by one"),
    (r"with\s+unmatched\b|show\s+empty\b|omit\s+empty\b", "an empty match is none: leave this out"),
)
_HINTS_OF_PATTERNS = (
    (r"permute\b", "PERMUTE is not supported: steps come in one order"),
    (r"\|", "alternatives (A | B) are not supported: use one step whose condition is true for both"),
    (r"[\^$]", "^ and $ are not supported: a stream has no first and no last row"),
    (r"\{\s*-", "{- -} is not supported: MEASURES says what a match returns"),
)
_MAX_COUNT = 1_000
"""An automaton has a place for each repetition: more would only cost memory."""

_Said = TypeVar("_Said")


@dataclass(frozen=True, slots=True)
class _Target:
    """Where to go on after a match; ``token``: the step that it names."""

    skip: Skip
    token: Token | None = None


@dataclass(frozen=True, slots=True)
class _Clause:
    """One clause of the text: the word that it begins with, and what it says."""

    token: Token
    said: object


def parse(text: str, failure: type[RuleSyntaxError]) -> Recognition:
    """Return what the text denotes.

    Raises:
        RuleSyntaxError: of the type given; the message points at the place.
    """
    try:
        clauses = read(text, _parser(), failure)
    except RuleSyntaxError as error:
        raise _hinted(text, error, failure) from None
    if not isinstance(clauses, list):
        msg = "expected a pattern"
        raise failure(msg, text, 1, 1)
    try:
        return _Reader(clauses).recognition()
    except Refusal as error:
        raise refused(text, error, failure) from None


@cache
def _parser() -> Lark:
    return parser_of("recognition", _PatternBuilder(), "rules.lark", "recognize.lark")


def _hinted(text: str, error: RuleSyntaxError, failure: type[RuleSyntaxError]) -> RuleSyntaxError:
    """Return the error, with a better reason where something is meant that SQL has and Headrace has not."""
    offset = sum(len(line) + 1 for line in text.split("\n")[: error.line - 1]) + error.column - 1
    said = _CLAUSES.findall(text[:offset])
    hints = _HINTS_OF_PATTERNS if said and said[-1].lower() == "pattern" else ()
    for form, reason in (*_HINTS, *hints):
        if re.compile(form, re.I).match(text, offset):
            return failure(reason, text, error.line, error.column)
    return error


class _Reader:
    """Make a pattern of the clauses of a text."""

    def __init__(self, clauses: list[_Clause]) -> None:
        self._clauses: dict[str, _Clause] = {}
        for clause in clauses:
            name = clause.token.type
            if name in self._clauses:
                msg = f"expected one {name}, got a second one. Say all in one {name}."
                raise Refusal(msg, clause.token)
            self._clauses[name] = clause
        if "PATTERN" not in self._clauses:
            msg = "expected PATTERN ( ... ), got none. Say which rows follow each other: PATTERN (A B+ C)."
            raise Refusal(msg, clauses[0].token)
        self._parts = self._said("PATTERN", list[Part]())
        self._steps = steps_of(self._parts)

    def _said(self, name: str, default: _Said) -> _Said:
        clause = self._clauses.get(name)
        return default if clause is None else clause.said  # type: ignore[return-value]

    def recognition(self) -> Recognition:
        """Return the pattern and what it measures."""
        pattern = assemble(self._parts, self._conditions())
        target = self._said("AFTER", _Target(skip.past_last()))
        if target.token is not None:
            self._known(target.token)
        pattern = pattern.within(self._said("WITHIN", None)).after_match(target.skip)
        return Recognition(pattern, self._measures() or None)

    def _conditions(self) -> dict[str, Expr]:
        found: dict[str, Expr] = {}
        for name, condition in self._said("DEFINE", list[tuple[Token, Expr]]()):
            self._known(name)
            if name in found:
                msg = f"expected one condition of step {str(name)!r}, got a second one. Join them with 'and'."
                raise Refusal(msg, name)
            found[str(name)] = self._resolved(name, condition, Scope(self._steps, str(name)))
        return found

    def _measures(self) -> dict[str, Expr]:
        found: dict[str, Expr] = {}
        for name, measure in self._said("MEASURES", list[tuple[Token, Expr]]()):
            if name in found:
                msg = f"expected each name once, got {str(name)!r} again. Give it another name."
                raise Refusal(msg, name)
            found[str(name)] = self._resolved(name, measure, Scope(self._steps, None))
        return found

    def _resolved(self, name: Token, expr: Expr, scope: Scope) -> Expr:
        if depth(expr) > MAX_DEPTH:
            msg = f"expected an expression of at most {MAX_DEPTH} levels, got more. Take it apart."
            raise Refusal(msg, name)
        return resolve(expr, scope)

    def _known(self, name: Token) -> None:
        if name not in self._steps:
            msg = f"expected a step of PATTERN ({', '.join(self._steps)}), got {str(name)!r}. Mend the name."
            raise Refusal(msg, name)


@v_args(inline=True)
class _PatternBuilder(Builder):
    """Build clauses from the rules of the grammar, bottom up."""

    def recognition(self, *clauses: _Clause) -> list[_Clause]:
        return list(clauses)

    def pattern(self, token: Token, parts: list[Part]) -> _Clause:
        return _Clause(token, parts)

    def define(self, token: Token, *definitions: tuple[Token, Expr]) -> _Clause:
        return _Clause(token, list(definitions))

    def measures(self, token: Token, *measures: tuple[Token, Expr]) -> _Clause:
        return _Clause(token, list(measures))

    def window(self, token: Token, span: str) -> _Clause:
        return _Clause(token, span)

    def after(self, token: Token, target: _Target) -> _Clause:
        return _Clause(token, target)

    def one_row(self, token: Token) -> _Clause:
        return _Clause(token, None)

    # PATTERN

    def sequence(self, *parts: Part | list[Part]) -> list[Part]:
        # parentheses without a quantifier mean nothing
        return [each for part in parts for each in (part if isinstance(part, list) else [part])]

    def step(self, token: Token) -> Part:
        name = self.name(token)
        return Part(name, str(name))

    def group(self, parts: list[Part]) -> list[Part]:
        return parts

    def repeated(self, part: Part | list[Part], bounds: Bounds, lazy: Token | None = None) -> Part:
        what = Part(part[0].token, part) if isinstance(part, list) else part
        return what.repeated(Bounds(bounds.least, bounds.most, lazy=lazy is not None))

    def star(self) -> Bounds:
        return Bounds(0, None)

    def plus(self) -> Bounds:
        return Bounds(1, None)

    def maybe(self, _: Token) -> Bounds:
        return Bounds(0, 1)

    def exactly(self, count: Token) -> Bounds:
        return self._bounds(count, count, count)

    def at_least(self, least: Token, most: Token | None = None) -> Bounds:
        return self._bounds(least, least, most)

    def at_most(self, most: Token) -> Bounds:
        return self._bounds(most, None, most)

    def _bounds(self, token: Token, least: Token | None, most: Token | None) -> Bounds:
        found = Bounds(0 if least is None else _count(least), None if most is None else _count(most))
        if found.most is not None and (found.most == 0 or found.most < found.least):
            got = f"{{{found.least},{found.most}}}"
            msg = f"expected bounds that let something through, got {got}. Write {{1,3}}, or leave the step out."
            raise Refusal(msg, token)
        return found

    # DEFINE, MEASURES

    def definition(self, name: Token, condition: Expr) -> tuple[Token, Expr]:
        return name, condition

    def measure(self, value: Expr, name: Token) -> tuple[Token, Expr]:
        return name, value

    def name(self, token: Token) -> Token:
        return Token.new_borrow_pos(token.type, super().name(token), token)

    def column(self, *path: Token) -> Expr:  # type: ignore[override]
        return Named(path)

    def call(self, name: Token, *args: Expr) -> Expr:
        if name.lower() in REFUSED:
            raise Refusal(REFUSED[name.lower()], name)
        if name.lower() not in FUNCTIONS:
            return super().call(name, *args)
        if any(depth(arg) > MAX_DEPTH for arg in args):
            msg = f"expected an expression of at most {MAX_DEPTH} levels, got more. Take it apart."
            raise Refusal(msg, name)
        return Read(name, args)

    def rows_of(self, function: Token, step: Token) -> Expr:
        return self._rows(function, step)

    def all_rows(self, function: Token) -> Expr:
        return self._rows(function, None)

    def _rows(self, function: Token, step: Token | None) -> Expr:
        if function.lower() != "count":
            msg = f"expected a field such as {function}(A.price), got '*'. Only COUNT counts rows."
            raise Refusal(msg, function)
        return Read(function, (), step, rows=True)

    # WITHIN, AFTER MATCH

    def plain_span(self, number: Token, unit: Token) -> str:
        return _span(number, str(number), unit)

    def interval(self, text: Token, unit: Token) -> str:
        return _span(text, str(text)[1:-1].strip(), unit)

    def text_span(self, text: Token) -> str:
        return _checked(text, str(text)[1:-1])

    def past_last(self) -> _Target:
        return _Target(skip.past_last())

    def to_next(self) -> _Target:
        return _Target(skip.to_next())

    # in SQL it is an error if there is nothing to skip to
    def to_first(self, step: Token) -> _Target:
        return _Target(skip.to_first(str(step), on_miss="error"), step)

    def to_last(self, step: Token) -> _Target:
        return _Target(skip.to_last(str(step), on_miss="error"), step)


def _count(token: Token) -> int:
    if not token.isdecimal() or len(token) > len(str(_MAX_COUNT)) or int(token) > _MAX_COUNT:
        msg = f"expected a whole number up to {_MAX_COUNT}, got {str(token)!r}. Use + or * for any number."
        raise Refusal(msg, token)
    return int(token)


def _span(token: Token, number: str, unit: Token) -> str:
    known = _UNITS.get(unit.lower().removesuffix("s"))
    if known is None:
        names = ", ".join(f"{name.upper()}S" for name in _UNITS)
        msg = f"expected a unit of time ({names}), got {str(unit)!r}. Write WITHIN 5 MINUTES."
        raise Refusal(msg, unit)
    return _checked(token, f"{number}{known}")


def _checked(token: Token, text: str) -> str:
    try:
        if duration_ms(text, "WITHIN") > 0:
            return text
    except DurationError:
        pass
    msg = f"expected a duration of more than 0 ms, got {text!r}. Write WITHIN 5 MINUTES."
    raise Refusal(msg, token)

"""The PATTERN of a text: steps and groups that follow each other directly, with SQL's quantifiers, as a pattern.

SQL's quantifiers are greedy unless a ``?`` follows. What that means is settled for a loop of one step with a step
behind it that must come. All else is refused, with the reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from headrace.topology.expr import Expr
from headrace.topology.grammar import Refusal
from headrace.topology.patterns import Pattern, begin

if TYPE_CHECKING:
    from lark import Token


@dataclass(frozen=True, slots=True)
class Bounds:
    """How often; ``most`` None: any number of times. ``lazy``: as few as possible, else as many."""

    least: int
    most: int | None
    lazy: bool = False

    @property
    def fixed(self) -> bool:
        """Whether there is nothing to choose."""
        return self.least == self.most

    def __str__(self) -> str:
        short = {(0, None): "*", (1, None): "+", (0, 1): "?"}.get((self.least, self.most))
        most = "" if self.most is None else self.most
        text = short or (f"{{{self.least}}}" if self.fixed else f"{{{self.least},{most}}}")
        return text + "?" * self.lazy


@dataclass(frozen=True, slots=True)
class Part:
    """A step, by its name, or a group; ``token`` is where it stands."""

    token: Token
    what: str | list[Part]
    bounds: Bounds | None = None

    def repeated(self, bounds: Bounds) -> Part:
        """Return it with a quantifier; parentheses around one step without any mean nothing."""
        if isinstance(self.what, list) and len(self.what) == 1 and self.what[0].bounds is None:
            return replace(self.what[0], bounds=bounds)
        return replace(self, bounds=bounds)

    @property
    def optional(self) -> bool:
        """Whether it may be left out."""
        return self.bounds is not None and self.bounds.least == 0

    @property
    def may_begin_empty(self) -> bool:
        """Whether it, or what it begins with, may be left out."""
        return self.optional or (isinstance(self.what, list) and self.what[0].may_begin_empty)

    def __str__(self) -> str:
        name = self.what if isinstance(self.what, str) else f"({' '.join(map(str, self.what))})"
        return f"{name}{self.bounds or ''}"


def steps_of(parts: Sequence[Part]) -> tuple[str, ...]:
    """Return the names of the steps, in order.

    Raises:
        Refusal: one of them is there twice.
    """
    found: dict[str, Token] = {}
    for part in _flat(parts):
        name = str(part.token)
        if name in found:
            msg = f"expected each step once, got {name!r} again. Give it another name and the same condition."
            raise Refusal(msg, part.token)
        found[name] = part.token
    return tuple(found)


def _flat(parts: Sequence[Part]) -> list[Part]:
    return [each for part in parts for each in ([part] if isinstance(part.what, str) else _flat(part.what))]


def assemble(parts: Sequence[Part], conditions: Mapping[str, Expr]) -> Pattern:
    """Return the pattern; a step without a condition takes any event.

    Raises:
        Refusal: what a quantifier means at its place is not settled.
    """
    return _sequence(parts, conditions, last=True)


def _sequence(parts: Sequence[Part], conditions: Mapping[str, Expr], *, last: bool) -> Pattern:
    found: Pattern | None = None
    for part, following in zip(parts, [*parts[1:], None], strict=True):
        ends = last and following is None
        name = part.what if isinstance(part.what, str) else None
        what = _sequence(part.what, conditions, last=ends) if isinstance(part.what, list) else part.what
        where = None if name is None else conditions.get(name)
        found = begin(what, where) if found is None else found.next(what, where)
        if part.bounds is not None:
            _check(part, part.bounds, following, ends=ends)
            found = _quantified(found, part, part.bounds)
    if found is None:
        msg = "a sequence has at least one part"
        raise AssertionError(msg)
    return found


def _quantified(found: Pattern, part: Part, bounds: Bounds) -> Pattern:
    if bounds.most != 1:
        least = max(bounds.least, 1)
        found = found.times(least, bounds.most).consecutive()
        if least != bounds.most and not bounds.lazy:
            found = found.greedy()
    return found.optional() if part.optional else found


def _check(part: Part, bounds: Bounds, following: Part | None, *, ends: bool) -> None:
    """Refuse a quantifier whose meaning is not settled."""
    inner = part.what if isinstance(part.what, list) else []
    if bounds.most != 1 and len(inner) == 1 and inner[0].bounds is not None:
        msg = f"expected one quantifier, got a loop of a loop: {part}. Write one of them."
        raise Refusal(msg, part.token)
    if bounds.fixed or bounds.lazy:
        return
    lazy = f"{part}?"
    if ends:
        msg = (
            f"expected an end that is known when it comes, got the greedy {part}: a longer match may always follow. "
            f"Add a step behind it, or write {lazy} for the shortest match."
        )
        raise Refusal(msg, part.token)
    if max(bounds.least, 1) == bounds.most:
        return
    if inner:
        msg = f"expected a greedy loop of one step, got a group: {part}. Write {lazy} to follow every way on."
        raise Refusal(msg, part.token)
    if following is None:
        msg = f"expected a step behind the greedy {part} in its group, got none. Write {lazy} to follow every way on."
        raise Refusal(msg, part.token)
    if following.may_begin_empty:
        msg = (
            f"expected a step that must come behind the greedy {part}, got {following}, which may be left out. "
            f"Write {lazy} to follow every way on."
        )
        raise Refusal(msg, part.token)

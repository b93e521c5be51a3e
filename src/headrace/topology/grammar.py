"""The parser of rule strings: the grammar in ``rules.lark`` and what each of its rules builds."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, datetime, timedelta
from decimal import Decimal
from difflib import get_close_matches
from functools import cache
from importlib import resources

from lark import Lark, Token, Transformer, v_args
from lark.exceptions import LarkError, UnexpectedCharacters, UnexpectedEOF, UnexpectedToken, VisitError

from headrace.event.dtypes import DType
from headrace.topology import scalars
from headrace.topology.casts import PYTHON_TYPES
from headrace.topology.expr import Binary, Call, Case, Cast, Column, Expr, In, Literal, Scalar, Unary
from headrace.topology.functions import FUNCTIONS
from headrace.topology.rules import RuleSyntaxError, position

MAX_DIGITS = 400
"""More digits than any float has: longer numbers would only cost time."""

_TYPES: dict[str, DType] = {
    name: PYTHON_TYPES[python]
    for name, python in {
        "int": int,
        "float": float,
        "decimal": Decimal,
        "str": str,
        "bool": bool,
        "bytes": bytes,
        "timestamp": datetime,
        "date": date,
        "duration": timedelta,
    }.items()
}
_WORDS = {
    "COMPARISON": "a comparison",
    "SIGN": "'-'",
    "OPERATOR": "an operator",
    "NUMBER": "a number",
    "STRING": "a text in quotes",
    "NAME": "a name",
    "QUOTED": "",
    "LPAR": "'('",
    "RPAR": "')'",
    "LSQB": "'['",
    "RSQB": "']'",
    "COMMA": "','",
    "DOT": "'.'",
    "STAR": "'*'",
    "PLUS": "'+'",
    "LAZY": "'?'",
    "LBRACE": "'{'",
    "RBRACE": "'}'",
    "$END": "the end",
}


class Refusal(Exception):
    """Something the grammar allows is wrong at a token."""

    def __init__(self, message: str, token: Token) -> None:
        """Keep the token."""
        super().__init__(message)
        self.token = token


def parse(text: str) -> Expr:
    """Return the expression that a rule string denotes.

    Raises:
        RuleSyntaxError: the text is no rule; the message points at the place.
    """
    result = read(text, _parser(), RuleSyntaxError)
    if not isinstance(result, Expr):
        msg = "expected a rule"
        raise RuleSyntaxError(msg, text, 1, 1)
    return result


def read(text: str, parser: Lark, failure: type[RuleSyntaxError]) -> object:
    """Return what a parser builds of a text.

    Raises:
        RuleSyntaxError: of the type given; the message points at the place.
    """
    try:
        return parser.parse(text)
    except UnexpectedCharacters as error:
        reason = _unreadable(text.split("\n")[error.line - 1][error.column - 1])
        raise failure(reason, text, error.line, error.column) from None
    except UnexpectedToken as error:
        raise _unexpected(text, error, failure) from None
    except VisitError as error:
        if isinstance(error.orig_exc, Refusal):
            raise refused(text, error.orig_exc, failure) from None
        raise
    except Refusal as error:
        raise refused(text, error, failure) from None
    except (UnexpectedEOF, LarkError) as error:
        raise failure(str(error), text, *position(text, len(text))) from None


@cache
def _parser() -> Lark:
    return parser_of("start", Builder(), "rules.lark")


def parser_of(start: str, builder: Builder, *files: str) -> Lark:
    """Return a parser for the grammar that the files of this package make together."""
    grammar = "\n".join(resources.files(__package__).joinpath(file).read_text("utf-8") for file in files)
    # The transformer runs while parsing: no tree, no recursion.
    return Lark(grammar, start=start, parser="lalr", lexer="contextual", transformer=builder, maybe_placeholders=False)


# ruff: noqa: D102 - a builder's methods are named after the rules of the grammar


@v_args(inline=True)
class Builder(Transformer[Token, Expr]):
    """Build expressions from the rules of the grammar, bottom up."""

    def either(self, *operands: Expr) -> Expr:
        return _balanced("|", operands)

    def both(self, *operands: Expr) -> Expr:
        return _balanced("&", operands)

    def negate(self, operand: Expr) -> Expr:
        return Unary("~", operand)

    def compare(self, left: Expr, op: Token, right: Expr) -> Expr:
        return Binary({"=": "==", "<>": "!="}.get(op, str(op)), left, right)

    def within(self, operand: Expr, options: tuple[Scalar, ...]) -> Expr:
        return In(operand, options)

    def outside(self, operand: Expr, options: tuple[Scalar, ...]) -> Expr:
        return Unary("~", In(operand, options))

    def between(self, operand: Expr, low: Expr, high: Expr) -> Expr:
        return Binary("&", Binary(">=", operand, low), Binary("<=", operand, high))

    def beyond(self, operand: Expr, low: Expr, high: Expr) -> Expr:
        return Unary("~", self.between(operand, low, high))

    def like(self, operand: Expr, pattern: Token) -> Expr:
        return Call("matches", (operand, Literal(_like(_text(pattern)))))

    def unlike(self, operand: Expr, pattern: Token) -> Expr:
        return Unary("~", self.like(operand, pattern))

    def is_null(self, operand: Expr) -> Expr:
        return Call("is_null", (operand,))

    def is_not_null(self, operand: Expr) -> Expr:
        return Unary("~", Call("is_null", (operand,)))

    def arithmetic(self, left: Expr, op: Token, right: Expr) -> Expr:
        return Binary(str(op), left, right)

    def sign(self, op: Token, operand: Expr) -> Expr:
        if op == "+":
            return operand
        if isinstance(operand, Literal) and isinstance(operand.value, int | float):
            return Literal(-operand.value)
        return Unary("-", operand)

    def column(self, *path: str) -> Expr:
        return Column(path)

    def name(self, token: Token) -> str:
        return str(token)[1:-1] if token.type == "QUOTED" else str(token)

    def call(self, name: Token, *args: Expr) -> Expr:
        key = name.lower()
        if key not in FUNCTIONS:
            close = get_close_matches(key, FUNCTIONS, n=3)
            hint = f"; did you mean {' or '.join(close)}?" if close else ""
            msg = f"there is no function {str(name)!r}{hint}"
            raise Refusal(msg, name)
        return Call(key, args)

    def cast(self, operand: Expr, name: Token) -> Expr:
        dtype = _TYPES.get(name.lower())
        if dtype is None:
            msg = f"there is no type {str(name)!r} to cast to; there are: {', '.join(_TYPES)}"
            raise Refusal(msg, name)
        return Cast(operand, dtype)

    def branch(self, condition: Expr, value: Expr) -> tuple[Expr, Expr]:
        return condition, value

    def case(self, *parts: Expr | tuple[Expr, Expr]) -> Expr:
        branches = tuple(part for part in parts if isinstance(part, tuple))
        otherwise = [part for part in parts if isinstance(part, Expr)]
        return Case(branches, otherwise[0] if otherwise else Literal(None))

    def options(self, *options: Literal) -> tuple[Scalar, ...]:
        return tuple(option.value for option in options)

    def signed(self, op: Token, number: Token) -> Expr:
        return self.sign(op, self.number(number))

    def number(self, token: Token) -> Expr:
        if len(token) > MAX_DIGITS:
            msg = f"a number may have at most {MAX_DIGITS} digits"
            raise Refusal(msg, token)
        return Literal(int(token) if token.isdecimal() else float(token))

    def string(self, token: Token) -> Expr:
        return Literal(_text(token))

    def true(self, _: Token) -> Expr:
        return Literal(True)  # noqa: FBT003 - the constant itself

    def false(self, _: Token) -> Expr:
        return Literal(False)  # noqa: FBT003 - the constant itself

    def null(self) -> Expr:
        return Literal(None)

    def duration(self, token: Token) -> Expr:
        return Literal(_read(scalars.duration_from_text, token))

    def timestamp(self, token: Token) -> Expr:
        return Literal(_read(scalars.time_from_text, token))

    def date(self, token: Token) -> Expr:
        return Literal(_read(date.fromisoformat, token))


def _balanced(op: str, operands: tuple[Expr, ...]) -> Expr:
    """Chain the operands into a tree that is not deep, however many there are."""
    if len(operands) == 1:
        return operands[0]
    middle = (len(operands) + 1) // 2
    return Binary(op, _balanced(op, operands[:middle]), _balanced(op, operands[middle:]))


def _read(convert: Callable[[str], Scalar], token: Token) -> Scalar:
    try:
        return convert(_text(token))
    except (ValueError, OverflowError) as error:
        raise Refusal(str(error), token) from None


def _text(token: Token) -> str:
    """Return what a quoted text means: the quote twice, or a backslash before it, is the quote itself."""
    quote, inner = token[0], token[1:-1]
    return re.sub(rf"{quote}{quote}|\\(.)", lambda m: m.group(1) or quote, inner, flags=re.S)


def _like(pattern: str) -> str:
    """Return the regular expression for a LIKE pattern: ``%`` is any text, ``_`` any character."""
    # Neighbouring % would make the match needlessly slow.
    pieces = ({"%": ".*", "_": "."}.get(c, re.escape(c)) for c in re.sub("%+", "%", pattern))
    return f"(?s)\\A{''.join(pieces)}\\Z"


def _unreadable(character: str) -> str:
    if character in "'\"`":
        return f"the quote {character} is never closed"
    hints = {"&": "use 'and'", "|": "use 'or'", "!": "use 'not' or '!='", "~": "use 'not'"}
    hint = hints.get(character)
    return f"unexpected {character!r}" + (f": {hint}" if hint else "")


def _unexpected(text: str, error: UnexpectedToken, failure: type[RuleSyntaxError]) -> RuleSyntaxError:
    token = error.token
    words = {_WORDS.get(name, name.strip("_").lower()) for name in error.accepts or error.expected} - {""}
    expected = f"expected {', '.join(sorted(words))}"
    if token.type == "$END":
        return failure(f"the {failure.noun} ends too early: {expected}", text, *position(text, len(text)))
    return failure(f"{expected}, got {str(token)!r}", text, token.line or 1, token.column or 1)


def refused(text: str, error: Refusal, failure: type[RuleSyntaxError]) -> RuleSyntaxError:
    """Return the error for a refusal, with the place of its token."""
    return failure(str(error), text, error.token.line or 1, error.token.column or 1)

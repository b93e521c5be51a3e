"""Whether the condition of a rule fits the records that it is to judge."""

from __future__ import annotations

from headrace.errors import ConfigError
from headrace.event.dtypes import DType, Kind
from headrace.topology.expr import Expr
from headrace.topology.rules import RuleSyntaxError, parse_rule
from headrace.topology.typing import infer

_CONDITIONS = frozenset({Kind.BOOL, Kind.ANY, Kind.NULL})


class RuleRefusedError(ConfigError):
    """The condition of a rule cannot be used; the message says all that is wrong with it."""


def fitting(condition: str, columns: DType) -> tuple[Expr, DType]:
    """Return a condition as an expression over records of these columns, and its type.

    Raises:
        RuleRefusedError: it cannot be parsed, reads columns that are not there, or mixes types.

    >>> from headrace.event.dtypes import INT, struct
    >>> fitting("amont > 100", struct(amount=INT))
    Traceback (most recent call last):
        ...
    headrace.topology.rulechecks.RuleRefusedError: condition: expected ..., got ...
    """
    try:
        expr = parse_rule(condition)
    except RuleSyntaxError as error:
        msg = f"condition, line {error.line}, column {error.column}: {error.reason}."
        raise RuleRefusedError(msg) from error
    faults: list[str] = []

    def report(expected: str, got: str, remedy: str) -> None:
        faults.append(f"condition: expected {expected}, got {got}. {remedy}")

    dtype = infer(expr, columns, report)
    if dtype.kind not in _CONDITIONS:
        report("a condition of type bool", f"{dtype}: {expr}", "Compare it with something, or test 'is not null'.")
    if faults:
        raise RuleRefusedError(" ".join(dict.fromkeys(faults)))
    return expr, dtype

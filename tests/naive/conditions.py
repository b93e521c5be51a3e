"""The conditions of pattern cases, evaluated: nulls propagate, and only true is true."""

from __future__ import annotations

import ast
from functools import cache
from typing import Any

Taken = tuple[tuple[str, int], ...]  # (step, position in the order of matching)


@cache
def _parsed(condition: str) -> ast.expr:
    return ast.parse(condition, mode="eval").body


def evaluate(condition: str, event: dict[str, Any], taken: Taken, order: list[dict[str, Any]]) -> Any:
    """Return the value of a condition for the event at hand of a branch that has taken ``taken``."""

    def events_of(node: ast.expr) -> list[dict[str, Any]]:
        return [order[position] for step, position in taken if isinstance(node, ast.Name) and step == node.id]

    def value(node: ast.expr) -> Any:  # noqa: PLR0911 - one for each kind of node
        match node:
            case ast.Constant(constant):
                return constant
            case ast.Name(name):
                return event.get(name)
            case ast.List(items) | ast.Tuple(items):
                return [value(item) for item in items]
            case ast.Call(ast.Name("count"), [step]):
                return len(events_of(step))
            case ast.Call(ast.Name("sum"), [ast.Attribute(step, name)]):
                return sum(e[name] for e in events_of(step) if e.get(name) is not None)
            case ast.Attribute(ast.Call(ast.Name("first" | "last" as which), [step]), name):
                found = events_of(step)
                return found[0 if which == "first" else -1].get(name) if found else None
            case ast.BoolOp(ast.And(), parts):
                values = [value(part) for part in parts]
                return False if False in values else None if None in values else True
            case ast.BoolOp(ast.Or(), parts):
                values = [value(part) for part in parts]
                return True if True in values else None if None in values else False
            case ast.UnaryOp(op, operand):
                return _unary(op, value(operand))
            case ast.BinOp(left, op, right):
                return _binary(op, value(left), value(right))
            case ast.Compare(left, [op], [right]):
                return _binary(op, value(left), value(right))
            case _:
                raise ValueError(f"no condition: {ast.dump(node)}")

    return value(_parsed(condition))


def _unary(op: ast.unaryop, operand: Any) -> Any:
    if operand is None:
        return None
    match op:
        case ast.Not():
            return not operand
        case ast.USub():
            return -operand
        case _:
            return operand


def _binary(op: ast.operator | ast.cmpop, left: Any, right: Any) -> Any:
    if left is None or right is None:
        return None
    match op:
        case ast.Add():
            return left + right
        case ast.Sub():
            return left - right
        case ast.Mult():
            return left * right
        case ast.Div():
            return left / right
        case ast.In():
            return left in right
        case ast.NotIn():
            return left not in right
        case _:
            return _compared(op, left, right)


def _compared(op: ast.operator | ast.cmpop, left: Any, right: Any) -> bool:
    match op:
        case ast.Eq():
            return bool(left == right)
        case ast.NotEq():
            return bool(left != right)
        case ast.Lt():
            return bool(left < right)
        case ast.LtE():
            return bool(left <= right)
        case ast.Gt():
            return bool(left > right)
        case ast.GtE():
            return bool(left >= right)
        case _:
            raise ValueError(f"no operator of conditions: {ast.dump(op)}")

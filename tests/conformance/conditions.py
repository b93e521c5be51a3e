"""The conditions of the cases, as expressions of Headrace. They are parsed, never evaluated as Python."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from functools import reduce
from typing import Any

from headrace import col, fn, matched
from headrace.topology.expr import Expr, Literal
from tests.conformance.cases import FormatError

PREFIX = "f_"
"""The fields of an event are columns of these names: what a case calls its fields cannot clash with anything."""

_REFERENCES = {"count", "sum", "first", "last"}


def translate(condition: str, lists: frozenset[str]) -> Expr:
    """Return the expression for a condition; ``lists`` are the fields that hold lists."""
    return _Translator(lists).of(_parsed(condition))


def fields(condition: str) -> Iterator[tuple[str, type | None]]:
    """Yield the fields that a condition reads, each with the type of a constant that it is compared with."""
    body = _parsed(condition)
    called = {id(node.func) for node in ast.walk(body) if isinstance(node, ast.Call)}
    references = {
        id(n) for node in ast.walk(body) if isinstance(node, ast.Call) for arg in node.args for n in ast.walk(arg)
    }
    for node in ast.walk(body):
        if isinstance(node, ast.Name) and id(node) not in called | references:
            yield node.id, _compared_with(body, node)
        elif isinstance(node, ast.Attribute):
            yield node.attr, _compared_with(body, node)


def _parsed(condition: str) -> ast.expr:
    try:
        return ast.parse(condition, mode="eval").body
    except SyntaxError as error:
        raise FormatError(f"condition {condition!r}: {error}") from error


def _compared_with(body: ast.expr, wanted: ast.expr) -> type | None:
    for node in ast.walk(body):
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            if wanted in sides:
                constants = [c.value for side in sides for c in ast.walk(side) if isinstance(c, ast.Constant)]
                return type(constants[0]) if constants else None
    return None


class _Translator:
    def __init__(self, lists: frozenset[str]) -> None:
        self.lists = lists

    def of(self, node: ast.expr) -> Expr:  # noqa: PLR0911 - one for each kind of node
        match node:
            case ast.Constant(bool() | int() | float() | str() as constant):
                return Literal(constant)
            case ast.Name(name):
                return col[PREFIX + name]
            case ast.Call(ast.Name("count"), [ast.Name(step)], []):
                return matched.count(step)
            case ast.Call(ast.Name("sum"), [ast.Attribute(ast.Name(step), name)], []):
                return matched.sum(step, col[PREFIX + name])
            case ast.Attribute(ast.Call(ast.Name("first"), [ast.Name(step)], []), name):
                return matched.first(step)[PREFIX + name]
            case ast.Attribute(ast.Call(ast.Name("last"), [ast.Name(step)], []), name):
                return matched.last(step)[PREFIX + name]
            case ast.BoolOp(op, parts):
                both = isinstance(op, ast.And)
                return reduce(lambda a, b: a & b if both else a | b, map(self.of, parts))
            case ast.UnaryOp(op, operand):
                return self.unary(op, self.of(operand))
            case ast.BinOp(left, op, right):
                return _arithmetic(op, self.of(left), self.of(right))
            case ast.Compare(left, [ast.In()], [right]):
                return self.member(left, right)
            case ast.Compare(left, [ast.NotIn()], [right]):
                return ~self.member(left, right)
            case ast.Compare(left, [op], [right]):
                return _comparison(op, self.of(left), self.of(right))
            case _:
                raise FormatError(f"no condition: {ast.unparse(node)}")

    def unary(self, op: ast.unaryop, operand: Expr) -> Expr:
        match op:
            case ast.Not():
                return ~operand
            case ast.USub():
                return Literal(-operand.value) if isinstance(operand, Literal) else -operand  # type: ignore[operator]
            case ast.UAdd():
                return operand
            case _:
                raise FormatError(f"no operator of conditions: {ast.dump(op)}")

    def member(self, item: ast.expr, whole: ast.expr) -> Expr:
        """Return the test for an item of a list, or for a part of a text."""
        if isinstance(whole, ast.List | ast.Tuple | ast.Set):
            options = [self.of(option) for option in whole.elts]
            if all(isinstance(option, Literal) for option in options):
                return self.of(item).is_in([option.value for option in options])
            return reduce(lambda a, b: a | b, (self.of(item) == option for option in options))
        if isinstance(whole, ast.Name | ast.Attribute) and _field(whole) in self.lists:
            return fn.contains_element(self.of(whole), self.of(item))
        return fn.contains(self.of(whole), self.of(item))


def _field(node: ast.Name | ast.Attribute) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr


def _arithmetic(op: ast.operator, left: Expr, right: Expr) -> Expr:
    match op:
        case ast.Add():
            return left + right
        case ast.Sub():
            return left - right
        case ast.Mult():
            return left * right
        case ast.Div():
            return left / right
        case _:
            raise FormatError(f"no operator of conditions: {ast.dump(op)}")


def _comparison(op: ast.cmpop, left: Expr, right: Expr) -> Expr:
    match op:
        case ast.Eq():
            return left == right
        case ast.NotEq():
            return left != right
        case ast.Lt():
            return left < right
        case ast.LtE():
            return left <= right
        case ast.Gt():
            return left > right
        case ast.GtE():
            return left >= right
        case _:
            raise FormatError(f"no operator of conditions: {ast.dump(op)}")


def columns(conditions: Iterable[str], events: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the fields that conditions read, with the type that their values in the events have."""
    read: dict[str, type | None] = {}
    for condition in conditions:
        for name, compared in fields(condition):
            read[name] = read.get(name) or compared
    rows = list(events)
    return {name: _type(name, [e[name] for e in rows if e.get(name) is not None], read[name]) for name in read}


def _type(name: str, values: list[Any], compared: type | None) -> Any:
    types = {type(value) for value in values}
    if not types:
        return compared or float  # no event has it: it is null
    if types <= {int, float} and len(types) > 1:
        return float
    if len(types) > 1:
        raise FormatError(f"field {name!r} has values of several types: {sorted(t.__name__ for t in types)}")
    if types == {list}:
        return list[_type(name, [item for value in values for item in value], None)]  # type: ignore[misc]
    return types.pop()

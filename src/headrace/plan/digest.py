"""Digests of Python functions: whether the code behind a name is still the same.

A digest covers the function's own code, its defaults and what it closes over, whatever the file,
the line or the process. It does not follow what the code looks up by name: other functions, constants of its module.
"""

from __future__ import annotations

import functools
import hashlib
import sys
from collections.abc import Callable, Iterable, Iterator
from types import CodeType, FunctionType, MethodType

from headrace.topology.expr import Apply, Expr
from headrace.topology.nodes import Broadcast, Explode, Filter, GroupBy, Handle, Merge, Node, Select, Sink, Source
from headrace.topology.operator import Operator
from headrace.topology.trees import walk

PYTHON = f"{sys.implementation.name}-{sys.version_info.major}.{sys.version_info.minor}"
"""The begin of every digest: compilers of different versions make different code of one source."""

_PLAIN = (bool, int, float, complex, str, bytes, type(None), type(...))
_LENGTH = 16


def digest(function: Callable[..., object]) -> str:
    """Return a digest of a callable such as ``cpython-3.11:0123456789abcdef``."""
    text = "\n".join(_parts(function, frozenset()))
    return f"{PYTHON}:{hashlib.sha256(text.encode(errors='surrogatepass')).hexdigest()[:_LENGTH]}"


def python_of(digest: str) -> str:
    """Return the version of Python that a digest was made by."""
    return digest.rpartition(":")[0]


def functions_of(node: Node) -> tuple[Callable[..., object], ...]:
    """Return the Python functions that a step calls, in order."""
    applied = (found.function for expr in _expressions(node) for found in walk(expr) if isinstance(found, Apply))
    own: tuple[Callable[..., object], ...] = ()
    match node:
        case Handle(function=function):
            own = (function,)
        case Operator():
            own = node.functions()
        case _:
            pass
    return (*applied, *own)


def _expressions(node: Node) -> Iterable[Expr]:
    match node:
        case Filter():
            found: Iterable[object] = (node.condition,)
        case Select():
            found = tuple(expr for _, expr in node.columns)
        case Explode():
            found = (node.items,)
        case GroupBy():
            found = tuple(expr for _, expr in node.keys)
        case Operator():
            found = node.expressions()
        case Source():
            found = (node.key, node.time)
        case Sink():
            found = (node.topic, node.key)
        case Merge() | Broadcast() | Handle():
            found = ()
    return [expr for expr in found if isinstance(expr, Expr)]


def _parts(value: object, seen: frozenset[int]) -> Iterator[str]:
    """Yield what tells a value from others in any process: never an address, never an order by hash."""
    if id(value) in seen:
        yield "itself"
        return
    seen |= {id(value)}
    match value:
        case FunctionType():
            yield "function"
            yield from _code(value.__code__, seen, documented=value.__doc__ is not None)
            cells = [_content(cell) for cell in value.__closure__ or ()]
            yield from _parts((value.__defaults__, value.__kwdefaults__, *cells), seen)
        case MethodType():
            yield from _parts(value.__func__, seen)
        case functools.partial():
            yield from _parts((value.func, value.args, value.keywords), seen)
        case CodeType():
            yield from _code(value, seen, documented=False)
        case tuple() | list():
            yield f"{type(value).__name__} {len(value)}"
            for item in value:
                yield from _parts(item, seen)
        case dict():
            yield f"dict {len(value)}"
            for key, item in value.items():
                yield from _parts(key, seen)
                yield from _parts(item, seen)
        case set() | frozenset():
            yield f"set {len(value)}"
            yield from sorted("\n".join(_parts(item, seen)) for item in value)
        case _:
            yield from _opaque(value, seen)


def _opaque(value: object, seen: frozenset[int]) -> Iterator[str]:
    kind = value if isinstance(value, type) else type(value)
    yield f"{kind.__module__}.{kind.__qualname__}"
    if isinstance(value, _PLAIN):
        yield repr(value)
    elif not isinstance(value, type):
        call = getattr(kind, "__call__", None)  # noqa: B004 - the code of objects that are called
        if isinstance(call, FunctionType):
            yield from _parts(call, seen)
        elif kind.__module__ in ("builtins", "operator", "_operator"):
            yield str(getattr(value, "__qualname__", "")) or repr(value).partition(" at 0x")[0]


def _code(code: CodeType, seen: frozenset[int], *, documented: bool) -> Iterator[str]:
    yield code.co_code.hex()
    yield from (*code.co_names, *code.co_varnames, *code.co_freevars)
    # A docstring is the first constant, and changes nothing.
    yield from _parts(code.co_consts[1:] if documented else code.co_consts, seen)


def _content(cell: object) -> object:
    try:
        return getattr(cell, "cell_contents", None)
    except ValueError:  # not filled yet
        return None

"""A schema, records and a scope over dicts, shared by the tests of the language."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from headrace.event.dtypes import (
    ANY,
    BOOL,
    BYTES,
    DATE,
    DECIMAL,
    DURATION,
    FLOAT,
    INT,
    STR,
    TIMESTAMP,
    DType,
    Kind,
    struct,
)
from headrace.operators.expressions import Code, Emitter, field_code
from headrace.topology.expr import Expr
from headrace.topology.typing import META, infer

ADDRESS = struct(city=STR, zip=STR.optional())
SCHEMA = struct(
    i=INT,
    ni=INT.optional(),
    f=FLOAT,
    nf=FLOAT.optional(),
    d=DECIMAL,
    nd=DECIMAL.optional(),
    s=STR,
    ns=STR.optional(),
    b=BOOL,
    nb=BOOL.optional(),
    raw=BYTES,
    t=TIMESTAMP,
    nt=TIMESTAMP.optional(),
    day=DATE,
    lasts=DURATION,
    nlasts=DURATION.optional(),
    status=DType(Kind.STR, choices=("open", "closed")),
    items=DType(Kind.LIST, item=INT),
    nitems=DType(Kind.LIST, nullable=True, item=STR.optional()),
    tags=DType(Kind.MAP, item=INT),
    address=ADDRESS,
    naddress=ADDRESS.optional(),
    any=ANY,
)
NOON = datetime(2024, 2, 29, 12, 34, 56, 789_000, tzinfo=UTC)
RECORD: dict[str, Any] = {
    "i": 7,
    "ni": None,
    "f": 2.5,
    "nf": None,
    "d": Decimal("1.25"),
    "nd": None,
    "s": " Ada ",
    "ns": None,
    "b": True,
    "nb": None,
    "raw": b"raw",
    "t": NOON,
    "nt": None,
    "day": NOON.date(),
    "lasts": timedelta(minutes=5),
    "nlasts": None,
    "status": "open",
    "items": [1, 2, 3],
    "nitems": None,
    "tags": {"a": 1},
    "address": {"city": "Bonn", "zip": None},
    "naddress": None,
    "any": None,
}
METAS: dict[str, Any] = {"time": NOON, "key": None, "topic": "orders", "partition": 3, "offset": 42}


class DictScope:
    """Columns are items of the dict ``r``; properties are locals ``m_<name>``."""

    def column(self, path: tuple[str, ...]) -> tuple[str, DType]:
        code = Code("r", SCHEMA)
        for name in path:
            code = field_code(code.text, code.dtype, name)
        return code.text, code.dtype

    def meta(self, name: str) -> tuple[str, DType]:
        return f"m_{name}", META[name]


def faults(expr: Expr) -> list[tuple[str, str, str]]:
    found: list[tuple[str, str, str]] = []
    infer(expr, SCHEMA, lambda *fault: found.append(fault))
    return found


def dtype_of(expr: Expr) -> DType:
    assert faults(expr) == []
    return infer(expr, SCHEMA, lambda *_: None)


def compiled(expr: Expr, *, condition: bool = False) -> tuple[Any, dict[str, object], str]:
    """Return the function of a record that the generated code is, its globals and the text."""
    names: dict[str, object] = {}
    emitter = Emitter(names)
    text = emitter.condition(expr, DictScope()) if condition else emitter.emit(expr, DictScope()).text
    parameters = ", ".join(["r", *(f"m_{name}" for name in METAS)])
    exec(f"def run({parameters}):\n    return {text}", names)
    return names["run"], names, text


def run(expr: Expr, **changes: Any) -> Any:
    """Type-check, generate and run an expression over the sample record with changes."""
    assert faults(expr) == []
    function, _, _ = compiled(expr)
    return function({**RECORD, **changes}, **{f"m_{name}": value for name, value in METAS.items()})

"""The validation promise, field kind by field kind: decode-or-recover and pydantic agree on records and values."""

from __future__ import annotations

import json
import math
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    create_model,
)

from headrace.errors import DataError
from headrace.event import REFUSALS, Decoder, compile_decoder


class Colour(str, Enum):  # noqa: UP042 - the older spelling is common in schemas
    RED = "red"
    GREEN = "green"


class Level(IntEnum):
    LOW = 1
    HIGH = 2


class Address(BaseModel):
    city: str
    since: datetime | None = None
    zips: list[int] = []


class Card(BaseModel):
    kind: Literal["card"]
    number: int


class Cash(BaseModel):
    kind: Literal["cash", "coins"]
    at: datetime


class Tree(BaseModel):
    name: str
    children: list[Tree] = []


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")
    a: int


KINDS: dict[str, Any] = {
    "int": int,
    "int-bounded": Annotated[int, Field(gt=-5, le=10**12, multiple_of=5)],
    "float": float,
    "float-bounded": Annotated[float, Field(ge=0, lt=100)],
    "float-finite": Annotated[float, Field(allow_inf_nan=False)],
    "float-multiple": Annotated[float, Field(multiple_of=0.5)],
    "decimal": Decimal,
    "decimal-digits": Annotated[Decimal, Field(max_digits=5, decimal_places=2, ge=0)],
    "str": str,
    "str-length": Annotated[str, Field(min_length=1, max_length=3)],
    "str-pattern": Annotated[str, Field(pattern=r"^[a-z]+\d*$")],
    "str-pattern-words": Annotated[str, Field(pattern=r"^\w+([-.]\w+)*$")],
    "str-pattern-exotic": Annotated[str, Field(pattern=r"^\p{Lu}+$")],
    "bool": bool,
    "datetime": datetime,
    "datetime-optional": datetime | None,
    "date": date,
    "duration": timedelta,
    "enum": Colour,
    "enum-int": Level,
    "literal": Literal["a", "b"],
    "literal-int": Literal[1, 2],
    "literal-mixed": Literal["a", 1, True, None],
    "optional": int | None,
    "uuid": UUID,
    "bytes": bytes,
    "any": Any,
    "nested": Address,
    "nested-optional": Address | None,
    "nested-strict": Strict,
    "nested-recursive": Tree,
    "list": list[int],
    "list-bounded": Annotated[list[str], Field(min_length=1, max_length=2)],
    "list-times": list[datetime | None],
    "list-nested": list[Address],
    "set": set[int],
    "tuple": tuple[int, str],
    "dict": dict[str, int],
    "dict-nested": dict[str, Address],
    "dict-int-keys": dict[int, str],
    "union": int | str,
    "union-discriminated": Annotated[Card | Cash, Field(discriminator="kind")],
    "validator-before": Annotated[int, BeforeValidator(lambda v: v * 2 if isinstance(v, int) else v)],
    "validator-after": Annotated[str, AfterValidator(str.upper)],
}


def pieces(text: str, separator: str | None = None) -> list[str]:
    return [piece.strip("\n ") for piece in text.split(separator)]


NUMBERS = pieces("""0 -0 -0.0 1 1.0 5 10.5 1e2 1E2 1e400 -1e400 1e-400
    NaN Infinity -Infinity 01 1. .5 - +1 99.5 100 2 0x10
    9007199254740993 9007199254740993.0 9223372036854775807 9223372036854775808 18446744073709551616 1e19 0.1
    123456789012345678901234567890.5 1700000000 1700000000000 1700000000.5 -62135596801 253402300800 -1""")
STRINGS = pieces(
    """|1|1.0|1.50|-5|NaN|Infinity|1_000|true|True|yes|a|b|ab|abcd|abc1|abc1\\n|ab-c.d|ÄÖ|é|٣|a٣|red|RED
    |2024-01-01|2024-1-1|20240101|2024-W01-1|2024-W01-1T00:00:00Z|2024-01-01T00:00:00Z|2024-01-01T00:00:00
    |2024-01-01 00:00:00|2024-01-01t00:00:00z|2024-01-01T00:00Z|2024-01-01T00:00:00.Z|2024-01-01T00:00:00,5Z
    |2024-01-01T00:00:00.1Z|2024-01-01T00:00:00.123456Z|2024-01-01T00:00:00.9999999Z|2024-01-01T24:00:00Z
    |2024-01-01T00:00:60Z|2024-02-30T00:00:00Z|2024-01-01T00:00:00+01:00|2024-01-01T00:00:00+0100
    |2024-01-01T00:00:00+24:00|2024-01-01T00:00:00-23:59|2024-01-01T00:00:00+05|0001-01-01T00:00:00Z
    |0001-01-01T00:00:00+01:00|9999-12-31T23:59:59Z|9999-12-31T23:59:59-01:00|0000-01-01T00:00:00Z|1700000000
    |1700000000000|P1D|PT1H|12345678-1234-5678-1234-567812345678|12345678123456781234567812345678
    |2024-01-01T00:00:00.1+01Z|2024-01-01T0a:00:00Z|card|cash|\\u0000|\\ud83d\\ude00|\\ud800|\\udc00x|\\q|\x01
    |2024-01-01T00:00:00Z1Z|2024-01-01T00:00:00Z+1Z|2024-01-01T00:00:00.1234567891Z|2024-01-01T00:00:00.-1Z""",
    "|",
)
STRUCTURES = pieces("""null true false [] {} [1] [1,2] ["a"] ["1",2.0] [null] [1,"a"]
    ["2024-01-01T00:00:00Z",null,1700000000]
    [[1]] {"city":"x"} {"city":1} {"city":"x","zips":["1"]} {"city":"x","since":"2024-01-01T00:00:00+02:00","zips":[1]}
    {"city":"x","city":2} {"city":2,"city":"x"} [{"city":"x"}] [{"city":null}]
    {"a":1} {"a":1,"b":2} {"a":"1"} {"a":{"city":"x"}}
    {"1":"x"} {"kind":"card","number":1} {"kind":"card","number":"1"} {"kind":"cash","at":"2024-01-01"} {"kind":"x"}
    {"kind":"coins","at":1700000000} {"number":1} {"name":"r","children":[{"name":"c"}]} {"name":"r","children":[{}]}
    {"a":1e400} {"a":NaN} [1,] tru [1 {"a" """)
RAW = [*NUMBERS, *(f'"{text}"' for text in STRINGS), '" 1 "', *STRUCTURES]

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=5),
    st.datetimes().map(datetime.isoformat),
    st.datetimes(timezones=st.just(UTC)).map(lambda t: t.isoformat().replace("+00:00", "Z")),
    st.decimals(allow_nan=False).map(str),
    st.from_regex(r"[a-z]{1,3}[0-9]{0,2}\n?", fullmatch=True),
)
generated = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["city", "since", "zips", "a", "kind", "number", "at"]), inner, max_size=3),
    ),
    max_leaves=4,
).map(lambda value: json.dumps(value, ensure_ascii=False))
raw_json = st.one_of(st.sampled_from(RAW), generated)


def final(value: Any) -> Any:
    """Say what pydantic's value must be as a column, independently of the code under test."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, BaseModel):
        return {name: final(getattr(value, name)) for name in type(value).model_fields}
    if isinstance(value, dict):
        return {str(final(k)): final(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [final(v) for v in value]
    if isinstance(value, set):
        return sorted(value)
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    return str(value) if isinstance(value, UUID) else value


def same(left: Any, right: Any) -> bool:
    if isinstance(left, float) and isinstance(right, float):
        return left == right or (math.isnan(left) and math.isnan(right))
    if type(left) is not type(right):
        return False
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[k], right[k]) for k in left)
    if isinstance(left, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, datetime):
        return left == right and right.utcoffset() == timedelta(0)
    return bool(left == right)


def read(decoder: Decoder, data: bytes) -> Any:
    try:
        return decoder.decode(data)
    except REFUSALS:
        return decoder.recover(data)


def column(decoder: Decoder, record: Any, *path: str) -> Any:
    return eval(decoder.access[path], {**decoder.names, "r": record})


def oracle(model: type[BaseModel], data: bytes) -> tuple[bool, Any]:
    try:
        return True, final(model.model_validate_json(data))
    except (ValidationError, OverflowError):  # a time that has no UTC form is refused, by the design of columns
        return False, None


def check(model: type[BaseModel], data: bytes, *paths: tuple[str, ...], full: bool = False) -> None:
    decoder = compile_decoder(model, paths, full=full)
    good, expected = oracle(model, data)
    if not good:
        with pytest.raises(DataError) as caught:
            read(decoder, data)
        assert caught.value.expected
        assert 0 < len(caught.value.got) <= 80
        return
    record = read(decoder, data)
    for path in paths:
        want = expected
        for name in path:
            want = want.get(name) if isinstance(want, dict) else None
        for source in (record, decoder.recover(data)):
            assert same(want, column(decoder, source, *path)), (path, want, source)


MODELS = {name: create_model("M", x=(kind, ...)) for name, kind in KINDS.items()}


@pytest.mark.parametrize("full", [False, True], ids=["fields", "full"])
@pytest.mark.parametrize("name", KINDS)
def test_every_near_miss_is_judged_as_pydantic_judges_it(name: str, full: bool) -> None:
    for raw in RAW:
        check(MODELS[name], b'{"x":' + raw.encode() + b"}", ("x",), full=full)


@pytest.mark.parametrize("name", KINDS)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(raw=raw_json)
def test_generated_values_are_judged_as_pydantic_judges_them(name: str, raw: str) -> None:
    check(MODELS[name], f'{{"x":{raw}}}'.encode(errors="surrogatepass"), ("x",))


@pytest.mark.parametrize("raw", [b'"\xff"', b'"\xed\xa0\x80"', b'"\xc0\x80"'])
@pytest.mark.parametrize("name", ["str", "any", "datetime", "nested", "enum"])
def test_invalid_utf8_in_a_planned_field_is_a_data_error(name: str, raw: bytes) -> None:
    check(MODELS[name], b'{"x":' + raw + b"}", ("x",))


def test_invalid_utf8_in_a_skipped_field_is_a_data_error_in_full_validation() -> None:
    check(create_model("M", x=(int, ...)), b'{"x":1,"y":"\xff"}', ("x",), full=True)


class Defaults(BaseModel):
    a: int = 7
    b: str | None = None
    c: list[int] = Field(default_factory=list)
    d: Colour = Colour.RED
    e: datetime = datetime(2024, 1, 1, tzinfo=UTC)
    f: Address = Address(city="home")
    g: Decimal = Decimal("1.5")
    h: dict[str, int] = {}
    i: set[int] = {3}
    j: int = Field(default="5", validate_default=True)  # type: ignore[assignment]


class Aliased(BaseModel):
    model_config = ConfigDict(populate_by_name=True)
    a: int = Field(1, alias="A")
    b: int = Field(alias="B")
    c: int = Field(2, validation_alias=AliasChoices("C", "cc"))


@settings(max_examples=100, deadline=None)
@given(doc=st.dictionaries(st.sampled_from([*"abcdefghij"]), st.sampled_from(RAW), max_size=4))
def test_defaults_are_those_of_pydantic(doc: dict[str, str]) -> None:
    data = ("{" + ",".join(f'"{k}":{v}' for k, v in doc.items()) + "}").encode(errors="surrogatepass")
    check(Defaults, data, *((name,) for name in Defaults.model_fields), ("f", "city"))


@settings(max_examples=100, deadline=None)
@given(doc=st.dictionaries(st.sampled_from(["a", "A", "b", "B", "c", "C", "cc"]), st.sampled_from(["1", "2", '"x"'])))
def test_aliases_are_those_of_pydantic(doc: dict[str, str]) -> None:
    data = ("{" + ",".join(f'"{k}":{v}' for k, v in doc.items()) + "}").encode()
    check(Aliased, data, ("a",), ("b",), ("c",))

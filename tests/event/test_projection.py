"""Which part of a record is judged, and how nested values are reached."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal, Self

import pytest
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from headrace.errors import DataError
from headrace.event import REFUSALS, Decoder, compile_decoder


class Address(BaseModel):
    city: str
    zip: int | None = None


class Order(BaseModel):
    id: int
    amount: float = Field(gt=0)
    at: datetime
    home: Address
    work: Address | None = None
    extra: Any = None


class Ordered(BaseModel):
    low: int
    high: int

    @field_validator("high")
    @classmethod
    def above(cls, value: int, info: ValidationInfo) -> int:
        if value < info.data.get("low", value):
            raise ValueError("below low")
        return value


class Checked(BaseModel):
    low: int
    high: int

    @model_validator(mode="after")
    def ordered(self) -> Self:
        if self.high < self.low:
            raise ValueError("below low")
        return self


class Closed(BaseModel):
    model_config = ConfigDict(extra="forbid")
    a: int


class Left(BaseModel):
    kind: Literal["left"]
    x: int


class Right(BaseModel):
    kind: Literal["right"]
    y: int


class Sided(BaseModel):
    side: Annotated[Left | Right, Field(discriminator="kind")]


def read(decoder: Decoder, data: bytes) -> Any:
    try:
        return decoder.decode(data)
    except REFUSALS:
        return decoder.recover(data)


def value(decoder: Decoder, data: bytes, *path: str) -> Any:
    return eval(decoder.access[path], {**decoder.names, "r": read(decoder, data)})


GOOD = b'{"id":1,"amount":2,"at":"2024-01-01T00:00:00Z","home":{"city":"x","zip":null}}'


def test_plain_fields_are_plain_attributes() -> None:
    decoder = compile_decoder(Order, [("id",), ("amount",), ("work", "city")])
    assert decoder.access["id",] == "r.id"
    assert decoder.access["amount",] == "r.amount"
    assert decoder.access["work", "city"] == "(None if r.work is None else r.work.city)"
    assert all(name.startswith("_e_") for name in decoder.names)


@pytest.mark.parametrize("bad", [b'"amount":-2', b'"amount":"x"', b'"amount":null'])
def test_a_fault_outside_of_the_planned_fields_passes_unless_validation_is_full(bad: bytes) -> None:
    data = GOOD.replace(b'"amount":2', bad)
    assert value(compile_decoder(Order, [("id",)]), data, "id") == 1
    with pytest.raises(DataError, match="field 'amount': expected"):
        read(compile_decoder(Order, [("id",)], full=True), data)


def test_only_the_planned_fields_of_a_nested_model_are_judged() -> None:
    data = GOOD.replace(b'"zip":null', b'"zip":"none"')
    assert value(compile_decoder(Order, [("home", "city")]), data, "home", "city") == "x"
    with pytest.raises(DataError, match=r"field 'home.zip': expected"):
        read(compile_decoder(Order, [("home",)]), data)


def test_a_missing_optional_parent_reads_as_null() -> None:
    decoder = compile_decoder(Order, [("work", "city"), ("extra", "a", "b")])
    assert value(decoder, GOOD, "work", "city") is None
    assert value(decoder, GOOD, "extra", "a", "b") is None
    data = GOOD.replace(b'"id":1', b'"id":1,"extra":{"a":{"b":5}},"work":{"city":"y"}')
    assert value(decoder, data, "extra", "a", "b") == 5
    assert value(decoder, data, "work", "city") == "y"


def test_both_a_nested_value_and_its_field_can_be_read() -> None:
    decoder = compile_decoder(Order, [("home",), ("home", "city")])
    assert value(decoder, GOOD, "home") == {"city": "x", "zip": None}
    assert value(decoder, GOOD, "home", "city") == "x"


def test_a_field_of_one_member_of_a_union_is_null_in_the_others() -> None:
    decoder = compile_decoder(Sided, [("side", "x"), ("side", "kind")])
    assert value(decoder, b'{"side":{"kind":"left","x":3}}', "side", "x") == 3
    assert value(decoder, b'{"side":{"kind":"right","y":3}}', "side", "x") is None
    assert value(decoder, b'{"side":{"kind":"right","y":3}}', "side", "kind") == "right"


def test_a_validator_that_looks_at_other_fields_sees_those_that_are_planned() -> None:
    data = b'{"low":5,"high":3}'
    with pytest.raises(DataError, match="field 'high'"):
        read(compile_decoder(Ordered, [("low",), ("high",)]), data)
    assert value(compile_decoder(Ordered, [("high",)]), data, "high") == 3


def test_a_model_with_a_model_validator_is_judged_whole() -> None:
    decoder = compile_decoder(Checked, [("low",)])
    assert value(decoder, b'{"low":1,"high":3}', "low") == 1
    with pytest.raises(DataError, match="below low"):
        read(decoder, b'{"low":5,"high":3}')


def test_forbidden_extra_fields_are_refused_where_the_whole_record_is_judged() -> None:
    data = b'{"a":1,"b":2}'
    assert value(compile_decoder(Closed, [("a",)]), data, "a") == 1
    with pytest.raises(DataError, match="field 'b'"):
        read(compile_decoder(Closed, [("a",)], full=True), data)


def test_a_time_with_no_utc_form_is_a_data_error_that_names_field_expected_and_got() -> None:
    data = GOOD.replace(b"2024-01-01T00:00:00Z", b"0001-01-01T00:00:00+01:00")
    with pytest.raises(DataError) as caught:
        read(compile_decoder(Order, [("at",)]), data)
    assert (caught.value.field, caught.value.expected) == ("at", "a time within years 1 to 9999 in UTC")
    assert caught.value.got.startswith("datetime.datetime(1, 1, 1")


@pytest.mark.parametrize("year", [b"0001", b"9999"])
def test_a_time_that_is_no_event_time_may_lie_at_the_ends_of_the_calendar(year: bytes) -> None:
    data = GOOD.replace(b"2024-01-01", year + b"-12-31")
    assert value(compile_decoder(Order, [("at",)]), data, "at").year == int(year)


def test_a_record_of_50_megabytes_is_told_in_80_characters() -> None:
    data = GOOD.replace(b'"amount":2', b'"amount":"' + b"x" * 50_000_000 + b'"')
    with pytest.raises(DataError) as caught:
        read(compile_decoder(Order, [("amount",)]), data)
    assert len(caught.value.got) <= 80
    assert len(str(caught.value)) < 250


def test_the_message_of_truncated_json_says_so() -> None:
    with pytest.raises(DataError, match=r"record: expected valid JSON .*, got b'"):
        read(compile_decoder(Order, [("id",)]), GOOD[:-3])


def test_an_unknown_column_is_refused_when_the_decoder_is_compiled() -> None:
    with pytest.raises(ValueError, match="no field 'nope': expected one of amount, at"):
        compile_decoder(Order, [("nope",)])


def _raise_key_error(value: int) -> int:
    raise KeyError(value)


class Raising(BaseModel):
    x: Annotated[int, AfterValidator(_raise_key_error)]


class WholeTime(BaseModel):
    at: datetime

    @model_validator(mode="after")
    def nothing(self) -> Self:
        return self


def test_a_validator_that_raises_anything_ends_in_a_data_error() -> None:
    decoder = compile_decoder(Raising, [("x",)])
    with pytest.raises(REFUSALS):
        decoder.decode(b'{"x":1}')
    with pytest.raises(DataError, match="KeyError"):
        decoder.recover(b'{"x":1}')


def test_a_time_with_no_utc_form_is_a_data_error_in_a_model_judged_whole() -> None:
    with pytest.raises(DataError, match="years 1 to 9999"):
        read(compile_decoder(WholeTime, [("at",)]), b'{"at":"0001-01-01T00:00:00+01:00"}')

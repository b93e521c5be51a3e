"""Events: envelope, versions, schema types, compatible changes."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from enum import Enum
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field, ValidationError

from headrace.errors import DataError, TopologyError
from headrace.event import (
    REFUSALS,
    Envelope,
    Event,
    check_versions,
    compatible,
    compile_decoder,
    default_time,
    schema_json,
    schema_type,
    upcaster,
)


class Placed(Event, type="test.order.placed", version=3):
    order_id: str
    total: float = Field(gt=0)


@upcaster(Placed, from_version=1)
def _named(data: dict[str, Any]) -> dict[str, Any]:
    return {"order_id": data["id"], "total": data["total"]}


@upcaster(Placed, from_version=2)
def _whole(data: dict[str, Any]) -> dict[str, Any]:
    return {**data, "total": data["total"] / 100}


class Gapped(Event, type="test.gapped", version=4):
    a: int


@upcaster(Gapped, from_version=1)
def _same(data: dict[str, Any]) -> dict[str, Any]:
    return data


PATHS = [("order_id",), ("total",), ("envelope", "time"), ("envelope", "tenant"), ("envelope",)]
EVENT = Placed.of(
    order_id="o1",
    total=2.5,
    envelope=Envelope(id="e1", time=datetime(2024, 1, 1, tzinfo=UTC), entity_type="order"),
    tenant="acme",
)


def wire(**changes: Any) -> bytes:
    record = {**json.loads(EVENT.to_json()), **changes}
    return json.dumps({name: value for name, value in record.items() if value is not ...}).encode()


def read(data: bytes, *, full: bool = False) -> dict[tuple[str, ...], Any]:
    decoder = compile_decoder(Placed, PATHS, full=full)
    try:
        record = decoder.decode(data)
    except REFUSALS:
        record = decoder.recover(data)
    return {path: eval(code, {**decoder.names, "r": record}) for path, code in decoder.access.items()}


def test_the_wire_form_is_structured_cloudevents() -> None:
    assert json.loads(EVENT.to_json()) == {
        "specversion": "1.0",
        "id": "e1",
        "source": "headrace",
        "type": "test.order.placed",
        "time": "2024-01-01T00:00:00Z",
        "datacontenttype": "application/json",
        "dataversion": 3,
        "entitytype": "order",
        "tenant": "acme",
        "data": {"order_id": "o1", "total": 2.5},
    }


def test_an_event_comes_back_from_the_wire_as_it_was() -> None:
    assert Placed.from_json(EVENT.to_json()) == EVENT


def test_events_are_frozen_and_new_ones_get_an_id_and_a_time() -> None:
    one, two = Placed(order_id="a", total=1), Placed(order_id="a", total=1)
    assert one.envelope.id != two.envelope.id
    assert one.envelope.time.tzinfo is UTC
    assert (one.envelope.type, one.envelope.dataversion) == ("test.order.placed", 3)
    with pytest.raises(ValidationError, match="frozen"):
        one.total = 2


@pytest.mark.parametrize("full", [False, True], ids=["fields", "full"])
def test_data_and_envelope_are_columns(full: bool) -> None:
    columns = read(EVENT.to_json(), full=full)
    assert columns["order_id",] == "o1"
    assert columns["envelope", "time"] == datetime(2024, 1, 1, tzinfo=UTC)
    assert columns["envelope", "tenant"] == "acme"
    assert columns["envelope",] == EVENT.envelope.model_dump()


@pytest.mark.parametrize("full", [False, True], ids=["fields", "full"])
def test_an_event_of_its_own_version_takes_the_fast_path(full: bool) -> None:
    compile_decoder(Placed, PATHS, full=full).decode(EVENT.to_json())


@pytest.mark.parametrize("version", [1, ..., True])
def test_the_first_version_is_upcast_through_all_steps(version: Any) -> None:
    if version is True:
        version = "1"
    data = wire(dataversion=version, data={"id": "old", "total": 250})
    assert read(data)["order_id",] == "old"
    assert read(data)["total",] == 2.5
    assert Placed.from_json(data).order_id == "old"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"type": "other"}, "field 'type': expected 'test.order.placed', got 'other'"),
        ({"dataversion": 4}, "field 'dataversion': expected a version between 1 and 3 of test.order.placed, got 4"),
        ({"specversion": "0.3"}, "field 'specversion': expected '1.0', got '0.3'"),
        ({"time": ...}, "field 'time': expected a value, got nothing: the field is missing"),
        ({"data": ...}, "field 'data': expected a value, got nothing: the field is missing"),
        ({"data": {"order_id": "a", "total": 0}}, "field 'data.total': expected greater than 0, got 0"),
        (
            {"dataversion": 1, "data": {"total": 1}},
            "field 'data': expected data that the upcaster from version 1 takes, got {'total': 1} (KeyError: 'id')",
        ),
    ],
)
def test_a_bad_event_is_a_data_error_with_field_expected_and_got(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError) as caught:
        read(wire(**changes))
    assert str(caught.value) == message


def test_a_gap_between_upcasters_is_refused_at_declaration() -> None:
    with pytest.raises(TopologyError, match="expected an upcaster from version 2 to 3, got none"):
        check_versions(Gapped)
    with pytest.raises(TopologyError, match="expected an upcaster from version 3 to 4"):
        compile_decoder(Gapped, [("a",)])


def test_an_upcaster_beyond_the_version_or_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="expected from_version between 1 and 2, got 3"):
        upcaster(Placed, from_version=3)
    with pytest.raises(ValueError, match="has one already"):
        upcaster(Placed, from_version=1)(dict)


class Colour(str, Enum):  # noqa: UP042 - the older spelling is common in schemas
    RED = "red"


class Left(BaseModel):
    kind: Literal["left"]
    x: int


class Right(BaseModel):
    kind: Literal["right"]
    x: int
    y: str | None = None


class Thing(BaseModel):
    n: int | None = None
    wire: float = Field(alias="Wire")
    tags: list[str]
    counts: dict[str, int]
    colour: Colour
    side: Annotated[Left | Right, Field(discriminator="kind")]
    mixed: int | str


def test_schema_types_name_fields_as_python_does() -> None:
    assert str(schema_type(Thing)) == (
        "{n: int?, wire: float, tags: list[str], counts: map[int], colour: str, "
        "side: {kind: str, x: int, y: str?}, mixed: any?}"
    )
    colour, side = schema_type(Thing).field("colour"), schema_type(Thing).field("side")
    assert colour is not None
    assert colour.choices == ("red",)
    assert side is not None
    assert dict(side.fields)["kind"].choices == ("left", "right")
    assert default_time(Thing) is None


def test_the_envelope_is_a_column_of_an_event() -> None:
    envelope = schema_type(Placed).field("envelope")
    assert envelope is not None
    assert [name for name, _ in envelope.fields] == list(Envelope.model_fields)
    assert default_time(Placed) == ("envelope", "time")


class Before(BaseModel):
    a: int
    b: str
    c: Literal["x", "y"] = "x"
    d: list[Left] = []
    e: int | None = None


@pytest.mark.parametrize(
    ("fields", "faults"),
    [
        ({}, []),
        ({"a": (float, ...)}, []),
        ({"new": (int, 1)}, []),
        ({"c": (Literal["x", "y", "z"], "x")}, []),
        ({"new": (int, ...)}, ["new: new required field without a default"]),
        ({"a": (str, ...)}, ["a: type changed from integer to string"]),
        ({"c": (Literal["x"], "x")}, ["c: enumeration narrowed, no longer allows y"]),
        ({"e": (int, 1)}, ["e: null was allowed and is not any more"]),
        ({"a": (Annotated[int, Field(ge=1)], ...)}, ["a: minimum narrowed from None to 1"]),
        ({"d": (list[Right], [])}, ["d[].kind: enumeration narrowed, no longer allows left"]),
        ({"a": None}, ["a: required field was removed or renamed"]),
    ],
)
def test_incompatible_changes_are_told_and_compatible_ones_pass(fields: dict[str, Any], faults: list[str]) -> None:
    from pydantic import create_model

    base = {name: (info.annotation, info) for name, info in Before.model_fields.items()} | fields
    after = create_model("Before", **{name: kind for name, kind in base.items() if kind is not None})
    assert compatible(schema_json(Before), schema_json(after)) == faults


def test_the_json_schema_of_an_event_is_that_of_its_data() -> None:
    assert set(schema_json(Placed)["properties"]) == {"order_id", "total"}
    assert compatible(schema_json(Placed), schema_json(Placed)) == []


class Closed(Event, type="test.closed", extra="forbid"):
    a: int


def test_full_validation_refuses_extra_data_where_the_schema_forbids_it() -> None:
    record = json.loads(Closed(a=1).to_json())
    data = json.dumps({**record, "data": {"a": 1, "b": 2}}).encode()
    assert compile_decoder(Closed, [("a",)]).decode(data).data.a == 1
    with pytest.raises(DataError, match=r"field 'data\.b'"):
        compile_decoder(Closed, [("a",)], full=True).recover(data)
    with pytest.raises(REFUSALS):
        compile_decoder(Closed, [("a",)], full=True).decode(data)


@pytest.mark.parametrize("year", ["0001", "9999"])
def test_an_envelope_time_at_the_ends_of_the_calendar_is_a_data_error(year: str) -> None:
    with pytest.raises(DataError, match="field 'time': expected an event time within years 2 to 9998"):
        read(wire(time=f"{year}-06-01T00:00:00Z"))

"""Live parameters: columns whose values a control stream sets while the topology runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from pydantic import BaseModel, ConfigDict

from headrace.event.dtypes import ANY, BOOL, FLOAT, INT, STR, TIMESTAMP, DType, struct
from headrace.topology.declaration import Declaration, shown
from headrace.topology.nodes import Broadcast
from headrace.topology.operator import Operator, Path, Port
from headrace.topology.routes import Consistency, Hold

Value = bool | int | float | str
Defaults = tuple[tuple[str, Value], ...]

SETTING = struct(name=STR, op=STR.optional(), value=ANY, version=INT.optional(), effective_from=TIMESTAMP.optional())
"""The columns of a change, as :class:`ParameterChange` has them."""

_TYPES: dict[type, DType] = {bool: BOOL, int: INT, float: FLOAT, str: STR}


class ParameterChange(BaseModel):
    """A record of a control topic: set a parameter (``op`` "put"), or give it its default again ("remove").

    It counts for records whose event time is ``effective_from`` or later, but never earlier than its own event time,
    which is the default.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    value: object = None
    op: str = "put"
    version: int = 1
    effective_from: datetime | None = None


@dataclass(frozen=True, slots=True, eq=False)
class ParameterCheck(Operator):
    """Let changes pass that set one of these parameters to a value of its type; say of the others what is wrong."""

    id: str
    input: Port
    defaults: Defaults
    inline: ClassVar[frozenset[str]] = frozenset({"out", "rejected"})

    @property
    def inputs(self) -> tuple[Port, ...]:
        """The port that it reads."""
        return (self.input,)

    def details(self) -> str:
        """Return its parameters as text."""
        return ", ".join(f"{name}: {dtype}" for name, dtype in types_of(self.defaults).items())


@dataclass(frozen=True, slots=True, eq=False)
class Parameters(Operator):
    """Add the values in force at a record's event time as columns."""

    id: str
    input: Port
    control: Port
    defaults: Defaults
    history_ms: int
    inline: ClassVar[frozenset[str]] = frozenset({"with"})

    @property
    def inputs(self) -> tuple[Port, ...]:
        """The ports that it reads: the changes first, for its state is made of them, whatever the records look like."""
        return (self.control, self.input)

    def details(self) -> str:
        """Return what decides the state: the types, not the defaults, which are no part of it."""
        types = ", ".join(f"{name}: {dtype}" for name, dtype in types_of(self.defaults).items())
        return f"{types}, history {self.history_ms} ms"

    def reads(self, port: Port, needed: Callable[[str], set[Path]], columns: DType) -> set[Path]:
        """Return all columns of a change; of the records, what the steps behind need."""
        if port == self.control:
            return {(name,) for name, _ in columns.fields}
        names = {name for name, _ in self.defaults}
        return {path for path in needed("with") if path[0] not in names}


@dataclass(frozen=True, slots=True)
class LiveParameters:
    """How parameters were declared."""

    control: Port
    consistency: Consistency
    history_ms: int


def types_of(defaults: Defaults) -> dict[str, DType]:
    """Return the type of each parameter: that of its default."""
    return {name: _TYPES[type(value)] for name, value in defaults}


def live_parameters(
    declared: Declaration, id: str, port: Port, live: LiveParameters, given: Mapping[str, object]
) -> Port:
    """Add the steps; return the port of the records with their parameters."""
    defaults: list[tuple[str, Value]] = []
    for name, value in given.items():
        if isinstance(value, bool | int | float | str):
            defaults.append((name, value))
        else:
            expected = "a number, a text, or True or False"
            declared.fault(id, name, expected, shown(value), "Give the value to begin with: its type is the column's.")
    if not given:
        declared.fault(id, "parameters", "at least one parameter", "none", "Name them with their defaults: limit=5.")
    checked = declared.add(ParameterCheck(f"{id}.check", live.control, tuple(defaults)))
    changes = declared.add(Broadcast(f"{id}.changes", checked))
    if live.consistency is Consistency.EVENT_TIME:
        port = Port(declared.add(Hold(f"{id}.held", port)).step, "held")
    return Port(declared.add(Parameters(id, port, changes, tuple(defaults), live.history_ms)).step, "with")

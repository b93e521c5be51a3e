"""What every stream is made of."""

from __future__ import annotations

from dataclasses import dataclass

from headrace.topology.declaration import Declaration
from headrace.topology.operator import Port


@dataclass(frozen=True, slots=True, repr=False)
class Streamed:
    """The output port of a step, in a topology under construction."""

    _declared: Declaration
    _port: Port

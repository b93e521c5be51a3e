"""The code of an agent: what the generator made, ready to be bound to tasks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from headrace.plan.model import PlannedStep
from headrace.topology.nodes import Handle, OnError


@dataclass(frozen=True, slots=True)
class SinkSpec:
    """A sink leaf. ``topic`` None: the topic is computed per record."""

    step: str
    topic: str | None


@dataclass(frozen=True, slots=True)
class ExchangeSpec:
    """A group_by at which records leave the task. ``delay_ms``: how far its watermark is held back."""

    step: str
    delay_ms: int


@dataclass(frozen=True, slots=True)
class OperatorSpec:
    """A stateful step. ``delay_ms``: how far its watermark lies behind the task's.

    ``slot_types`` decode a stored state; ``row`` reads one as a dict (None: it is no table); ``kit`` is what its own
    logic needs beside that.
    """

    step: PlannedStep
    delay_ms: int
    slot_types: tuple[Any, ...]
    row: Callable[[Any, list[Any], int, int], dict[str, Any]] | None
    kit: Any


@dataclass(frozen=True, slots=True)
class AgentCode:
    """Generated functions of one agent and what they expect to be bound to.

    ``heads`` take batches of records; ``rows`` take rows that a stateful step emits on a port.
    ``steps_by_line`` tells to which step a line of ``text`` belongs; ``policies`` what becomes of a
    record that entered at a step and fails behind it.
    """

    agent: str
    text: str
    heads: Mapping[str, Callable[..., None]]
    rows: Mapping[tuple[str, str], Callable[..., None]]
    steps_by_line: tuple[str, ...]
    sinks: tuple[SinkSpec, ...]
    exchanges: tuple[ExchangeSpec, ...]
    operators: tuple[OperatorSpec, ...]
    handles: tuple[Handle, ...]
    policies: Mapping[str, OnError]
    filename: str

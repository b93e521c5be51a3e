"""Deduplication: the first record of a key within a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from headrace.event.dtypes import DType
from headrace.topology.operator import Operator, Path, Port


@dataclass(frozen=True, slots=True, eq=False)
class Deduplicate(Operator):
    """Drop a record if one of its key, less than ``within_ms`` before or after it in event time, has passed.

    A record more than ``grace_ms`` behind its input's watermark is late.
    """

    id: str
    input: Port
    within_ms: int
    grace_ms: int
    inline: ClassVar[frozenset[str]] = frozenset({"out", "late"})

    @property
    def inputs(self) -> tuple[Port, ...]:
        """The port that it reads."""
        return (self.input,)

    def details(self) -> str:
        """Return its parameters as text."""
        return f"first within {self.within_ms} ms, grace {self.grace_ms} ms"

    def reads(self, port: Port, needed: Callable[[str], set[Path]], columns: DType) -> set[Path]:
        """Return what the steps behind it need."""
        return needed("out") | needed("late")

    def kept_ms(self) -> int:
        """Return how long a key is remembered."""
        return self.within_ms + self.grace_ms

"""What a stateful step tells the other rooms about itself, so that none of them has to know every kind."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import ClassVar

from headrace.event.dtypes import DType
from headrace.topology.trees import all_columns

Path = tuple[str, ...]
ROWS = "rows"
"""The port of a table by which steps read its rows as they are, in the same task: nothing is emitted on it."""


@dataclass(frozen=True, slots=True)
class Port:
    """An output of a node: ``out`` for most; an aggregate has ``update``, ``close``, ``late``, ``every``."""

    step: str
    name: str = "out"


@dataclass(frozen=True, slots=True, eq=False)
class Operator(ABC):
    """A stateful step.

    Its types are resolved in ``plan/``, its code and its logic made in ``operators/``; all else that anybody
    asks of it is answered here.
    """

    id: str
    inline: ClassVar[frozenset[str]] = frozenset({"late"})
    """Ports on which a record goes on as it came in: the steps behind them run in the loop that it came in by."""
    stores: ClassVar[bool] = True
    """Whether it keeps state of its own."""
    any_order: ClassVar[bool] = False
    """Whether its results, as a set, are the same in whatever order records of different inputs come."""
    queryable: ClassVar[bool] = False
    """Whether it is a table: its rows can be read, and no step need read them."""

    @property
    @abstractmethod
    def inputs(self) -> tuple[Port, ...]:
        """The ports that it reads."""

    @abstractmethod
    def details(self) -> str:
        """Return its parameters as text: state survives as long as this stays the same."""

    def expressions(self) -> Iterable[object]:
        """Return the expressions that it computes over the records that come in; what is none is left out."""
        return ()

    def functions(self) -> tuple[Callable[..., object], ...]:
        """Return the Python functions that it calls, beside those in expressions."""
        return ()

    def reads(self, port: Port, needed: Callable[[str], set[Path]], columns: DType) -> set[Path]:
        """Return the columns that it reads of one of its inputs, where the steps behind it need those of its ports.

        By default: all columns, as ``columns`` has them.
        """
        return {(name,) for name, _ in columns.fields} | all_columns(self.expressions())

    def drawing(self, name: str) -> Iterable[str]:
        """Return lines of a Mermaid flowchart that show what is inside; their node ids begin with ``name``."""
        return ()

    def kept_ms(self) -> int | None:
        """Return how long a state is of use after it was last written; None: until it is removed."""
        return None


__all__ = ["ROWS", "Operator", "Path", "Port"]

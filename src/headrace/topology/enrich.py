"""Enrichment: a value of an async function beside the columns of every record."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

from headrace.event.dtypes import DType
from headrace.topology.expr import Expr
from headrace.topology.names import callable_name
from headrace.topology.operator import Operator, Path, Port
from headrace.topology.trees import all_columns


@dataclass(frozen=True, slots=True, eq=False)
class Enrich(Operator):
    """Add the column ``name``: what ``function`` returns for the arguments; null where one of these is null.

    It keeps no state: records wait for their values within a batch, and before a checkpoint all have gone on.
    """

    id: str
    input: Port
    function: Callable[..., Awaitable[Any]]
    args: tuple[Expr, ...]
    name: str
    returns: DType | type
    cache_ms: int
    entries: int
    attempts: int
    backoff_ms: int
    timeout_ms: int
    concurrency: int
    stores: ClassVar[bool] = False
    inline: ClassVar[frozenset[str]] = frozenset()

    @property
    def inputs(self) -> tuple[Port, ...]:
        """The port that it reads."""
        return (self.input,)

    def details(self) -> str:
        """Return its parameters as text."""
        call = f"{callable_name(self.function)}({', '.join(map(str, self.args))})"
        return f"{self.name} = {call}, {self.attempts} attempts, timeout {self.timeout_ms} ms, cache {self.cache_ms} ms"

    def expressions(self) -> Iterable[object]:
        """Return the arguments."""
        return self.args

    def functions(self) -> tuple[Callable[..., object], ...]:
        """Return the function."""
        return (self.function,)

    def reads(self, port: Port, needed: Callable[[str], set[Path]], columns: DType) -> set[Path]:
        """Return the arguments' columns, and those that the steps behind it need of the record."""
        return all_columns(self.args) | {path for path in needed("out") if path[0] != self.name}


__all__ = ["Enrich"]

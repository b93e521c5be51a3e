"""Batches of records and where they go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from headrace.state.protocol import Batch

Headers = tuple[tuple[str, bytes], ...]


@dataclass(slots=True)
class Records:
    """A batch of records of one partition, column-wise: all lists have the length of ``values``.

    ``keys`` None: no record has a key. ``times`` are record timestamps in epoch milliseconds;
    None: none is known. ``headers`` None: no record has any. ``faults`` says by row what the input
    found wrong with a record: better than what the decoder could say of it. ``offsets`` None: they
    follow one another from the channel's position on.
    """

    values: list[bytes]
    keys: list[bytes | None] | None = None
    times: list[int] | None = None
    headers: list[Headers] | None = None
    faults: Mapping[int, str] | None = None
    offsets: Sequence[int] | None = None


class Output(Protocol):
    """Where the records of one topic leave the engine, as part of a checkpoint."""

    def stage(self, batch: Batch, records: Records) -> None:
        """Add the records to the checkpoint.

        What is not written by ``batch`` itself must be on disk when this returns, and must be
        taken back on the next start if the batch was never written.
        """

    def committed(self) -> None:
        """The batch of the last ``stage`` calls was written."""

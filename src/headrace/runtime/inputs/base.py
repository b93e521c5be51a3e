"""What the worker needs of an input."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from headrace.runtime.records import Records


class Slice(NamedTuple):
    """One reading of an input.

    ``position`` is where to read next; ``ended``: nothing will ever follow it.
    """

    records: Records
    position: int
    ended: bool


class Input(Protocol):
    """A sequence of records that can be read again from any position it has given.

    What a position means is the input's own matter; 0 is the beginning.
    """

    def read(self, position: int, max_bytes: int) -> Slice:
        """Return the records from ``position`` on, about ``max_bytes`` of them, never blocking.

        No records and not ``ended``: there is nothing yet. Reading in order is fast; any
        input can be read from an earlier position after a restart.

        Raises:
            ConfigError: the input can no longer be read, or is not what was read before.
        """

    def drained(self, position: int) -> bool:
        """Tell whether there is nothing to read at ``position`` now, and the input has not ended."""

    def committed(self, position: int) -> None:
        """Take note that a checkpoint has ``position``."""

    def close(self) -> None:
        """Close what is open. Afterwards no other method may be called."""


class Bounded:
    """The part of an input that is all there from the start."""

    def drained(self, position: int) -> bool:
        """Say no: until it has ended there is something to read."""
        return False

    def committed(self, position: int) -> None:
        """Do nothing."""

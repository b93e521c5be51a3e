"""The one error tree.

HeadraceError
├── TopologyError      your declaration is wrong: mend the topology (all faults are listed)
├── ConfigError        your settings or command line are wrong: mend them
├── DataError          one record is wrong: it went to a dead letter; mend the producer or the step
├── StateError         the data directory cannot be used: the message says what to do
│   ├── StateDamaged   what is in it cannot be read
│   └── StateLocked    another process owns it
├── TaskMigrated       another worker owns the task now: the runtime closes it
└── InternalError      a bug in Headrace: report it
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "ConfigError",
    "DataError",
    "Fault",
    "HeadraceError",
    "InternalError",
    "StateDamaged",
    "StateError",
    "StateLocked",
    "TaskMigrated",
    "TopologyError",
]


class HeadraceError(Exception):
    """Base of every error that Headrace raises on purpose."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong in a declaration.

    ``step`` is the step's id, ``parameter`` the argument at fault.
    """

    step: str
    parameter: str
    expected: str
    got: str
    remedy: str

    def __str__(self) -> str:
        """Return the fault as one readable line."""
        return f"step {self.step!r}, {self.parameter}: expected {self.expected}, got {self.got}. {self.remedy}"


class TopologyError(HeadraceError):
    """A declaration is wrong. ``faults`` holds every fault found, in declaration order."""

    def __init__(self, topology: str, faults: tuple[Fault, ...]) -> None:
        """Keep the faults and build the message from them."""
        self.topology = topology
        self.faults = faults
        noun = "fault" if len(faults) == 1 else "faults"
        lines = "\n".join(f"  {n}. {fault}" for n, fault in enumerate(faults, 1))
        super().__init__(f"topology {topology!r} has {len(faults)} {noun}:\n{lines}")


class ConfigError(HeadraceError):
    """A setting or a command-line argument is wrong."""


class DataError(HeadraceError):
    """A record is wrong. ``field``, ``expected`` and ``got`` name the place where known."""

    def __init__(self, message: str, *, field: str = "", expected: str = "", got: str = "") -> None:
        """Keep the place beside the message."""
        super().__init__(message)
        self.field = field
        self.expected = expected
        self.got = got


class StateError(HeadraceError):
    """The data directory cannot be used as it is."""


class StateDamaged(StateError):
    """What is in the data directory cannot be read."""


class StateLocked(StateError):
    """Another process owns the data directory."""


class TaskMigrated(HeadraceError):
    """Another worker owns the task now."""


class InternalError(HeadraceError):
    """A bug in Headrace."""

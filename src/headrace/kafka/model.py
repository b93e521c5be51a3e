"""What this room passes around: partitions, positions, members, columns of records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from aiokafka.structs import TopicPartition

Header = tuple[str, bytes | None]
Headers = Sequence[Header]


if TYPE_CHECKING:

    class Partition(NamedTuple):
        """A partition of a topic."""

        topic: str
        partition: int

else:
    # aiokafka takes only its own named tuple; it has no types that mypy could read.
    class Partition(TopicPartition):
        """A partition of a topic. Equal to, and hashed as, the named tuples of the client libraries.

        >>> Partition("orders", 0) == ("orders", 0)
        True
        """

        __slots__ = ()


class Position(NamedTuple):
    """Where a group reads next in a partition, and what it noted beside it."""

    offset: int
    metadata: str = ""


@dataclass(frozen=True, slots=True)
class GroupMember:
    """Who commits offsets: one member of a group, in one generation.

    The defaults stand for a consumer outside the group's protocol: its offsets are taken without a check.
    """

    group: str
    generation: int = -1
    member_id: str = ""
    instance_id: str | None = None


@dataclass(slots=True)
class Columns:
    """Records to write, column-wise: the lists are of one length.

    ``times`` are milliseconds since 1970. A None for ``keys`` or ``headers`` means that no record has any.
    """

    values: Sequence[bytes | None]
    times: Sequence[int]
    keys: Sequence[bytes | None] | None = None
    headers: Sequence[Headers] | None = None

    def __len__(self) -> int:
        return len(self.values)


@dataclass(frozen=True, slots=True)
class Fetched:
    """Consecutive records of one partition, column-wise.

    ``first_offset`` is the position that they were fetched from and ``next_offset`` the one after them: both may be
    further out than the first and last record, over what compaction and aborted transactions have left and over
    transaction markers. So there are batches with no record that still move the position. ``times`` are milliseconds
    since 1970; ``headers`` is None if no record has any.
    """

    topic: str
    partition: int
    first_offset: int
    next_offset: int
    values: list[bytes | None]
    keys: list[bytes | None]
    times: list[int]
    offsets: Sequence[int]
    headers: list[Headers] | None = None

    def __len__(self) -> int:
        return len(self.values)

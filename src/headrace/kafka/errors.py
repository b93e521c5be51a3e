"""What can go wrong between Headrace and the brokers.

HeadraceError
├── BrokerError            a broker, or the client library, refused or failed: ``code`` is the protocol's error code
│   ├── FencedError        (also TaskMigrated) another producer took this one's transactional id: throw this one away
│   ├── CommitFailedError  the transaction is not committed: abort it
│   │   └── StaleMemberError  (also TaskMigrated) the group has moved on without this member: abort, and rejoin
│   ├── CommitUnknownError the broker did not say whether it committed: start the producer again, then read the offsets
│   ├── RefusedError       the broker does not take this batch, now or later: mend the record or the topic's limits
│   ├── TooLargeError      a record may be larger than its topic takes: go back, it is taken out then
│   ├── OffsetOutOfRangeError  the position is before the first or behind the last record
│   ├── CorruptRecordError the checksum of a record batch is wrong
│   ├── NotAuthorizedError the broker's access rules forbid it
│   └── UnreachableError   no answer in the time allowed
"""

from __future__ import annotations

from headrace.errors import HeadraceError, TaskMigrated

__all__ = [
    "BrokerError",
    "CommitFailedError",
    "CommitUnknownError",
    "CorruptRecordError",
    "FencedError",
    "NotAuthorizedError",
    "OffsetOutOfRangeError",
    "RefusedError",
    "StaleMemberError",
    "TooLargeError",
    "UnreachableError",
]


class BrokerError(HeadraceError):
    """A broker refused or failed. ``code`` is the protocol's error code, -1 where there is none."""

    def __init__(self, message: str, *, code: int = -1) -> None:
        """Keep the code beside the message."""
        super().__init__(message)
        self.code = code


class FencedError(BrokerError, TaskMigrated):
    """Another producer has taken the transactional id. This one cannot be used again."""


class CommitFailedError(BrokerError):
    """The transaction is not committed, and will not be: abort it."""


class StaleMemberError(CommitFailedError, TaskMigrated):
    """The group is in a newer generation, or has dropped this member: its offsets are not taken."""


class CommitUnknownError(BrokerError):
    """The broker did not say whether the transaction is committed.

    Start the producer again: that settles the transaction either way. Then read the committed offsets.
    """


class RefusedError(BrokerError):
    """A broker does not take a batch, however often it is sent."""


class TooLargeError(BrokerError):
    """A record may be larger than its topic takes. It was not sent."""


class OffsetOutOfRangeError(BrokerError):
    """A position is before the first or behind the last record of its partition."""


class CorruptRecordError(BrokerError):
    """The checksum of a record batch does not match its bytes."""


class NotAuthorizedError(BrokerError):
    """The access rules of the broker forbid the request."""


class UnreachableError(BrokerError):
    """There was no answer in the time allowed."""

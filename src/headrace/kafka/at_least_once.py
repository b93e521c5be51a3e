"""Commits without transactions: written and acknowledged first, then the positions."""

from __future__ import annotations

from collections.abc import Mapping

from aiokafka.protocol.commit import OffsetCommitRequest

from headrace.kafka.client import Client, Patience
from headrace.kafka.codes import STALE_MEMBER, Code, error_for, name_of
from headrace.kafka.coordination import Coordinator, Kind, partition_codes
from headrace.kafka.errors import CommitFailedError, StaleMemberError
from headrace.kafka.idempotent import IdempotentProducer
from headrace.kafka.model import GroupMember, Partition, Position
from headrace.kafka.producing import ProducerOptions
from headrace.kafka.protocol import by_topic

_KEEP_AS_SET = -1  # retention of offsets: the broker's setting


class AtLeastOnceProducer(IdempotentProducer):
    """What :class:`headrace.kafka.producing.TransactionalProducer` offers, for the weaker guarantee.

    A failure between the writes and the commit of positions makes records be processed again, on a
    state that has seen them.
    """

    transactional_id = ""

    def __init__(self, client: Client, options: ProducerOptions | None = None) -> None:
        super().__init__(client, options)
        self._groups: dict[str, Coordinator] = {}

    def begin(self) -> None:
        """Do nothing: there is no transaction."""

    async def commit(self, offsets: Mapping[Partition, Position], member: GroupMember) -> None:
        """Wait until everything is written, then commit the positions.

        Raises:
            StaleMemberError: the group has moved on.
            CommitFailedError: the positions were not taken.
            BrokerError: something could not be written.
        """
        await self.flush()
        if not offsets:
            return
        group = self._groups.setdefault(member.group, Coordinator(self._client, Kind.GROUP, member.group))
        topics = [(topic, [(p.partition, *offsets[p]) for p in found]) for topic, found in by_topic(offsets)]
        request = OffsetCommitRequest(member.group, member.generation, member.member_id, _KEEP_AS_SET, topics)
        patience = Patience(f"committing offsets of group {member.group!r}", self._options.timeout_ms)
        response = await group.call(request, lambda answer: partition_codes(answer.topics), patience)
        for code in partition_codes(response.topics):
            if code in STALE_MEMBER:
                message = f"group {member.group!r} has moved on without member {member.member_id!r}: {name_of(code)}"
                raise StaleMemberError(message, code=code)
            if code != Code.NONE:
                refusal = error_for(code, patience.action)
                raise CommitFailedError(str(refusal), code=code) from refusal

    async def recover(self) -> None:
        """Be ready for the next writes; what was not acknowledged is forgotten."""
        await self.start()

"""Topics: list, create, delete; and their settings."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType
from typing import Any, Self

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from headrace.kafka.client import TRANSIENT, Patience
from headrace.kafka.codes import Code, error_for, name_of
from headrace.kafka.errors import BrokerError, UnreachableError

_TIMEOUT_MS = 30_000
_DEFAULT = -1
_BUSY = frozenset({Code.NOT_CONTROLLER, Code.REQUEST_TIMED_OUT, Code.BROKER_NOT_AVAILABLE})


@dataclass(frozen=True, slots=True)
class TopicInfo:
    """A topic that there is."""

    name: str
    partitions: int
    replication: int
    internal: bool = False


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """A topic to create. ``replication`` -1 takes the broker's default; ``configs`` are Kafka's names and texts."""

    name: str
    partitions: int
    replication: int = _DEFAULT
    configs: Mapping[str, str] = field(default_factory=dict)


class TopicAdmin:
    """Administers topics, over a connection of its own: ``async with TopicAdmin(bootstrap) as admin``.

    Options are security settings under aiokafka's names.
    """

    def __init__(self, bootstrap: str, *, timeout_ms: int = _TIMEOUT_MS, **options: Any) -> None:
        self._bootstrap = bootstrap
        self._timeout_ms = timeout_ms
        self._admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=timeout_ms, **options)

    async def __aenter__(self) -> Self:
        """Connect.

        Raises:
            UnreachableError: no broker answers.
        """
        try:
            await self._admin.start()
        except TRANSIENT as error:
            await self._admin.close()
            message = f"no broker answers at {self._bootstrap}. Check the addresses, and that the brokers run"
            raise UnreachableError(message) from error
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._admin.close()

    async def topics(self, names: Sequence[str] | None = None) -> dict[str, TopicInfo]:
        """Return the topics by name: all, or those of ``names`` that there are.

        Raises:
            UnreachableError: no broker answers.
        """
        # Always all of them: asked for one by name, a broker may create it.
        described = await self._call("listing topics", self._admin.describe_topics)
        found = {
            entry["topic"]: TopicInfo(
                entry["topic"],
                len(entry["partitions"]),
                max((len(partition["replicas"]) for partition in entry["partitions"]), default=0),
                bool(entry["is_internal"]),
            )
            for entry in described
            if entry["error_code"] == Code.NONE and entry["partitions"]
        }
        return found if names is None else {name: found[name] for name in names if name in found}

    async def configs(self, names: Collection[str]) -> dict[str, dict[str, str]]:
        """Return all settings of topics, defaults among them.

        Raises:
            BrokerError: a topic is not there.
            UnreachableError: no broker answers.
        """
        found = {}
        for name, (code, entries) in (await self._described(names)).items():
            if code != Code.NONE:
                raise error_for(code, f"reading the settings of topic {name!r}")
            found[name] = entries
        return found

    async def limits(self, names: Collection[str]) -> dict[str, int]:
        """Return how large a batch each topic takes, in bytes; of those that are there and whose settings we may read.

        Raises:
            UnreachableError: no broker answers.
        """
        described = await self._described(names)
        return {name: int(entries["max.message.bytes"]) for name, (code, entries) in described.items() if not code}

    async def _described(self, names: Collection[str]) -> dict[str, tuple[int, dict[str, str]]]:
        if not names:
            return {}
        resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
        answers = await self._call("reading topic settings", partial(self._admin.describe_configs, resources))
        return {
            name: (code, {entry[0]: entry[1] or "" for entry in entries})
            for answer in answers
            for code, _message, _kind, name, entries in answer.resources
        }

    async def create(self, specs: Sequence[TopicSpec]) -> list[str]:
        """Create topics; return the names of those that are new, once all brokers' metadata show them.

        A topic that is there already is left as it is: compare it with what you want.

        Raises:
            BrokerError: the broker refuses one; the message has its reason. Others may have been created.
            UnreachableError: no broker answers.
        """
        if not specs:
            return []
        default = await self._default_replication() if any(s.replication == _DEFAULT for s in specs) else 0
        new = [
            NewTopic(
                spec.name,
                spec.partitions,
                default if spec.replication == _DEFAULT else spec.replication,
                topic_configs=dict(spec.configs),
            )
            for spec in specs
        ]
        patience = Patience("creating topics", self._timeout_ms)
        created = []
        while new:
            response = await self._call("creating topics", partial(self._admin.create_topics, new))
            again = []
            for name, code, message, *_ in response.topic_errors:
                if code == Code.NONE:
                    created.append(name)
                elif code in _BUSY:
                    again.append(name)
                elif code != Code.TOPIC_ALREADY_EXISTS:
                    raise _refused(code, f"creating topic {name!r}", message)
            new = [topic for topic in new if topic.name in again]
            if new:
                await patience.pause("the controller is busy")
        await self._until_known({spec.name for spec in specs}, patience)
        return created

    async def delete(self, names: Collection[str]) -> None:
        """Delete topics with all their records. One that is not there is no error.

        Raises:
            BrokerError: the broker refuses.
            UnreachableError: no broker answers.
        """
        if not names:
            return
        patience = Patience("deleting topics", self._timeout_ms)
        left = list(names)
        while left:
            response = await self._call("deleting topics", partial(self._admin.delete_topics, left))
            again = []
            for name, code, *_ in response.topic_error_codes:
                if code in _BUSY:
                    again.append(name)
                elif code not in {Code.NONE, Code.UNKNOWN_TOPIC_OR_PARTITION}:
                    raise error_for(code, f"deleting topic {name!r}")
            left = again
            if left:
                await patience.pause("the controller is busy")

    async def _default_replication(self) -> int:
        """Return what a broker is set to: the library's request is older than "take the default"."""
        cluster = await self._call("listing brokers", self._admin.describe_cluster)
        broker = ConfigResource(ConfigResourceType.BROKER, str(cluster["brokers"][0]["node_id"]))
        (answer,) = await self._call("reading broker settings", partial(self._admin.describe_configs, [broker]))
        for code, _message, _kind, name, entries in answer.resources:
            if code != Code.NONE:
                raise error_for(code, f"reading the settings of broker {name}")
            found = next((entry[1] for entry in entries if entry[0] == "default.replication.factor"), None)
            if found:
                return int(found)
        return 1

    async def _until_known(self, names: Collection[str], patience: Patience) -> None:
        while missing := set(names) - (await self.topics()).keys():
            await patience.pause(f"no broker shows {', '.join(sorted(missing))} yet")

    async def _call(self, action: str, call: Any) -> Any:
        patience = Patience(action, self._timeout_ms)
        while True:
            try:
                return await call()
            except TRANSIENT as error:
                await patience.pause(error)


def _refused(code: int, action: str, reason: str | None) -> BrokerError:
    error = error_for(code, action)
    if not reason:
        return error
    return type(error)(f"{action}: {reason} ({name_of(code)})", code=code)

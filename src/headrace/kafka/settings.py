"""Settings of a fleet worker."""

from __future__ import annotations

import re
import socket
from datetime import timedelta
from enum import Enum
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, ByteSize, Field, SecretStr

from headrace.config import Bytes, Duration, Settings

_POSITIVE = Field(gt=timedelta(0))
_PORT = 9092
_NAME = re.compile(r"[A-Za-z0-9._-]{1,200}")


def _addresses(text: str) -> str:
    """Return addresses without spaces, each with a port.

    >>> _addresses("kafka-1, kafka-2:9093")
    'kafka-1:9092,kafka-2:9093'
    """
    found = [part.strip() for part in text.split(",") if part.strip()]
    for place, address in enumerate(found):
        host, colon, port = address.rpartition(":")
        if not colon or address.endswith("]"):
            found[place] = f"{address}:{_PORT}"
        elif not host or not (port.isascii() and port.isdigit()):
            msg = f"expected host:port, separated by commas, got {address!r}"
            raise ValueError(msg)
    if not found:
        msg = "expected host:port, separated by commas"
        raise ValueError(msg)
    return ",".join(found)


def _name(text: str) -> str:
    """Refuse what brokers do not take in the names of topics and members."""
    if not _NAME.fullmatch(text):
        msg = "expected letters, digits, '.', '_' and '-', at most 200"
        raise ValueError(msg)
    return text


class Guarantee(Enum):
    """What happens to records around a failure."""

    EXACTLY_ONCE = "exactly_once"
    AT_LEAST_ONCE = "at_least_once"


class FleetSettings(Settings):
    """How a worker of a fleet runs. Every field may come from the environment as ``HEADRACE_...``.

    >>> FleetSettings.of(brokers="localhost:9092", group="shop", commit_interval="50ms").commit_interval
    datetime.timedelta(microseconds=50000)
    """

    brokers: Annotated[str, AfterValidator(_addresses)]
    """Addresses of brokers as host:port, separated by commas. Some of them will do: they know the others."""
    group: Annotated[str, AfterValidator(_name)]
    """The consumer group; it names the fleet, and its internal topics begin with it."""
    worker: Annotated[str, AfterValidator(_name)] = Field(default_factory=socket.gethostname)
    """This worker's name, unique in the group and the same after a restart: a pod's name."""
    state_dir: Path = Path(".headrace-fleet")
    """Where local state lies. It may be lost: it is built anew from the changelogs."""
    guarantee: Guarantee = Guarantee.EXACTLY_ONCE
    """``exactly_once``, or ``at_least_once``: without transactions, for brokers or readers that cannot have them."""
    commit_interval: Annotated[Duration, _POSITIVE] = timedelta(milliseconds=100)
    """How often outputs, state changes and positions are committed."""
    cache_bytes: Bytes = ByteSize(64 << 20)
    """Bound of the states in memory, over all topologies."""
    block_cache_bytes: Bytes = ByteSize(32 << 20)
    """RocksDB's cache of blocks read, shared by all tasks."""
    output_bytes: Bytes = ByteSize(32 << 20)
    """How much output may wait for a commit before reading pauses."""
    session_timeout: Annotated[Duration, _POSITIVE] = timedelta(seconds=10)
    """How long a worker may be silent before others take its tasks."""
    rebalance_timeout: Annotated[Duration, _POSITIVE] = timedelta(seconds=60)
    """How long a rebalance waits for workers to commit."""
    transaction_timeout: Annotated[Duration, _POSITIVE] = timedelta(seconds=60)
    """How long a transaction may be open before the broker aborts it."""
    max_task_idle: Duration = timedelta(milliseconds=200)
    """How long a task with several inputs waits for one that has nothing, to take records in the order of time."""
    fetch_bytes: Bytes = ByteSize(1 << 20)
    """How much is fetched from a partition at once."""
    partitions: Annotated[int | None, Field(ge=1)] = None
    """Partitions of repartition topics; None: as many as the widest source of the topology has."""
    replication: Annotated[int, Field(ge=-1)] = -1
    """Replication factor of internal topics; -1: the broker's default."""
    standbys: Annotated[int, Field(ge=0)] = 0
    """How many other workers keep a copy of each task's state."""
    compression: Literal["none", "gzip", "snappy", "lz4", "zstd"] = "zstd"
    """Compression of what is written."""
    connect_timeout: Annotated[Duration, _POSITIVE] = timedelta(seconds=30)
    """How long to try at the start until a broker answers."""
    topic_timeout: Annotated[Duration, _POSITIVE] = timedelta(seconds=60)
    """How long to wait at the start for input topics that do not exist."""
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    """How to connect."""
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "PLAIN"
    """How to log in, with a SASL protocol."""
    sasl_username: str | None = None
    """Who logs in."""
    sasl_password: SecretStr | None = None
    """The password; never printed."""
    ssl_cafile: Path | None = None
    """Certificates of the authorities to trust; None: the system's."""
    ssl_certfile: Path | None = None
    """This worker's certificate, for mutual TLS."""
    ssl_keyfile: Path | None = None
    """The key of that certificate."""
    ssl_keypassword: SecretStr | None = None
    """The key's password; never printed."""

    def to_env(self, prefix: str = "HEADRACE_") -> dict[str, str]:
        """Return the environment from which ``from_env`` makes the same settings, passwords included.

        >>> FleetSettings.of(brokers="localhost", group="shop").to_env()["HEADRACE_COMMIT_INTERVAL"]
        '100.000ms'
        """
        values = {name: getattr(self, name) for name in type(self).model_fields}
        return {prefix + name.upper(): _text(value) for name, value in values.items() if value is not None}


def _text(value: object) -> str:
    """Return what the field of a setting is parsed from."""
    match value:
        case timedelta():
            return f"{value / timedelta(milliseconds=1):.3f}ms"
        case SecretStr():
            return value.get_secret_value()
        case Enum():
            return str(value.value)
        case _:
            return str(int(value)) if isinstance(value, int) else str(value)

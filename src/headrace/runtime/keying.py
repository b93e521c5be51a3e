"""Is a topic of the log partitioned by the key that its readers declare?

A source with ``key=`` saves a repartition: the plan trusts that all records of a key are in one partition.
What is appended while a reader declares the key is partitioned by it. What was appended before
is looked at once; the outcome is kept as long as nobody writes to the topic without the key.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from headrace.errors import ConfigError
from headrace.runtime.ingest import key_reader
from headrace.runtime.log import Log
from headrace.runtime.partitioning import KeyReader, Partitioner
from headrace.state.protocol import Backend, Batch
from headrace.topology.expr import Column
from headrace.topology.nodes import Source

STORE = "topic-keys"
"""The store with the column, as ``a.b``, by which all records of a topic are known to be partitioned."""


def key_readers(backend: Backend, log: Log, sources: Mapping[str, Sequence[Source]]) -> dict[str, KeyReader | None]:
    """Return, for each topic, what reads the key that decides a record's partition; None: the record's own does.

    Args:
        backend: Where the outcome is kept.
        log: The log, with all of these topics.
        sources: The sources that read each topic.

    Raises:
        ConfigError: sources declare different keys for a topic of several partitions, or one that
            records of the topic are not partitioned by.
    """
    return {topic: _key_reader(backend, log, topic, found) for topic, found in sources.items()}


def _key_reader(backend: Backend, log: Log, topic: str, sources: Sequence[Source]) -> KeyReader | None:
    partitions = log.partitions(topic) or 1
    declared = {".".join(s.key.path): s for s in sources if isinstance(s.key, Column)}
    if partitions == 1 or not declared:
        return None
    if len(declared) > 1:
        told = ", ".join(f"{source.id!r} by {key!r}" for key, source in sorted(declared.items()))
        msg = (
            f"topic {topic!r} cannot be partitioned by several keys: sources declare it keyed {told}. "
            "Leave key= out of all but one of them: it costs a repartition there."
        )
        raise ConfigError(msg)
    (key, source), *_ = declared.items()
    reader = key_reader(source)
    if reader is not None and backend.store(STORE).get(topic.encode()) != key.encode():
        if any(_torn(log, topic, n, Partitioner(partitions), reader) for n in range(partitions)):
            msg = (
                f"source {source.id!r} declares topic {topic!r} keyed by {key!r}, and the log holds records of it in "
                "partitions of other keys: they were written before anyone declared this one. Leave key= out (it costs "
                "a repartition), or begin with another topic or data directory."
            )
            raise ConfigError(msg)
        batch = Batch()
        batch.put(STORE, topic.encode(), key.encode())
        backend.write(batch)
    return reader


def written_otherwise(backend: Backend, topic: str) -> None:
    """Note that a topic is written by somebody who knows of no declared key."""
    if backend.store(STORE).get(topic.encode()) is not None:
        batch = Batch()
        batch.delete(STORE, topic.encode())
        backend.write(batch)


def _torn(log: Log, topic: str, partition: int, partitioner: Partitioner, reader: KeyReader) -> bool:
    offset = log.start(topic, partition)
    while found := log.read(topic, partition, offset):
        keys = (reader(value) for value in found.values)
        if any(key is not None and partitioner.place(key) != partition for key in keys):
            return True
        offset = found.next_offset
    return False

"""The embedded worker, as the HTTP server sees it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headrace.query.tables import Tables, tables_of
from headrace.runtime.worker import Worker


class ServedWorker:
    """A worker with what the server asks of it. Everything may be called from any thread."""

    def __init__(self, worker: Worker) -> None:
        """Serve the tables of all topologies of a worker."""
        self._worker = worker
        self.topics = worker.topics
        self.tables = Tables(
            table for engine in worker.engines.values() for table in tables_of(engine.plan, engine.tables)
        )

    def ingest(self, topic: str, values: list[bytes], keys: list[bytes | None] | None) -> None:
        """Append events to the log of a topic; they are on disk when this returns."""
        self._worker.ingest(topic, values, keys)

    def status(self) -> Mapping[str, Any]:
        """Return the counters and watermarks of a run's summary."""
        return self._worker.status().to_json()

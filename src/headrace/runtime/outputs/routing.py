"""Which output takes a topic."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from headrace.errors import ConfigError
from headrace.runtime.keying import written_otherwise
from headrace.runtime.outputs.devices import StreamOutput, is_device, open_device
from headrace.runtime.outputs.files import FileOutput
from headrace.runtime.outputs.logs import LogOutput, LogStaging
from headrace.runtime.partitioning import KeyReader
from headrace.runtime.records import Output, Records
from headrace.state.protocol import Backend, Batch


class Tee:
    """Several outputs for one topic."""

    def __init__(self, *outputs: Output) -> None:
        """Write to each of them."""
        self._outputs = outputs

    def stage(self, batch: Batch, records: Records) -> None:
        """Stage the records in each."""
        for output in self._outputs:
            output.stage(batch, records)

    def committed(self) -> None:
        """Tell each."""
        for output in self._outputs:
            output.committed()


class Outputs:
    """The outputs of a worker by topic: files and the terminal where asked for, else the log.

    A topic that the worker also reads goes to the log in any case.
    """

    def __init__(
        self,
        staging: LogStaging,
        partitions: Callable[[str], int],
        now_ms: Callable[[], int],
        read: Mapping[str, KeyReader | None],
    ) -> None:
        """Write to the log of ``staging``; ``partitions`` says how many a new topic gets.

        ``read`` are the topics that this worker reads from the log, with what reads their declared keys.
        """
        self._staging = staging
        self._partitions = partitions
        self._now_ms = now_ms
        self._read = read
        self._direct: dict[str, FileOutput | StreamOutput] = {}
        self._known: dict[str, Output] = {}
        self._backend: Backend | None = None

    def open(self, paths: Mapping[str, str], backend: Backend, *, fsync: bool, on_closed: Callable[[], None]) -> None:
        """Open the files that topics go to; ``-`` is standard output.

        Raises:
            ConfigError: two topics go to one file, or a file is not this worker's.
        """
        files: dict[Path | tuple[int, int], str] = {}
        self._backend = backend
        for topic, spec in paths.items():
            if spec == "-":
                self._direct[topic] = StreamOutput(on_closed=on_closed)
                continue
            path = Path(spec).resolve()
            if is_device(path):
                self._direct[topic] = StreamOutput(open_device(path), on_closed=on_closed, closes=True)
                continue
            place = _place(path)
            if place in files:
                msg = f"topics {files[place]!r} and {topic!r} both go to {path}: give each a file of its own"
                raise ConfigError(msg)
            self._direct[topic] = FileOutput(path, backend, fsync=fsync)
            files[_place(path)] = topic

    def __call__(self, topic: str) -> Output:
        """Return the output of a topic."""
        output = self._known.get(topic)
        if output is None:
            output = self._known[topic] = self._make(topic)
        return output

    def _make(self, topic: str) -> Output:
        direct = self._direct.get(topic)
        if direct is not None and topic not in self._read:
            return direct
        key_of = self._read.get(topic)
        if key_of is None and self._backend is not None:
            written_otherwise(self._backend, topic)
        log = LogOutput(self._staging, topic, self._partitions(topic), self._now_ms, key_of)
        return log if direct is None else Tee(direct, log)

    def done(self) -> None:
        """The checkpoint was written."""
        self._staging.done()

    def abort(self) -> None:
        """The checkpoint was not written: take back what was staged."""
        self._staging.abort()
        for output in self._direct.values():
            output.abort()

    def close(self) -> None:
        """Close the files."""
        for output in self._direct.values():
            output.close()
        self._direct.clear()


def _place(path: Path) -> Path | tuple[int, int]:
    """Return what two names of one file have in common."""
    try:
        found = path.stat()
    except OSError:
        return path
    return found.st_dev, found.st_ino

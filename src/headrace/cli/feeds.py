"""The files of a command line, checked before a run: what would be taken for something that it is not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from headrace.errors import ConfigError

if TYPE_CHECKING:
    from headrace.runtime.worker import Worker

_INPUTS = {".ndjson", ".jsonl", ".json", ".csv", ".tsv", ".parquet", ".pq", ".gz", ".zst"}
_NOT_WRITTEN = {".csv", ".tsv", ".parquet", ".pq", ".gz", ".zst"}
_PEEK = 1 << 12  # bytes: enough to see how the first record begins


def check_inputs(inputs: Mapping[str, Iterable[str]]) -> None:
    """Refuse a file of an unknown suffix that is not NDJSON: every line of it would become a dead letter.

    A file that is named NDJSON is never refused: bad lines in it are bad records.

    Raises:
        ConfigError: names the file and how it begins.
    """
    for topic, specs in inputs.items():
        for path in map(Path, specs):
            if path.suffix.lower() in _INPUTS or not path.is_file():
                continue
            try:
                with path.open("rb") as file:
                    head = file.read(_PEEK).lstrip(b"\xef\xbb\xbf \t\r\n")
            except OSError:
                continue  # opening it says so
            if head and not head.startswith(b"{"):
                first = head.splitlines()[0][:60].decode(errors="replace")
                msg = (
                    f"--input {topic}={path}: a file without a known suffix is read as NDJSON, one object a line, "
                    f"and this one begins with {first!r}. Known: {', '.join(sorted(_INPUTS))}"
                )
                raise ConfigError(msg)


def check_outputs(outputs: Mapping[str, str]) -> None:
    """Refuse a file whose name promises another format than NDJSON.

    Raises:
        ConfigError: names the file.
    """
    for topic, spec in outputs.items():
        suffix = Path(spec).suffix.lower()
        if suffix in _NOT_WRITTEN:
            msg = f"--output {topic}={spec}: outputs are NDJSON, not {suffix}. Name a file such as {topic}.ndjson"
            raise ConfigError(msg)


def unfed(worker: Worker, inputs: Mapping[str, object]) -> list[str]:
    """Return the topics that nothing but HTTP can feed: no input, and no topology that writes them."""
    from headrace.runtime.wiring import writes  # noqa: PLC0415 - --help must not wait for it

    return [
        topic
        for topic in worker.topics
        if topic not in inputs and not any(writes(plan, topic) for plan in worker.plans)
    ]

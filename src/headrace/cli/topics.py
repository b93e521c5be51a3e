"""``headrace topics``: what is in the log of a data directory."""

from __future__ import annotations

import heapq
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from headrace.cli.console import write_json, write_rows
from headrace.cli.options import DEFAULT_DATA_DIR, DataDir, Json

if TYPE_CHECKING:
    from headrace.runtime.log import Log

app = typer.Typer(
    help="The topics of a data directory (list, tail), or of a fleet on Kafka (plan, create).", no_args_is_help=True
)

_POLL_SECONDS = 0.5


@dataclass(frozen=True, slots=True, order=True)
class Entry:
    """A record of the log. Sorts by time, then by its place."""

    time_ms: int
    partition: int
    offset: int
    key: bytes | None
    value: bytes
    headers: tuple[tuple[str, bytes], ...]

    def to_text(self) -> bytes:
        """Return the record as it is; of a dead letter, why it is one and the record below, in plain characters."""
        told = {name: value.decode(errors="replace") for name, value in self.headers}
        if "headrace-step" not in told:
            return self.value
        step, topic, message = (told.get(f"headrace-{name}", "?") for name in ("step", "topic", "message"))
        offset = told.get("headrace-offset", "-1")
        # What a handler got has gone through steps: it has no place of its own.
        place = topic if offset == "-1" else f"{topic}-{told.get('headrace-partition', '?')}@{offset}"
        return f"step {step}, {place}: {_plain(message)}\n  {_plain(self.value.decode(errors='replace'))}".encode()

    def to_json(self) -> dict[str, Any]:
        """Return the record with all that is known of it."""
        return {
            "partition": self.partition,
            "offset": self.offset,
            "time": datetime.fromtimestamp(self.time_ms / 1000, UTC),
            "key": None if self.key is None else self.key.decode(errors="replace"),
            "value": self.value.decode(errors="replace"),
            "headers": {name: value.decode(errors="replace") for name, value in self.headers},
        }


def _plain(text: str) -> str:
    """Return text on one line that does nothing to a terminal: what is not printable is escaped."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


@app.command("list")
def list_topics(data_dir: DataDir = DEFAULT_DATA_DIR, *, as_json: Json = False) -> None:
    """List the topics of the log: partitions, records kept, records ever."""
    from headrace.cli.directory import open_log  # noqa: PLC0415 - --help must not wait for it

    with open_log(data_dir) as log:
        rows = [_describe(log, topic, partitions) for topic, partitions in log.topics().items()]
    if as_json:
        write_json(rows)
    else:
        write_rows(rows)


def _describe(log: Log, topic: str, partitions: int) -> dict[str, Any]:
    spans = [(log.start(topic, n), log.end(topic, n)) for n in range(partitions)]
    return {
        "topic": topic,
        "partitions": partitions,
        "kept": sum(end - start for start, end in spans),
        "ever": sum(end for _, end in spans),
    }


@app.command("tail")
def tail(
    topic: Annotated[str, typer.Argument(metavar="TOPIC")],
    count: Annotated[int, typer.Option("-n", min=0, help="How many records to show.")] = 10,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    *,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what is appended, until Ctrl-C.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Show partition, offset, time, key and headers as JSON.")
    ] = False,
) -> None:
    """Print the newest records of a topic, one a line, by time; of dead letters also why they are here."""
    from headrace.cli.directory import open_log  # noqa: PLC0415

    with open_log(data_dir) as log:
        ends = _ends(log, topic)
        starts = {partition: max(end - count, log.start(topic, partition)) for partition, end in ends.items()}
        _print(heapq.nlargest(count, _read(log, topic, starts, ends))[::-1], as_json=as_json)
    while follow:
        time.sleep(_POLL_SECONDS)
        # A read-only opening sees the directory as it was then: open it again to see more.
        with open_log(data_dir) as log:
            before, ends = ends, _ends(log, topic)
            _print(sorted(_read(log, topic, before, ends)), as_json=as_json)


def _ends(log: Log, topic: str) -> dict[int, int]:
    log.end(topic, 0)  # refuses a topic that is not there
    return {partition: log.end(topic, partition) for partition in range(log.topics()[topic])}


def _read(log: Log, topic: str, starts: dict[int, int], ends: dict[int, int]) -> Iterator[Entry]:
    for partition, end in ends.items():
        offset = starts.get(partition, 0)
        while offset < end:
            batch = log.read(topic, partition, offset)
            if not batch.values:
                break
            headers = batch.headers or [()] * len(batch.values)
            for n, value in enumerate(batch.values):
                yield Entry(batch.times[n], partition, batch.first_offset + n, batch.keys[n], value, headers[n])
            offset = batch.next_offset


def _print(entries: list[Entry], *, as_json: bool) -> None:
    out = sys.stdout.buffer
    for entry in entries:
        out.write(msgspec.json.encode(entry.to_json()) if as_json else entry.to_text())
        out.write(b"\n")
    out.flush()

"""``headrace run``: the embedded worker."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import timedelta
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from headrace.cli.console import note, write_json
from headrace.cli.options import (
    DEFAULT_DATA_DIR,
    DataDir,
    Target,
    parse_address,
    parse_duration,
    parse_outputs,
    parse_pairs,
    parse_size,
)
from headrace.errors import ConfigError

if TYPE_CHECKING:
    from headrace.config import WorkerSettings
    from headrace.runtime.worker import Worker

_INTERRUPTED = 130
_DEFAULT_HOST, _DEFAULT_PORT = "127.0.0.1", 8642

Inputs = Annotated[
    list[str] | None,
    typer.Option(
        "--input",
        metavar="TOPIC=PATH",
        help="Read a topic from a file, directory or pattern (NDJSON, CSV, Parquet, also .gz and .zst), or from "
        "stdin (-). Without any, topics are read from the log, which HTTP fills.",
    ),
]
Outputs = Annotated[
    list[str] | None,
    typer.Option(
        "--output", metavar="TOPIC=PATH", help="Write a topic to an NDJSON file, or to stdout (-), not to the log."
    ),
]
HttpAddress = Annotated[
    str | None,
    typer.Option("--http", metavar="HOST:PORT", help=f"Listen here [default: {_DEFAULT_HOST}:{_DEFAULT_PORT}]."),
]


def run(
    target: Target,
    *,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    inputs: Inputs = None,
    outputs: Outputs = None,
    http: HttpAddress = None,
    no_http: Annotated[bool, typer.Option("--no-http", help="Take no HTTP requests.")] = False,
    follow: Annotated[bool, typer.Option("--follow", help="Go on when input files grow, until Ctrl-C.")] = False,
    drain: Annotated[
        bool, typer.Option("--drain", help="Process what is in the log and end, without waiting for more.")
    ] = False,
    partitions: Annotated[
        int | None, typer.Option("--partitions", min=1, help="Partitions of topics and state [default: 4].")
    ] = None,
    checkpoint_interval: Annotated[str, typer.Option("--checkpoint-interval", metavar="DURATION")] = "100ms",
    cache: Annotated[str, typer.Option("--cache", metavar="SIZE", help="State in memory, per topology.")] = "64MB",
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON on stdout.")] = False,
) -> None:
    """Run the topologies of TARGET on this machine.

    Bounded input runs to its end. Otherwise the worker runs until Ctrl-C; either way it goes on
    where it was at the next start. HTTP is on unless the input is bounded.
    """
    from headrace.cli.progress import is_live, progress, report  # noqa: PLC0415 - --help must not wait for these
    from headrace.runtime.loading import load_target  # noqa: PLC0415
    from headrace.runtime.signals import stop_on_signals  # noqa: PLC0415
    from headrace.runtime.worker import Worker  # noqa: PLC0415

    sinks = parse_outputs(outputs or (), "--output")
    address = None if http is None else parse_address(http, "--http")
    _refuse_contradictions(no_http=no_http and http is not None, stdout_twice=as_json and "-" in sinks.values())
    worker = Worker(
        load_target(target),
        _settings(data_dir, partitions, checkpoint_interval, cache),
        inputs=parse_pairs(inputs or (), "--input"),
        outputs=sinks,
        follow=follow,
        drain=drain,
        target=target,
    )
    wanted = not no_http and (address is not None or not worker.bounded)
    with (
        worker,
        stop_on_signals(worker),  # before the URL is told: whoever reads it may stop the worker
        _noting_interrupt() as interrupted,
        _serving(worker, data_dir, address) if wanted else nullcontext(),
        progress(live=is_live(stdout_taken=as_json or "-" in sinks.values())) as show,
    ):
        summary = worker.run(show)
    report(summary)
    if as_json:
        write_json(summary.to_json())
    if interrupted:
        raise typer.Exit(_INTERRUPTED)


def _refuse_contradictions(*, no_http: bool, stdout_twice: bool) -> None:
    if no_http:
        msg = "expected --http or --no-http, got both"
        raise ConfigError(msg)
    if stdout_twice:
        msg = "--json and --output TOPIC=- would both write to stdout: leave one out"
        raise ConfigError(msg)


def _settings(data_dir: Path, partitions: int | None, checkpoint_interval: str, cache: str) -> WorkerSettings:
    from headrace.config import WorkerSettings  # noqa: PLC0415
    from headrace.runtime.directory import read_marker  # noqa: PLC0415

    marker = read_marker(data_dir)
    if partitions is None and marker is not None:
        partitions = marker.partitions
    given = {} if partitions is None else {"partitions": partitions}
    return WorkerSettings.of(
        data_dir=data_dir,
        checkpoint_interval=timedelta(milliseconds=parse_duration(checkpoint_interval, "--checkpoint-interval")),
        cache_bytes=parse_size(cache, "--cache"),
        **given,
    )


@contextmanager
def _noting_interrupt() -> Iterator[list[int]]:
    """Yield a list that gets SIGINT when it comes, before the handler that is there deals with it."""
    before = signal.getsignal(signal.SIGINT)
    seen: list[int] = []

    def note_it(number: int, frame: FrameType | None) -> None:
        seen.append(number)
        if callable(before):
            before(number, frame)

    signal.signal(signal.SIGINT, note_it)
    try:
        yield seen
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _serving(worker: Worker, data_dir: Path, address: tuple[str, int] | None) -> Iterator[None]:
    """Serve HTTP meanwhile; without an address given any free port will do if the usual one is taken."""
    from headrace.query.server import serve  # noqa: PLC0415
    from headrace.query.worker import ServedWorker  # noqa: PLC0415

    host, port = address or (_DEFAULT_HOST, _DEFAULT_PORT)
    with serve(ServedWorker(worker), data_dir, host=host, port=port, or_any_port=address is None) as url:
        note(f"listening on {url}")
        yield

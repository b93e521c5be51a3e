"""``headrace run``: the embedded worker."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from headrace.cli.console import note, write_json
from headrace.cli.feeds import check_inputs, check_outputs, unfed
from headrace.cli.options import (
    DEFAULT_DATA_DIR,
    INTERRUPTED,
    DataDir,
    Target,
    parse_address,
    parse_duration,
    parse_outputs,
    parse_pairs,
    parse_size,
)
from headrace.cli.progress import is_live, progress, report
from headrace.errors import ConfigError

if TYPE_CHECKING:
    from headrace.config import WorkerSettings
    from headrace.runtime.summary import Summary
    from headrace.runtime.worker import Worker

_FAILED = 1
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


NoHttp = Annotated[bool, typer.Option("--no-http", help="Take no HTTP requests.")]
Follow = Annotated[bool, typer.Option("--follow", help="Go on when input files grow, until Ctrl-C.")]
Drain = Annotated[
    bool,
    typer.Option(
        "--drain",
        help="Take what is in the log for all there is: process it, close every window, and end. "
        "Events of closed windows that come later are late.",
    ),
]
Partitions = Annotated[
    int | None, typer.Option("--partitions", min=1, help="Partitions of topics and state [default: 4].")
]
Interval = Annotated[
    str | None,
    typer.Option("--checkpoint-interval", metavar="DURATION", help="How often results are written [default: 100ms]."),
]
Cache = Annotated[
    str | None, typer.Option("--cache", metavar="SIZE", help="State in memory, per topology [default: 64MB].")
]
FailOnDeadLetters = Annotated[
    bool,
    typer.Option("--fail-on-dead-letters", help="Exit with 1 at the end if records became dead letters in this run."),
]
SummaryAsJson = Annotated[bool, typer.Option("--json", help="Print the summary as JSON on stdout.")]


def run(
    target: Target,
    *,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    inputs: Inputs = None,
    outputs: Outputs = None,
    http: HttpAddress = None,
    no_http: NoHttp = False,
    follow: Follow = False,
    drain: Drain = False,
    partitions: Partitions = None,
    checkpoint_interval: Interval = None,
    cache: Cache = None,
    fail_on_dead_letters: FailOnDeadLetters = False,
    as_json: SummaryAsJson = False,
) -> None:
    """Run the topologies of TARGET on this machine.

    Bounded input runs to its end. Otherwise the worker runs until Ctrl-C; either way it goes on
    where it was at the next start. HTTP is on unless the input is bounded. What no option says,
    the environment may: HEADRACE_CACHE_BYTES, HEADRACE_FSYNC and others.
    """
    from headrace.runtime.loading import load_target  # noqa: PLC0415 - --help must not wait for these
    from headrace.runtime.worker import Worker  # noqa: PLC0415

    sinks, feeds = parse_outputs(outputs or (), "--output"), parse_pairs(inputs or (), "--input")
    address = None if http is None else parse_address(http, "--http")
    on_stdout = "-" in sinks.values()
    _refuse_contradictions(no_http=no_http and http is not None, stdout_twice=as_json and on_stdout)
    check_inputs(feeds)
    check_outputs(sinks)
    worker = Worker(
        load_target(target),
        _settings(data_dir, partitions, checkpoint_interval, cache),
        inputs=feeds,
        outputs=sinks,
        follow=follow,
        drain=drain,
        target=target,
    )
    wanted = not no_http and (address is not None or not worker.bounded)
    serving = _serving(worker, data_dir, address) if wanted else nullcontext()
    waiting = [] if worker.bounded else unfed(worker, feeds)
    summary, interrupted = _work(worker, serving, waiting, live=is_live(stdout_taken=as_json or on_stdout))
    report(summary)
    if summary.ended and not summary.records_in and worker.read_before:
        note(f"nothing is new: the input was read to its end before. Another --data-dir than {data_dir} reads it again")
    if as_json:
        write_json(summary.to_json())
    if interrupted:
        raise typer.Exit(INTERRUPTED)
    if fail_on_dead_letters and summary.dead_letters:
        raise typer.Exit(_FAILED)


def _work(
    worker: Worker, serving: AbstractContextManager[object], waiting: list[str], *, live: bool
) -> tuple[Summary, bool]:
    """Run the worker to its end; return what was done, and whether by Ctrl-C."""
    from headrace.runtime.garbage import calm  # noqa: PLC0415
    from headrace.runtime.signals import stop_on_signals  # noqa: PLC0415

    with (
        worker,
        stop_on_signals(worker),  # before the URL is told: whoever reads it may stop the worker
        _noting_interrupt() as interrupted,
        serving,
    ):
        _tell_unfed(waiting, served=not isinstance(serving, nullcontext))
        with progress(live=live) as show:
            calm()
            return worker.run(show), bool(interrupted)


def _refuse_contradictions(*, no_http: bool, stdout_twice: bool) -> None:
    if no_http:
        msg = "expected --http or --no-http, got both"
        raise ConfigError(msg)
    if stdout_twice:
        msg = "--json and --output TOPIC=- would both write to stdout: leave one out"
        raise ConfigError(msg)


def _settings(data_dir: Path, partitions: int | None, interval: str | None, cache: str | None) -> WorkerSettings:
    """Return the settings: options win over the environment, and that over what the data directory was made with."""
    from headrace.config import WorkerSettings  # noqa: PLC0415
    from headrace.runtime.directory import read_marker  # noqa: PLC0415

    marker = read_marker(data_dir)
    if partitions is None and marker is not None and "HEADRACE_PARTITIONS" not in os.environ:
        partitions = marker.partitions
    given: dict[str, object] = {"data_dir": data_dir}
    if partitions is not None:
        given["partitions"] = partitions
    if interval is not None:
        given["checkpoint_interval"] = timedelta(milliseconds=parse_duration(interval, "--checkpoint-interval"))
    if cache is not None:
        given["cache_bytes"] = parse_size(cache, "--cache")
    return WorkerSettings.from_env("HEADRACE_", os.environ, **given)


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
        if address is None and not url.endswith(f":{_DEFAULT_PORT}"):
            # What is sent to the usual port reaches somebody else's log now.
            note(f"port {_DEFAULT_PORT} is taken (by another worker?): listening on {url}")
        else:
            note(f"listening on {url}")
        yield


def _tell_unfed(topics: list[str], *, served: bool) -> None:
    """Say what the worker waits for: without it, an input that was forgotten looks like a slow one."""
    if topics:
        noun, verb = ("topic", "has") if len(topics) == 1 else ("topics", "have")
        how = "waiting for events over HTTP" if served else "HTTP is off, only what is in the log is read"
        note(f"{noun} {', '.join(topics)} {verb} no --input: {how}; Ctrl-C ends")

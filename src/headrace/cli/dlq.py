"""``headrace dlq``: the dead letters of a fleet on Kafka."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Coroutine
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from headrace.cli.console import note, write_json, write_rows
from headrace.cli.fleet import Brokers, More, fleet_settings
from headrace.cli.options import Json
from headrace.errors import ConfigError

if TYPE_CHECKING:
    from headrace.kafka.dead_letters import Letter, Outcome, Selection
    from headrace.kafka.settings import FleetSettings

app = typer.Typer(help="List, show and replay the dead letters of a fleet on Kafka.", no_args_is_help=True)

T = TypeVar("T")

_REFUSED = 1
_PLACE = re.compile(r"(?:(?:(?P<topic>.+)-)?(?P<partition>\d+)@)?(?P<offset>\d+)")
_RANGE = re.compile(r"(\d*)\.\.(\d*)")

Name = Annotated[str, typer.Argument(metavar="TOPOLOGY", help="A topology, or its topic of dead letters.")]
Step = Annotated[str | None, typer.Option("--step", help="Only letters of this step.")]
Error = Annotated[str | None, typer.Option("--error", help="Only letters of this kind of error, such as DataError.")]
Topic = Annotated[str | None, typer.Option("--topic", help="Only letters of records of this topic.")]
PartitionNumber = Annotated[
    int | None, typer.Option("--partition", min=0, help="Only this partition of the dead-letter topic.")
]
Offsets = Annotated[
    str | None,
    typer.Option("--offsets", metavar="FIRST..LAST", help="Only letters at these offsets; either end may be left out."),
]


@app.command("list")
def list_letters(
    name: Annotated[
        str | None, typer.Argument(metavar="[TOPOLOGY]", help="A topology, or its topic [default: all].")
    ] = None,
    *,
    brokers: Brokers = None,
    step: Step = None,
    error: Error = None,
    topic: Topic = None,
    partition: PartitionNumber = None,
    offsets: Offsets = None,
    more: More = None,
    as_json: Json = False,
) -> None:
    """Count dead letters by step, topic and error, with the latest of each kind."""
    settings, selection = _settings(brokers, more), _selection(step, error, topic, partition, offsets)
    rows = _run(settings, _list(settings, name, selection))
    if as_json:
        write_json(rows)
    else:
        write_rows(rows)


@app.command("show")
def show(
    name: Name,
    place: Annotated[
        str,
        typer.Argument(
            metavar="PLACE",
            help="OFFSET or PARTITION@OFFSET among the dead letters, or TOPIC-PARTITION@OFFSET of the record it was.",
        ),
    ],
    *,
    brokers: Brokers = None,
    raw: Annotated[bool, typer.Option("--raw", help="Write the record's bytes to stdout, and nothing else.")] = False,
    more: More = None,
    as_json: Json = False,
) -> None:
    """Show a dead letter: why it is one, its headers, and the record as it came in."""
    settings = _settings(brokers, more)
    letter = _run(settings, _find(settings, name, place))
    if raw:
        sys.stdout.buffer.write(letter.value or b"")
        sys.stdout.flush()
    elif as_json:
        write_json(_to_json(letter), indent=True)
    else:
        print(_to_text(letter))


@app.command("replay")
def replay(
    name: Name,
    *,
    brokers: Brokers = None,
    step: Step = None,
    error: Error = None,
    topic: Topic = None,
    partition: PartitionNumber = None,
    offsets: Offsets = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be replayed.")] = False,
    more: More = None,
) -> None:
    """Send dead letters back to the topics and partitions they came from, each once, however often this is run.

    Mend the topology, or what made the records bad, before: a record that fails again is a new dead letter.
    """
    settings, selection = _settings(brokers, more), _selection(step, error, topic, partition, offsets)
    if dry_run:
        rows = _run(settings, _list(settings, name, selection))
        write_rows(rows)
        return
    outcome = _run(settings, _replay(settings, name, selection))
    note(f"replayed {outcome.replayed:,}" + (f"; {outcome.before:,} had been before" if outcome.before else ""))
    for reason, count in outcome.refused.items():
        note(f"{count:,} cannot be replayed: {reason}")
    if outcome.refused:
        raise typer.Exit(_REFUSED)


def _settings(brokers: str | None, more: list[str] | None) -> FleetSettings:
    return fleet_settings("dlq", more, brokers=brokers)


def _selection(
    step: str | None, error: str | None, topic: str | None, partition: int | None, offsets: str | None
) -> Selection:
    from headrace.kafka.dead_letters import Selection  # noqa: PLC0415 - --help must not wait for it

    found = _RANGE.fullmatch(offsets) if offsets is not None else None
    if offsets is not None and (found is None or offsets == ".."):
        msg = f"--offsets: expected FIRST..LAST, FIRST.. or ..LAST, got {offsets!r}"
        raise ConfigError(msg)
    span = range(int(found[1] or 0), int(found[2]) + 1 if found[2] else sys.maxsize) if found else None
    return Selection(step, error, topic, partition, span)


def _run(settings: FleetSettings, work: Coroutine[Any, Any, T]) -> T:
    """Do the work once a broker answers."""
    from headrace.cli.logs import log_to_stderr  # noqa: PLC0415

    log_to_stderr("dlq")

    async def main() -> T:
        try:
            from headrace.kafka.reaching import reach  # noqa: PLC0415 - it needs an extra

            await reach(settings)
        except BaseException:
            work.close()
            raise
        return await work

    return asyncio.run(main())


async def _list(settings: FleetSettings, name: str | None, selection: Selection) -> list[dict[str, object]]:
    from headrace.kafka.dead_letters import letter_topics, open_letters, summarize  # noqa: PLC0415
    from headrace.kafka.security import connection_options  # noqa: PLC0415
    from headrace.kafka.topics_admin import TopicAdmin  # noqa: PLC0415

    names = [name] if name is not None else []
    if name is None:
        async with TopicAdmin(settings.brokers, **connection_options(settings)) as admin:
            names = await letter_topics(admin)
    rows = []
    for one in names:
        async with open_letters(settings, one) as letters:
            rows += summarize([letter async for letter in letters.read() if letter in selection])
    return rows


async def _find(settings: FleetSettings, name: str, place: str) -> Letter:
    from headrace.kafka.dead_letters import open_letters  # noqa: PLC0415

    found = _PLACE.fullmatch(place)
    if found is None:
        msg = f"expected OFFSET, PARTITION@OFFSET or TOPIC-PARTITION@OFFSET, got {place!r}"
        raise ConfigError(msg)
    position, topic = f"{found['partition'] or 0}@{found['offset']}", found["topic"]
    latest = None
    async with open_letters(settings, name) as letters:
        async for letter in letters.read():
            if position == letter.position if topic in {None, letters.topic} else place == letter.origin:
                latest = letter
        if latest is None:
            msg = f"there is no dead letter at {place!r} in {letters.topic}"
            raise ConfigError(msg)
    return latest


async def _replay(settings: FleetSettings, name: str, selection: Selection) -> Outcome:
    from headrace.kafka.dead_letters import open_letters  # noqa: PLC0415
    from headrace.kafka.producing import ProducerOptions  # noqa: PLC0415

    def tell(outcome: Outcome) -> None:
        if sys.stderr.isatty():
            note(f"{outcome.replayed:,} replayed")

    async with open_letters(settings, name) as letters:
        options = ProducerOptions(compression=settings.compression)
        return await letters.replay(selection, options=options, on_progress=tell)


def _to_json(letter: Letter) -> dict[str, Any]:
    mark = letter.replayed
    return {
        "topic": letter.place.topic,
        "partition": letter.place.partition,
        "offset": letter.offset,
        "time": datetime.fromtimestamp(letter.time_ms / 1000, UTC),
        "origin": letter.origin,
        "reason": letter.reason,
        "replayed": None if mark is None else {"topic": mark.topic, "partition": mark.partition, "time": mark.time},
        "key": _decode(letter.key),
        "headers": {name: _decode(value) for name, value in letter.headers},
        "value": _decode(letter.value),
    }


def _to_text(letter: Letter) -> str:
    mark = letter.replayed
    lines = [f"{letter.place.topic} {letter.position}"]
    told = {"step": letter.reason.get("step", "?"), "record": letter.origin}
    told |= {name: letter.reason.get(name, "?") for name in ("error", "message", "time")}
    told["replayed"] = "no" if mark is None else f"to {mark.topic}-{mark.partition} at {mark.time:%Y-%m-%d %H:%M:%S}Z"
    told |= {"key": _decode(letter.key) or "none"}
    told |= {f"header {name}": _decode(value) or "" for name, value in letter.headers}
    width = max(map(len, told))
    lines += [f"  {name:<{width}}  {_plain(text)}" for name, text in told.items()]
    return "\n".join([*lines, _plain(_decode(letter.value) or "")])


def _decode(data: bytes | None) -> str | None:
    return None if data is None else data.decode(errors="replace")


def _plain(text: str) -> str:
    """Return text on one line that does nothing to a terminal: what is not printable is escaped."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)

"""``headrace rules``: the rules of a control topic, and what they would say of an event."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from headrace.cli.console import note, write_json, write_rows
from headrace.cli.fleet import Brokers, More, fleet_settings
from headrace.cli.options import DEFAULT_DATA_DIR, DataDir, Json, parse_time
from headrace.errors import ConfigError

if TYPE_CHECKING:
    from headrace.cli.control import Judged
    from headrace.kafka.settings import FleetSettings
    from headrace.topology.rulesets import Rule, RuleChange, RuleSet

app = typer.Typer(help="List, publish, remove and try out the rules of a control topic.", no_args_is_help=True)

_NONE = 1
_encode = msgspec.json.Encoder(decimal_format="string").encode

Topic = Annotated[str, typer.Argument(metavar="TOPIC", help="The control topic.")]
RuleTarget = Annotated[
    str | None,
    typer.Option(
        "--target", help="Where the topology is: rules are checked against its records, and its initial ones are shown."
    ),
]
From = Annotated[
    str | None, typer.Option("--from", metavar="TIME", help="From which event time on it counts [default: now].")
]


@app.command("list")
def list_rules(
    topic: Topic,
    *,
    at: Annotated[str | None, typer.Option("--at", metavar="TIME", help="As they are then [default: now].")] = None,
    brokers: Brokers = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    target: RuleTarget = None,
    more: More = None,
    as_json: Json = False,
) -> None:
    """Show the rules in force and those that are to come, as the changes in the topic make them."""
    from headrace.cli.control import columns_and_initial, standing  # noqa: PLC0415 - --help must not wait for these

    moment = datetime.now(UTC) if at is None else parse_time(at, "--at")
    columns, initial = columns_and_initial(target, topic)
    rows, refused = standing(_read(topic, brokers, data_dir, more), initial, columns, moment)
    if as_json:
        write_json(rows)
    else:
        write_rows(rows, title=topic)
    if refused:
        note(f"{_count(refused, 'change')} in the topic refused")


@app.command("put")
def put(
    topic: Topic,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A YAML file of rules.")],
    *,
    only: Annotated[list[str] | None, typer.Option("--only", metavar="NAME", help="Only this rule.")] = None,
    begin: From = None,
    brokers: Brokers = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    target: RuleTarget = None,
    more: More = None,
) -> None:
    """Put the rules of a file in force. If one of them is bad, none is published."""
    from headrace.cli.control import columns_and_initial, wrong_in  # noqa: PLC0415
    from headrace.topology.rulesets import RuleChange  # noqa: PLC0415

    rules = _chosen(_file(file), only)
    columns, _ = columns_and_initial(target, topic)
    wrong = [reason for rule in rules if (reason := wrong_in(rule, columns)) is not None]
    if wrong:
        raise ConfigError("\n".join(wrong))
    start = None if begin is None else parse_time(begin, "--from")
    _publish(topic, [RuleChange.put(rule, start) for rule in rules], brokers, data_dir, more)
    note(f"published {_count(len(rules), 'rule')}")


@app.command("remove")
def remove(
    topic: Topic,
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="The rules.")],
    *,
    version: Annotated[int, typer.Option("--version", min=0, help="Above that of a change from the same instant.")] = 1,
    begin: From = None,
    brokers: Brokers = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    more: More = None,
) -> None:
    """Remove rules, those that the topology begins with too."""
    from headrace.topology.rulesets import RuleChange  # noqa: PLC0415

    start = None if begin is None else parse_time(begin, "--from")
    changes = [RuleChange(name=name, op="remove", version=version, effective_from=start) for name in names]
    _publish(topic, changes, brokers, data_dir, more)
    note(f"removed {_count(len(names), 'rule')}")


@app.command("test")
def try_out(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A YAML file of rules.")],
    *,
    event: Annotated[str, typer.Option("--event", metavar="JSON", help="The event; '-' reads it from stdin.")],
    schema: Annotated[
        str | None,
        typer.Option(
            "--schema",
            metavar="MODULE:CLASS",
            help="The event's pydantic model or Event [default: the types that its values have in JSON].",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Show which rules an event fires, and why: every part of each condition with its value.

    Exit code 0: at least one rule fires; 1: none does; 2: a rule or the event is wrong.
    """
    from headrace.cli.control import judge, read_event  # noqa: PLC0415

    rules = _file(file)
    columns, record = read_event(sys.stdin.read() if event == "-" else event, schema, rules)
    judged = [judge(rule, columns, record) for rule in rules.ordered()]
    if as_json:
        write_json([one.to_json() for one in judged])
    else:
        _show(judged)
    wrong = [one.wrong for one in judged if one.wrong is not None]
    if wrong:
        raise ConfigError("\n".join(wrong))
    if not any(one.fires for one in judged):
        raise typer.Exit(_NONE)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _show(judged: Sequence[Judged]) -> None:
    decides = next((one.rule.name for one in judged if one.fires), None)
    for one in judged:
        print(one.headline(decides=one.rule.name == decides))
        for part in one.parts:
            value = part.error if part.error is not None else _text(part.value)
            print(f"  {'  ' * part.depth}{part.text} = {value}")


def _text(value: object) -> str:
    try:
        return _encode(value).decode()
    except (TypeError, ValueError):
        return repr(value)


def _file(path: Path) -> RuleSet:
    from headrace.topology.rulesets import RuleSet  # noqa: PLC0415

    return RuleSet.from_yaml(path)


def _chosen(rules: RuleSet, only: list[str] | None) -> list[Rule]:
    known = {rule.name: rule for rule in rules.rules()}
    for name in only or ():
        if name not in known:
            msg = f"--only: there is no rule {name!r} in the file; there are: {', '.join(known) or 'none'}"
            raise ConfigError(msg)
    return [rule for rule in known.values() if not only or rule.name in only]


def _settings(brokers: str | None, more: list[str] | None) -> FleetSettings:
    return fleet_settings("rules", more, brokers=brokers)


def _read(topic: str, brokers: str | None, data_dir: Path, more: list[str] | None) -> list[tuple[int, bytes]]:
    if brokers is None:
        from headrace.cli.control import read_log  # noqa: PLC0415

        return read_log(data_dir, topic)
    from headrace.kafka.control_topics import read_all  # noqa: PLC0415
    from headrace.kafka.reaching import reach  # noqa: PLC0415

    settings = _settings(brokers, more)

    async def main() -> list[tuple[int, bytes]]:
        await reach(settings)
        return await read_all(settings, topic)

    return asyncio.run(main())


def _publish(
    topic: str, changes: Sequence[RuleChange], brokers: str | None, data_dir: Path, more: list[str] | None
) -> None:
    records = [(change.name.encode(), change.model_dump_json().encode()) for change in changes]
    if brokers is None:
        from headrace.cli.control import send  # noqa: PLC0415

        send(data_dir, topic, records)
        return
    from headrace.kafka.control_topics import publish  # noqa: PLC0415
    from headrace.kafka.reaching import reach  # noqa: PLC0415

    settings = _settings(brokers, more)
    now = datetime.now(UTC)

    async def main() -> None:
        await reach(settings)
        await publish(settings, topic, records, int(now.timestamp() * 1000))

    asyncio.run(main())

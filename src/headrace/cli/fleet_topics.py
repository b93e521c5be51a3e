"""``headrace topics plan`` and ``create``: the topics that a fleet needs on Kafka."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headrace.cli.console import note, write_json, write_rows
from headrace.cli.fleet import Brokers, Group, More, default_group, fleet_settings
from headrace.cli.options import Json, Target

if TYPE_CHECKING:
    from headrace.kafka.layout import Layout
    from headrace.kafka.settings import FleetSettings
    from headrace.kafka.topics import TopicPlan
    from headrace.kafka.topics_admin import TopicAdmin

_WRONG = 1

Partitions = Annotated[
    int | None,
    typer.Option("--partitions", min=1, help="Partitions of repartition topics [default: as the widest input has]."),
]
Replication = Annotated[
    int | None,
    typer.Option("--replication", help="Replication factor of new topics [default: the brokers']."),
]


Inputs = Annotated[
    int | None,
    typer.Option(
        "--inputs",
        min=1,
        metavar="PARTITIONS",
        help="Also create input topics that are not there, with so many partitions: to try something out.",
    ),
]


def plan(
    target: Target,
    *,
    brokers: Brokers = None,
    group: Group = None,
    partitions: Partitions = None,
    replication: Replication = None,
    more: More = None,
    as_json: Json = False,
) -> None:
    """Show the topics of a fleet: which are there, which would be created, what is wrong; exit code 1 if something is.

    Nothing is created.
    """
    layout, settings = _read(target, group, more, brokers=brokers, partitions=partitions, replication=replication)
    plans = asyncio.run(_look(layout, settings))
    _show(plans, as_json=as_json)
    if any(one.fault for one in plans):
        raise typer.Exit(_WRONG)


def create(
    target: Target,
    *,
    brokers: Brokers = None,
    group: Group = None,
    partitions: Partitions = None,
    replication: Replication = None,
    inputs: Inputs = None,
    more: More = None,
    as_json: Json = False,
) -> None:
    """Create the topics of a fleet that are not there. Inputs are others' to create.

    Workers do it too when they start; this is for brokers on which they may not.
    """
    layout, settings = _read(target, group, more, brokers=brokers, partitions=partitions, replication=replication)
    before, plans = asyncio.run(_create(layout, settings, inputs))
    made = [one for one in plans if one.missing or one.spec.name in before]
    if as_json:
        write_json([_row(one) for one in made])
    elif made:
        write_rows(_row(one) for one in made)
    note(f"created {len(made)} of {len(plans)} topics")


def _read(target: str, group: str | None, more: list[str] | None, **options: object) -> tuple[Layout, FleetSettings]:
    from headrace.kafka.layout import lay_out  # noqa: PLC0415 - --help must not wait for these
    from headrace.plan import compile_plan  # noqa: PLC0415
    from headrace.runtime.loading import load_target  # noqa: PLC0415

    topologies = load_target(target)
    settings = fleet_settings(default_group(group, target, topologies), more, **options)
    return lay_out(settings.group, [compile_plan(topology) for topology in topologies]), settings


async def _look(layout: Layout, settings: FleetSettings) -> list[TopicPlan]:
    from headrace.kafka.topics import look  # noqa: PLC0415

    async with _admin(settings) as admin:
        return await look(admin, layout, settings)


async def _create(layout: Layout, settings: FleetSettings, inputs: int | None) -> tuple[list[str], list[TopicPlan]]:
    """Create topics; return the inputs among them, and the plans of all as they were before the rest was created."""
    from headrace.kafka.topics import create_missing, look  # noqa: PLC0415
    from headrace.kafka.topics_admin import TopicSpec  # noqa: PLC0415

    async with _admin(settings) as admin:
        plans = await look(admin, layout, settings)
        made = []
        if inputs is not None:
            missing = [one.spec.name for one in plans if one.role == "input" and one.exists is None]
            made = await admin.create([TopicSpec(name, inputs, settings.replication) for name in missing])
            plans = await look(admin, layout, settings)
        await create_missing(admin, plans)
    return made, plans


@asynccontextmanager
async def _admin(settings: FleetSettings) -> AsyncIterator[TopicAdmin]:
    from headrace.kafka.reaching import reach  # noqa: PLC0415
    from headrace.kafka.security import connection_options  # noqa: PLC0415
    from headrace.kafka.topics_admin import TopicAdmin  # noqa: PLC0415

    await reach(settings)
    async with TopicAdmin(settings.brokers, **connection_options(settings)) as admin:
        yield admin


def _show(plans: list[TopicPlan], *, as_json: bool) -> None:
    rows = [_row(one) for one in plans]
    if as_json:
        write_json(rows)
        return
    write_rows(
        {**row, "configs": " ".join(f"{k}={v}" for k, v in row["configs"].items())} for row in _without_faults(rows)
    )
    for fault in dict.fromkeys(one.fault for one in plans if one.fault):
        note(f"wrong: {fault}")
    missing = sum(one.missing for one in plans)
    note(f"{len(plans)} topics, {missing} to create")


def _without_faults(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name != "fault"} for row in rows]


def _row(plan: TopicPlan) -> dict[str, Any]:
    spec = plan.spec
    state = "wrong" if plan.fault else "create" if plan.missing else "ok"
    return {
        "topic": spec.name,
        "role": plan.role,
        "state": state,
        "partitions": plan.exists if plan.exists is not None else spec.partitions or None,
        "replication": None if spec.replication < 0 or not plan.missing else spec.replication,
        "configs": dict(spec.configs),
        "fault": plan.fault or None,
    }

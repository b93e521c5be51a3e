"""``headrace schema``: JSON Schemas of models, and whether a change breaks old records."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from headrace.cli.console import note, write_json
from headrace.cli.options import Json
from headrace.errors import ConfigError

if TYPE_CHECKING:
    from pydantic import BaseModel

app = typer.Typer(help="Print the JSON Schema of models; check a change against a saved one.", no_args_is_help=True)

_INCOMPATIBLE = 1
Model = Annotated[
    str,
    typer.Argument(
        metavar="MODULE:MODEL", help="A pydantic model or event class: package.module:Model or path/file.py:Model."
    ),
]


@app.command("json")
def show(
    target: Annotated[
        str,
        typer.Argument(
            metavar="TARGET", help="MODULE:MODEL or FILE.py:MODEL, or where topologies are: all that they read."
        ),
    ],
) -> None:
    """Print the JSON Schema of a model, or of every topic that the topologies of TARGET read."""
    from headrace.event import schema_json  # noqa: PLC0415 - pydantic is slow to import
    from headrace.runtime.loading import load_target  # noqa: PLC0415
    from headrace.topology.nodes import Source  # noqa: PLC0415

    model = _find_model(target)
    if model is not None:
        write_json(schema_json(model), indent=True)
        return
    nodes = [node for topology in load_target(target) for node in topology.nodes if isinstance(node, Source)]
    write_json({node.topic: schema_json(node.schema) for node in nodes}, indent=True)


@app.command("check")
def check(
    old: Annotated[Path, typer.Argument(metavar="OLD.json", help="A schema saved by: headrace schema json.")],
    model: Model,
    *,
    as_json: Json = False,
) -> None:
    """Tell whether records of the OLD schema are good by the model; exit code 1 if they are not."""
    from headrace.event import compatible, schema_json  # noqa: PLC0415

    found = _find_model(model)
    if found is None:
        msg = f"expected MODULE:MODEL or FILE.py:MODEL naming a pydantic model, got {model!r}"
        raise ConfigError(msg)
    before = _read_schema(old)
    faults = compatible(before, schema_json(found))
    upcast = bool(faults) and _is_upcast(found, before)
    if as_json:
        write_json({"compatible": not faults or upcast, "upcast": upcast, "faults": faults}, indent=True)
    else:
        for fault in faults:
            print(fault)
        note(_verdict(faults, upcast=upcast))
    if faults and not upcast:
        raise typer.Exit(_INCOMPATIBLE)


def _verdict(faults: list[str], *, upcast: bool) -> str:
    if not faults:
        return "compatible: records of the old schema are good by the new one"
    if upcast:
        return "compatible: the version was raised, and upcasters take the old version to the new one"
    return "incompatible: give new fields a default, or raise the event's version and declare an upcaster"


def _is_upcast(model: type[BaseModel], before: dict[str, Any]) -> bool:
    """Tell whether upcasters lead from the version of the saved schema to the model's."""
    from headrace.event import Event, check_versions  # noqa: PLC0415
    from headrace.event.versions import upcasts_from  # noqa: PLC0415

    version = before.get("x-event-version")
    if not (issubclass(model, Event) and isinstance(version, int) and version < model.event_version):
        return False
    check_versions(model)
    return upcasts_from(model, version)


def _find_model(target: str) -> type[BaseModel] | None:
    """Return the model that ``module:Model`` or ``path/file.py:Model`` names, or None if it names something else."""
    from pydantic import BaseModel  # noqa: PLC0415

    from headrace.runtime.loading import load_module  # noqa: PLC0415

    place, _, name = target.partition(":")
    if not (place and name):
        return None
    found = getattr(load_module(place), name, None)
    return found if isinstance(found, type) and issubclass(found, BaseModel) else None


def _read_schema(path: Path) -> dict[str, Any]:
    try:
        schema = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except (OSError, msgspec.DecodeError) as error:
        msg = f"{path} cannot be read as a JSON Schema: {error}"
        raise ConfigError(msg) from error
    if not isinstance(schema.get("properties"), dict):
        msg = f"{path} is no JSON Schema of a model. Save one with: headrace schema json MODULE:MODEL > {path.name}"
        raise ConfigError(msg)
    return schema

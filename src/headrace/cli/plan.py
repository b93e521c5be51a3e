"""``headrace plan``: what a topology compiles into, and what an upgrade changes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from headrace.cli.console import note, write_json
from headrace.cli.options import Json, Target
from headrace.errors import ConfigError

if TYPE_CHECKING:
    from headrace.plan import Plan

_INCOMPATIBLE = 1


def plan(
    target: Target,
    *,
    as_json: Json = False,
    mermaid: Annotated[bool, typer.Option("--mermaid", help="Print a Mermaid flow chart.")] = False,
    code: Annotated[bool, typer.Option("--code", help="Print the generated functions.")] = False,
    old: Annotated[
        Path | None,
        typer.Option(
            "--diff",
            metavar="OLD.json",
            help="Compare with a plan saved by --json; exit code 1 if its state does not survive.",
        ),
    ] = None,
) -> None:
    """Show what the topologies of TARGET compile into."""
    if sum((mermaid, code, old is not None)) > 1 or (as_json and (mermaid or code)):
        msg = "plan: expected one of --json, --mermaid, --code and --diff (--diff may go with --json)"
        raise ConfigError(msg)
    from headrace.plan import compile_plan, describe  # noqa: PLC0415 - the compiler is slow to import
    from headrace.runtime.loading import load_target  # noqa: PLC0415

    plans = [compile_plan(topology) for topology in load_target(target)]
    if old is not None:
        _show_diff(old, plans, as_json=as_json)
    elif as_json:
        described = [describe(one).to_json() for one in plans]
        write_json(described[0] if len(described) == 1 else described, indent=True)
    else:
        print("\n\n".join(_text(one, mermaid=mermaid, code=code).rstrip("\n") for one in plans))


def _text(plan: Plan, *, mermaid: bool, code: bool) -> str:
    from headrace.operators import code as generated  # noqa: PLC0415
    from headrace.plan import describe  # noqa: PLC0415

    if mermaid:
        return describe(plan).to_mermaid()
    return generated(plan) if code else str(describe(plan))


def _show_diff(path: Path, plans: list[Plan], *, as_json: bool) -> None:
    from headrace.plan import diff  # noqa: PLC0415

    saved = _read_saved(path)
    unknown = [plan.name for plan in plans if plan.name not in saved]
    if len(unknown) == len(plans):
        msg = f"--diff: {path} holds the plan of {', '.join(map(repr, saved))}, TARGET declares {unknown[0]!r}"
        raise ConfigError(msg)
    for name in unknown:
        note(f"topology {name!r} is new")
    diffs = [diff(saved[plan.name], plan) for plan in plans if plan.name in saved]
    if as_json:
        found = [one.to_json() for one in diffs]
        write_json(found[0] if len(plans) == 1 else found, indent=True)
    else:
        print("\n\n".join(str(one).rstrip("\n") for one in diffs))
    if not all(one.compatible for one in diffs):
        raise typer.Exit(_INCOMPATIBLE)


def _read_saved(path: Path) -> dict[str, dict[str, Any]]:
    """Return the plans of a file that ``plan --json`` wrote, by topology name."""
    try:
        data = msgspec.json.decode(path.read_bytes())
    except (OSError, msgspec.DecodeError) as error:
        msg = f"--diff: {path} cannot be read: {error}"
        raise ConfigError(msg) from error
    saved = data if isinstance(data, list) else [data]
    if not all(isinstance(one, dict) and isinstance(one.get("topology"), str) for one in saved):
        msg = f"--diff: {path} is no plan. Save one with: headrace plan TARGET --json > {path.name}"
        raise ConfigError(msg)
    return {one["topology"]: one for one in saved}

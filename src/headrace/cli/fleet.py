"""From a command line and the environment to the settings of a fleet. Options win."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from headrace.errors import ConfigError

if TYPE_CHECKING:
    from headrace.kafka.settings import FleetSettings
    from headrace.topology.topology import Topology

PREFIX = "HEADRACE_"

Brokers = Annotated[
    str | None,
    typer.Option("--brokers", metavar="HOST:PORT,...", help="Addresses of brokers [env: HEADRACE_BROKERS]."),
]
Group = Annotated[
    str | None,
    typer.Option(
        "--group",
        metavar="NAME",
        help="The consumer group: it names the fleet, and its internal topics begin with it "
        "[default: the topology's name; with several topologies the target's].",
    ),
]
More = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="Any other setting, such as cache_bytes=128MiB. Passwords: environment only.",
    ),
]


def fleet_settings(group: str | None, more: Iterable[str] | None = None, **options: object) -> FleetSettings:
    """Return the settings; options that are None were not given.

    Args:
        group: the group that was given, or the one to take if the environment has none.
        more: texts such as ``name=value``.
        options: settings by name.

    Raises:
        ConfigError: something is missing, unknown or wrong.
    """
    from headrace.kafka.settings import FleetSettings  # noqa: PLC0415 - --help must not wait for it

    given = {name: value for name, value in options.items() if value is not None}
    given |= _pairs(more or (), FleetSettings.model_fields)
    if group is not None:
        given["group"] = group
    if "brokers" not in given and not os.environ.get(f"{PREFIX}BROKERS"):
        msg = f"which brokers? Name them with --brokers HOST:PORT, or with {PREFIX}BROKERS in the environment"
        raise ConfigError(msg)
    return FleetSettings.from_env(PREFIX, os.environ, **given)


def default_group(group: str | None, target: str, topologies: Sequence[Topology]) -> str | None:
    """Return the group: given, or by the environment (None), or the name of the topology, or the target's."""
    if group is not None or os.environ.get(f"{PREFIX}GROUP"):
        return group
    if len(topologies) == 1:
        return topologies[0].name
    place = target.partition(":")[0]
    return Path(place).stem if place.endswith(".py") else place.rpartition(".")[2]


def _pairs(texts: Iterable[str], known: Iterable[str]) -> dict[str, object]:
    names, found = set(known), dict[str, object]()
    for text in texts:
        name, equals, value = text.partition("=")
        if re.search("password", name):
            msg = f"--set {name}=...: a password on the command line is seen by others. Use {PREFIX}{name.upper()}"
            raise ConfigError(msg)
        if not equals or name not in names:
            msg = f"--set: expected NAME=VALUE with one of {', '.join(sorted(names))}, got {name!r}"
            raise ConfigError(msg)
        found[name] = value
    return found

"""``headrace init``: a new fleet of the reference shape."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from headrace.cli.console import note
from headrace.errors import ConfigError

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

_SUFFIX = ".tmpl"  # so that no tool takes the templates for modules of this package


def init(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="A directory that is empty or not there yet.")],
) -> None:
    """Write a new fleet into DIR: schemas, a topology, a worker and a test that passes."""
    name = re.sub(r"[^a-z0-9]+", "-", directory.resolve().name.lower()).strip("-") or "fleet"
    try:
        if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
            msg = f"{directory} is there already and is not an empty directory. Name another."
            raise ConfigError(msg)
        _write(resources.files("headrace.cli") / "templates", directory, name)
    except OSError as error:
        msg = f"{directory} cannot be written: {error}"
        raise ConfigError(msg) from error
    note(f"wrote fleet {name!r} into {directory}; {directory / 'README.md'} says how to test and run it")


def _write(source: Traversable, directory: Path, name: str) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    for entry in sorted(source.iterdir(), key=lambda e: e.name):
        if entry.is_dir():
            _write(entry, directory / entry.name, name)
        elif entry.name.endswith(_SUFFIX):
            text = entry.read_text(encoding="utf-8").replace("{{name}}", name)
            (directory / entry.name.removesuffix(_SUFFIX)).write_text(text, encoding="utf-8")

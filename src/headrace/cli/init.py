"""``headrace init``: a new fleet of the reference shape."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from headrace.cli.console import note
from headrace.errors import ConfigError

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

_NEEDED = ("rocksdict", "fastapi", "httpx", "uvicorn", "pytest")  # beside what this program itself needs
_SUFFIX = ".tmpl"  # so that no tool takes the templates for modules of this package


def init(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="A directory that is empty or not there yet.")],
) -> None:
    """Write a new fleet into DIR: schemas, a topology, a worker and a test that passes."""
    source = _clone() or "path/to/headrace"
    name = re.sub(r"[^a-z0-9]+", "-", directory.resolve().name.lower()).strip("-") or "fleet"
    try:
        if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
            msg = f"{directory} is there already and is not an empty directory. Name another."
            raise ConfigError(msg)
        _write(resources.files("headrace.cli") / "templates", directory, {"name": name, "source": source})
    except OSError as error:
        msg = f"{directory} cannot be written: {error}"
        raise ConfigError(msg) from error
    note(f"wrote fleet {name!r} into {directory}; {directory / 'README.md'} says how to test and run it")
    if missing := [one for one in _NEEDED if find_spec(one) is None]:
        note(f"it needs {', '.join(missing)}, not installed here: pip install -e '{source}[embedded,query]' pytest")


def _clone() -> str | None:
    """Return where this program was cloned to; None if it was installed from elsewhere."""
    root = Path(__file__).resolve().parents[3]
    return str(root) if (root / "pyproject.toml").is_file() and (root / "src/headrace").is_dir() else None


def _write(source: Traversable, directory: Path, values: Mapping[str, str]) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    for entry in sorted(source.iterdir(), key=lambda e: e.name):
        if entry.is_dir():
            _write(entry, directory / entry.name, values)
        elif entry.name.endswith(_SUFFIX):
            text = entry.read_text(encoding="utf-8")
            for name, value in values.items():
                text = text.replace(f"{{{{{name}}}}}", value)
            (directory / entry.name.removesuffix(_SUFFIX)).write_text(text, encoding="utf-8")

"""``headrace demo``: the reference fleet on a simulated day."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path

import typer

from headrace.errors import ConfigError


def demo() -> None:
    """Run the fleet of the current directory on a simulated day of a shop, then query its tables."""
    sys.path.insert(0, str(Path.cwd()))
    if importlib.util.find_spec("workers") is None or importlib.util.find_spec("workers.demo") is None:
        msg = f"no workers/demo.py in {Path.cwd()}. Run this command in the root of the Headrace repository."
        raise ConfigError(msg)
    if not importlib.import_module("workers.demo").main():
        raise typer.Exit(1)

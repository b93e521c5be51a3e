"""The ``headrace`` command line.

Exit codes: 0 done, 1 failed, 2 wrong usage, settings or topology, 3 the data directory cannot be
used, 130 interrupted (after a clean checkpoint).
"""

from __future__ import annotations

import sys
import traceback
from importlib import metadata
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from headrace.cli import dlq, fleet_topics, init, plan, query, rules, run, schema, topics, worker
from headrace.cli.blame import blame, missing_extra, place
from headrace.cli.options import INTERRUPTED
from headrace.errors import ConfigError, HeadraceError, StateError, TopologyError

_FAILED, _USAGE, _STATE = 1, 2, 3


def exit_code(error: Exception) -> int:
    """Return the exit code that tells a script what kind of error it was."""
    match error:
        case StateError():
            return _STATE
        case HeadraceError() if not isinstance(error, ConfigError | TopologyError):
            return _FAILED
        case _:  # what the command line names cannot be used as it is
            return _USAGE


class _Group(TyperGroup):
    """Shows our own errors as their message; a traceback is for bugs and for ``--debug``."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as interrupt:
            raise typer.Exit(INTERRUPTED) from interrupt
        except Exception as error:
            told = _told(error)
            if told is None:
                raise  # a bug: its traceback is what helps
            if ctx.params.get("debug"):
                traceback.print_exc()
            else:
                print(f"headrace: {told}", file=sys.stderr)
            raise typer.Exit(exit_code(error)) from error


def _told(error: Exception) -> str | None:
    """Return what to tell of an error that somebody else than the engine's authors can mend; else None."""
    match error:
        case HeadraceError():
            mistake = error.__cause__ or error
            where = place(mistake)
            return str(error) if where is None else f"{error}\n  at {where}"
        case ImportError() if "headrace[" in str(error):  # one of ours, which name the extra to install
            return str(error)
        case ModuleNotFoundError() if extra := missing_extra(error):
            name = str(error.name).partition(".")[0]
            return f"this needs {name}, which is not installed: pip install 'headrace[{extra}]'"
        case _:
            return blame(error)


app = typer.Typer(
    name="headrace",
    help="Stream processing in Python: declare topologies, run them, query their tables.",
    cls=_Group,
    no_args_is_help=True,
    # Plain help text: rich would double the time that --help takes.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        try:
            version = metadata.version("headrace")
        except metadata.PackageNotFoundError:  # run from a source tree that is not installed
            version = "(not installed)"
        print(f"headrace {version}")
        raise typer.Exit


@app.callback()
def _options(
    *,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of errors; stands before the command.")
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    """Stream processing in Python: declare topologies, run them, query their tables."""


app.command("run")(run.run)
app.command("worker")(worker.worker)
app.command("plan")(plan.plan)
app.command("query")(query.query)
topics.app.command("plan")(fleet_topics.plan)
topics.app.command("create")(fleet_topics.create)
app.add_typer(topics.app, name="topics")
app.add_typer(dlq.app, name="dlq")
app.add_typer(rules.app, name="rules")
app.command("init")(init.init)
app.add_typer(schema.app, name="schema")


def main() -> None:
    """Run the command line."""
    app()


if __name__ == "__main__":
    main()

"""``headrace worker``: one process of a fleet on Kafka, or several under one supervisor."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headrace.cli.console import note
from headrace.cli.fleet import PREFIX, Brokers, Group, More, default_group, fleet_settings
from headrace.cli.options import INTERRUPTED, Target
from headrace.errors import HeadraceError

if TYPE_CHECKING:
    from headrace.kafka.settings import FleetSettings

_THREAD_S = 1.0
_FAILED = 1
_SUPERVISOR = f"{PREFIX}SUPERVISOR_PID"  # told to the processes of --processes

Worker = Annotated[
    str | None,
    typer.Option(
        "--worker",
        metavar="NAME",
        help="This worker's name, unique in the group and the same after a restart [default: the host's name].",
    ),
]
StateDir = Annotated[
    Path | None,
    typer.Option(
        "--state-dir", metavar="DIR", help="Where local state lies; it may be lost [default: .headrace-fleet]."
    ),
]
Guarantee = Annotated[
    str | None, typer.Option("--guarantee", help="exactly_once or at_least_once [default: exactly_once].")
]
CommitInterval = Annotated[
    str | None, typer.Option("--commit-interval", metavar="DURATION", help="How often to commit [default: 100ms].")
]
Standbys = Annotated[
    int | None, typer.Option("--standbys", help="Copies of each task's state on other workers [default: 0].")
]
SessionTimeout = Annotated[
    str | None,
    typer.Option(
        "--session-timeout",
        metavar="DURATION",
        help="How long a worker may be silent before others take over [default: 10s].",
    ),
]
Processes = Annotated[
    int,
    typer.Option(
        "--processes",
        min=1,
        help="Run several workers, named NAME-0, NAME-1, ..., each in a process of its own; restart those that die.",
    ),
]


def worker(
    context: typer.Context,
    target: Target,
    *,
    brokers: Brokers = None,
    group: Group = None,
    name: Worker = None,
    state_dir: StateDir = None,
    guarantee: Guarantee = None,
    commit_interval: CommitInterval = None,
    session_timeout: SessionTimeout = None,
    standbys: Standbys = None,
    processes: Processes = 1,
    more: More = None,
) -> None:
    """Run the topologies of TARGET as a worker of a fleet on Apache Kafka.

    Workers of one group share the partitions. It runs until SIGTERM or Ctrl-C; then it commits and leaves. What
    no option says, the environment may: HEADRACE_BROKERS, HEADRACE_SASL_PASSWORD and others.
    """
    from headrace.plan import compile_plan  # noqa: PLC0415 - --help must not wait for these
    from headrace.runtime.loading import load_target  # noqa: PLC0415

    topologies = load_target(target)
    settings = fleet_settings(
        default_group(group, target, topologies),
        more,
        brokers=brokers,
        worker=name,
        state_dir=state_dir,
        guarantee=guarantee,
        commit_interval=commit_interval,
        session_timeout=session_timeout,
        standbys=standbys,
    )
    plans = [compile_plan(topology) for topology in topologies]
    debug = context.parent is not None and bool(context.parent.params.get("debug"))
    if processes > 1:
        code = _supervise(target, settings, processes, debug=debug)
    else:
        code = _work(plans, settings, debug=debug)
    raise typer.Exit(code)


def _work(plans: list[Any], settings: FleetSettings, *, debug: bool) -> int:
    from headrace.cli.logs import log_to_stderr  # noqa: PLC0415
    from headrace.cli.main import exit_code  # noqa: PLC0415 - it imports this module
    from headrace.cli.narrator import Narrator  # noqa: PLC0415
    from headrace.kafka.worker import run_worker  # noqa: PLC0415

    log_to_stderr(settings.worker, debug=debug)
    log = logging.getLogger("headrace.worker")
    names = ", ".join(plan.name for plan in plans)
    log.info("worker of group %s on %s: %s, %s", settings.group, settings.brokers, names, settings.guarantee.value)
    narrator = Narrator(lambda text: log.info("%s", text))
    parent = os.environ.get(_SUPERVISOR)
    try:
        number = run_worker(plans, settings, watch=narrator.tell, parent=int(parent) if parent else None)
    except Exception as error:
        narrator.end()
        told = f"headrace: {error}" if isinstance(error, HeadraceError) else traceback.format_exc()
        _leave_threads(exit_code(error) if isinstance(error, HeadraceError) else _FAILED, told)
        raise
    narrator.end()
    code = INTERRUPTED if number == signal.SIGINT else 0
    _leave_threads(code)
    return code


def _leave_threads(code: int, text: str = "") -> None:
    """End the process if Faust's thread goes on looking for its broker: Python would wait for it without a bound."""
    threads = [thread for thread in threading.enumerate()[1:] if not thread.daemon]
    for thread in threads:
        thread.join(_THREAD_S)
    if any(thread.is_alive() for thread in threads):
        if text:
            note(text)
        logging.shutdown()
        os._exit(code)


def _supervise(target: str, settings: FleetSettings, processes: int, *, debug: bool) -> int:
    from headrace.cli.logs import log_to_stderr  # noqa: PLC0415
    from headrace.kafka.supervisor import Child, supervise  # noqa: PLC0415

    log_to_stderr("supervisor", debug=debug)
    command = [sys.executable, "-m", "headrace.cli.main", *(["--debug"] if debug else []), "worker", target]
    environment = os.environ | settings.to_env(PREFIX) | {_SUPERVISOR: str(os.getpid())}
    children = []
    for number in range(processes):
        name = f"{settings.worker}-{number}"
        own = {f"{PREFIX}WORKER": name, f"{PREFIX}STATE_DIR": str(settings.state_dir / str(number))}
        children.append(Child(name, tuple(command), environment | own))
    return supervise(children)

"""A worker of the fleet under proof: ``python -m tests.kafka.fleet_worker`` in a process of its own.

``--crash STEP:N`` ends the process, as a kill would, when it comes to a step of a commit or restore for the Nth time.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from headrace.kafka import restoring
from headrace.kafka.checkpoint import Transactions
from headrace.kafka.fleet import Fleet
from headrace.kafka.installation import Installation
from headrace.kafka.producing import TransactionalProducer
from headrace.kafka.settings import FleetSettings
from headrace.kafka.worker import run_worker
from headrace.plan import compile_plan
from headrace.state.overlay import OverlayBackend
from tests.kafka.fleet_topology import Names, proof

CRASHED = 77

COMMIT_STEPS: dict[str, tuple[type, str]] = {
    "before-append": (Transactions, "append"),
    "appended": (Transactions, "commit"),
    "offsets": (TransactionalProducer, "_send_offsets"),
    "written": (TransactionalProducer, "_end"),
    "committed": (OverlayBackend, "settle"),
    "stored": (Fleet, "_evict"),
}
"""By step, the call that begins behind it."""


def crash_at(point: str, number: int) -> None:
    """Put a crash into this process."""
    if point == "ending":  # the request is on its way, and nobody is there for the answer
        _crash_while_ending(number)
    elif point == "restoring":
        restoring.replay = _crashing(restoring.replay, number)
    else:
        owner, name = COMMIT_STEPS[point]
        setattr(owner, name, _crashing(getattr(owner, name), number))


def _crashing(function: Callable[..., Any], number: int) -> Callable[..., Any]:
    left = number

    def crashing(*args: Any, **kwargs: Any) -> Any:
        nonlocal left
        left -= 1
        if left <= 0:
            os._exit(CRASHED)
        return function(*args, **kwargs)

    return crashing


def _crash_while_ending(number: int) -> None:
    end, left = TransactionalProducer._end, number

    async def ending(self: TransactionalProducer, *, commit: bool) -> None:
        nonlocal left
        left -= 1
        if left <= 0:
            asyncio.get_running_loop().call_later(0.001, os._exit, CRASHED)
        await end(self, commit=commit)

    TransactionalProducer._end = ending  # type: ignore[method-assign]


def _ready(file: Path | None) -> Callable[[Installation], None]:
    def ready(installation: Installation) -> None:
        asyncio.get_running_loop().create_task(_count(installation, file), name="counters")

    return ready


async def _count(installation: Installation, file: Path | None) -> None:
    """Write down now and then what the worker has counted."""
    while file is not None:
        fleet = installation.fleet
        if fleet is not None:
            counters = fleet.counters
            texts = [f"{name}={getattr(counters, name)}" for name in type(counters).__slots__]
            texts.append(f"wiped={fleet.restorer.wiped} restored={fleet.restorer.restored}")
            new = file.with_suffix(".new")  # renamed when it is whole: who reads it never sees half of it
            new.write_text(" ".join(texts))
            new.replace(file)
        await asyncio.sleep(0.5)


def main() -> None:
    """Run until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("brokers", "run", "worker", "state"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--crash", default="")
    parser.add_argument("--counters", type=Path)
    parser.add_argument("--set", action="append", default=[], help="a setting, as name=value")
    parser.add_argument("--on-error", default="dead_letter")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    for noisy in ("aiokafka", "faust", "mode"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    if args.crash:
        point, _, number = args.crash.partition(":")
        crash_at(point, int(number or 1))
    names = Names(args.run)
    settings = FleetSettings.of(
        brokers=args.brokers,
        group=args.run,
        worker=args.worker,
        state_dir=Path(args.state),
        **dict(entry.split("=", 1) for entry in args.set),
    )
    run_worker(
        [compile_plan(proof(names, on_error=args.on_error))],
        settings,
        on_ready=_ready(args.counters),
        parent=os.getppid(),  # a test that was killed leaves no worker behind
    )


if __name__ == "__main__":
    main()

"""A worker of the fleet under proof: ``python -m tests.kafka.fleet_worker`` in a process of its own.

``--crash STEP:N`` ends the process, as a kill would, when it comes to a step of a commit or restore for the Nth time;
``--freeze STEP:N`` stops it there. ``--hold FILE`` holds up the restore of every partition 0 while the file is there.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from headrace.kafka import restoring
from headrace.kafka.checkpoint import Transactions
from headrace.kafka.fleet import Fleet
from headrace.kafka.installation import Installation
from headrace.kafka.model import Partition
from headrace.kafka.producing import TransactionalProducer
from headrace.kafka.restoring import Restorer
from headrace.kafka.settings import FleetSettings
from headrace.kafka.unit import State
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
        restoring.replay = _at(number, restoring.replay, _crash)
    else:
        owner, name = COMMIT_STEPS[point]
        setattr(owner, name, _at(number, getattr(owner, name), _crash))


def freeze_at(point: str, number: int) -> None:
    """Have this process stop itself, until it gets a SIGCONT."""
    owner, name = COMMIT_STEPS[point]
    setattr(owner, name, _at(number, getattr(owner, name), lambda: os.kill(os.getpid(), signal.SIGSTOP)))


def hold_restores(file: Path) -> None:
    """Let no restore of a partition 0 come to its end while the file is there."""
    restore = Restorer.restore

    async def held(self: Restorer, partitions: Iterable[Partition]) -> None:
        partitions = list(partitions)
        while any(partition.partition == 0 for partition in partitions) and os.path.exists(file):  # noqa: ASYNC110, ASYNC240, PTH110
            await asyncio.sleep(0.05)
        await restore(self, partitions)

    Restorer.restore = held  # type: ignore[method-assign]


def _crash() -> None:
    os._exit(CRASHED)


def _at(number: int, function: Callable[..., Any], happen: Callable[[], None]) -> Callable[..., Any]:
    """Return a function that has something happen before its call of this number."""
    left = number

    def changed(*args: Any, **kwargs: Any) -> Any:
        nonlocal left
        left -= 1
        if left == 0:
            happen()
        return function(*args, **kwargs)

    return changed


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
            restorer = fleet.restorer
            restoring = sum(unit.state is State.RESTORING for unit in fleet.units.values())
            texts.append(f"wiped={restorer.wiped} restored={restorer.restored} restoring={restoring}")
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
    parser.add_argument("--freeze", default="")
    parser.add_argument("--hold", type=Path)
    parser.add_argument("--counters", type=Path)
    parser.add_argument("--set", action="append", default=[], help="a setting, as name=value")
    parser.add_argument("--on-error", default="dead_letter")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    for noisy in ("aiokafka", "faust", "mode"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    for text, put in ((args.crash, crash_at), (args.freeze, freeze_at)):
        point, _, number = text.partition(":")
        if point:
            put(point, int(number or 1))
    if args.hold:
        hold_restores(args.hold)
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

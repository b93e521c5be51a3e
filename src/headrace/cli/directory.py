"""Look into a data directory, whether a worker runs on it or not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from headrace.errors import ConfigError, StateError

if TYPE_CHECKING:
    from headrace.query.tables import Tables
    from headrace.runtime.directory import Marker
    from headrace.runtime.log import Log
    from headrace.state.rocksdb import RocksBackend


def known_marker(data_dir: Path) -> Marker:
    """Return what the directory says of itself.

    Raises:
        StateError: it is no data directory, or of another version.
    """
    from headrace.runtime.directory import read_marker  # noqa: PLC0415 - --help must not wait for it

    marker = read_marker(data_dir)
    if marker is None:
        msg = f"{data_dir} is no data directory. Name one with --data-dir, or start a worker: headrace run TARGET"
        raise StateError(msg)
    return marker


@contextmanager
def open_backend(data_dir: Path) -> Iterator[RocksBackend]:
    """Open the stores of a data directory read-only, as they are now."""
    from headrace.state.rocksdb import RocksBackend  # noqa: PLC0415 - --help must not wait for it

    known_marker(data_dir)
    backend = RocksBackend(data_dir, read_only=True)
    try:
        yield backend
    finally:
        backend.close()


@contextmanager
def open_log(data_dir: Path) -> Iterator[Log]:
    """Open the log of a data directory read-only, as it is now."""
    from headrace.runtime.log import Log  # noqa: PLC0415

    with open_backend(data_dir) as backend:
        yield Log(backend)


@contextmanager
def open_tables(data_dir: Path, target: str | None) -> Iterator[Tables]:
    """Open the tables of a data directory read-only, as they are now.

    Args:
        data_dir: The data directory.
        target: Where its topologies are; by default where its last worker had them from.

    Raises:
        ConfigError: the topologies cannot be had.
        StateError: the state is of another version of them.
    """
    from headrace.plan import compile_plan  # noqa: PLC0415
    from headrace.query.tables import Tables, tables_of  # noqa: PLC0415
    from headrace.runtime import tables  # noqa: PLC0415
    from headrace.runtime.engine import refuse_other  # noqa: PLC0415
    from headrace.runtime.loading import load_target  # noqa: PLC0415

    kept = known_marker(data_dir).target
    if not (target or kept):
        msg = f"{data_dir} does not say where its topologies are: name them with --target"
        raise ConfigError(msg)
    try:
        topologies = load_target(target or kept)
    except ConfigError as error:
        if target:
            raise
        # It was named relative to where the worker ran.
        msg = f"the worker of {data_dir} ran {kept!r}. {error} From another directory, name it with --target."
        raise ConfigError(msg) from error
    plans = [compile_plan(topology) for topology in topologies]
    with open_backend(data_dir) as backend:
        for plan in plans:
            refuse_other(plan, backend)  # by another plan the states would be read for what they are not
        yield Tables(table for plan in plans for table in tables_of(plan, tables.open_tables(plan, backend)))

"""The data directory's marker: which format it has and what runs on it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from headrace.errors import StateError

MARKER = "headrace.json"
FORMAT = 1


class Marker(msgspec.Struct, frozen=True):
    """What ``headrace.json`` says.

    ``topologies`` are all that ever ran on the directory, ``target`` is what the last worker was
    started with, for commands that need its topologies.
    """

    format: int
    partitions: int = 1
    topologies: tuple[str, ...] = ()
    target: str = ""


def read_marker(directory: Path) -> Marker | None:
    """Return the marker, or None if the directory has none.

    Raises:
        StateError: it is of another format, or damaged.
    """
    path = directory / MARKER
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        msg = f"data directory {directory} cannot be read: {error.strerror or error}. Check the path and its rights."
        raise StateError(msg) from error
    try:
        marker = msgspec.json.decode(data, type=Marker)
    except msgspec.MsgspecError as error:
        msg = f"{path} is damaged ({error}). Restore it from a backup, or choose another data directory."
        raise StateError(msg) from error
    if marker.format != FORMAT:
        newer = marker.format > FORMAT
        remedy = "Use the version of Headrace that wrote it" if newer else "Begin with another data directory"
        msg = (
            f"data directory {directory} has format {marker.format}; this version of Headrace reads {FORMAT}. {remedy}."
        )
        raise StateError(msg)
    return marker


def claim(directory: Path, *, partitions: int, topologies: Sequence[str]) -> Marker:
    """Check that the directory is for these topologies; make and mark it if it is new.

    Raises:
        StateError: it is something else's, or was made with another number of partitions.
    """
    marker = read_marker(directory)
    if marker is None:
        _refuse_foreign(directory)
        marker = Marker(FORMAT, partitions, tuple(topologies))
        write_marker(directory, marker)
    if marker.partitions != partitions:
        msg = (
            f"data directory {directory} was made with {marker.partitions} partitions, and {partitions} are asked for. "
            f"Ask for {marker.partitions}, or begin with another data directory."
        )
        raise StateError(msg)
    if not set(marker.topologies) & set(topologies):
        msg = (
            f"data directory {directory} belongs to {', '.join(marker.topologies)}, "
            f"and this worker runs {', '.join(topologies)}. Run both in one worker, or choose another data directory."
        )
        raise StateError(msg)
    return marker


def remember(directory: Path, marker: Marker, *, topologies: Sequence[str], target: str) -> None:
    """Add to the marker what runs on the directory now."""
    names = tuple(dict.fromkeys((*marker.topologies, *topologies)))
    fresh = Marker(marker.format, marker.partitions, names, target or marker.target)
    if fresh != marker:
        write_marker(directory, fresh)


def write_marker(directory: Path, marker: Marker) -> None:
    """Write the marker: the old one or the new one is there at any moment."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        fresh = directory / (MARKER + ".new")
        fresh.write_bytes(msgspec.json.format(msgspec.json.encode(marker)) + b"\n")
        fresh.replace(directory / MARKER)
    except OSError as error:
        msg = (
            f"data directory {directory} cannot be written: {error.strerror or error}. "
            "Give this user write access, free space, or choose another data directory."
        )
        raise StateError(msg) from error


def _refuse_foreign(directory: Path) -> None:
    if not directory.exists():
        return
    if not directory.is_dir():
        msg = f"data directory {directory} is a file. Choose another path."
        raise StateError(msg)
    names = [path.name for path in directory.iterdir()]
    if names and set(names) != {MARKER + ".new"}:
        msg = (
            f"directory {directory} is not empty and is no data directory of Headrace ({MARKER} is missing). "
            "Choose an empty or a new directory."
        )
        raise StateError(msg)

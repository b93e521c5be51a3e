"""What RocksDB's errors mean for the person who runs Headrace.

RocksDB reports by text alone: each known text becomes a :class:`StateError` that says what to do.
"""

from __future__ import annotations

from pathlib import Path

from headrace.errors import StateDamaged, StateError, StateLocked

OWNER_FILE = "owner.pid"

_LOCKED = ("While lock file", "lock hold by current process")
_REMEDIES = (
    (
        ("No space left on device", "Disk quota exceeded", "File too large"),
        "the disk is full, or a limit on its use was reached. Free space and start again: "
        "it goes on from the last complete write",
    ),
    (("Read-only file system",), "the file system is read-only. Mount it writable, or choose another data directory"),
    (
        ("Permission denied", "Operation not permitted"),
        "permission denied. Give this user read and write access to it, or choose another data directory",
    ),
    (("Too many open files",), "too many open files. Raise the limit (ulimit -n) and start again"),
    (("Not a directory", "File exists"), "a part of the path is a file. Choose another data directory"),
)
_DAMAGED = ("Corruption", "checksum mismatch")
_REBUILD = (
    "files in it are damaged or missing. Restore it from a backup; or move it away and start again, "
    "and what can be read again is rebuilt"
)
_UNKNOWN = "RocksDB failed. Check the disk and the path, then start again"


def translate(path: Path, action: str, cause: Exception) -> StateError:
    """Return the error to raise from ``cause``; ``action`` is "open", "read" or "write to"."""
    text = str(cause)
    if any(known in text for known in _LOCKED):
        message = (
            f"data directory {path} is in use by another process (pid {_owner(path)}). "
            "Stop that process, or choose another data directory"
        )
        return StateLocked(message)
    where = f"cannot {action} data directory {path}"
    if any(known in text for known in _DAMAGED):
        return StateDamaged(f"{where}: {_REBUILD} ({text})")
    remedy = next((remedy for texts, remedy in _REMEDIES if any(known in text for known in texts)), _UNKNOWN)
    return StateError(f"{where}: {remedy} ({text})")


def _owner(path: Path) -> str:
    """Return the pid that the owner of the directory left in it."""
    try:
        pid = (path / OWNER_FILE).read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return "unknown"
    return pid if pid.isdigit() else "unknown"

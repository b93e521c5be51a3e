"""Files as outputs."""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from pathlib import Path

from headrace.errors import ConfigError, StateError
from headrace.runtime.outputs.rendering import render
from headrace.runtime.records import Records
from headrace.state.protocol import Backend, Batch

STORE = "files"
"""The store with the committed length of each output file, by path."""


_log = logging.getLogger(__name__)


class FileOutput:
    """Append NDJSON to a file, exactly once.

    The checkpoint records how long the file is; what stands behind that after a crash is cut
    off at the next start. Who reads the file while the worker runs may see a tail that a crash
    would take back. A file that was taken away is begun anew, with a warning.
    """

    def __init__(self, path: Path, backend: Backend, *, fsync: bool = True) -> None:
        """Open ``path`` at the length of the last checkpoint.

        Raises:
            ConfigError: the file holds what this data directory did not write, or lost some of it.
            StateError: it cannot be written.
        """
        self._path = path.absolute()
        self._key = str(self._path).encode()
        self._fsync = fsync
        stored = backend.store(STORE).get(self._key)
        recorded = None if stored is None else int(stored)
        try:
            self._committed = self._length = self._begin(recorded)
            if recorded != self._committed:
                # Recorded before the first byte is written: from then on the file is known as ours.
                batch = Batch()
                batch.put(STORE, self._key, str(self._committed).encode())
                backend.write(batch)
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT, 0o644)
            if os.fstat(self._file).st_size > self._committed:
                os.ftruncate(self._file, self._committed)
        except OSError as error:
            raise _unwritable(self._path, error) from error

    def _begin(self, recorded: int | None) -> int:
        """Return the length to go on from."""
        size = self._path.stat().st_size if self._path.exists() else None
        if recorded is None:
            if size:
                msg = (
                    f"output file {self._path} holds {size} bytes that this data directory did not write. "
                    "Move it away, or choose another file: nothing of it is overwritten."
                )
                raise ConfigError(msg)
            return 0
        if size is None:
            if recorded:
                _log.warning(
                    "%s is not there any more, and %s bytes were: it is begun anew", self._path, f"{recorded:,}"
                )
            return 0
        if size < recorded:
            msg = (
                f"output file {self._path} has {size} bytes, and {recorded} were written to it: it was changed. "
                "Move it away (a new one is begun), or put it back."
            )
            raise ConfigError(msg)
        return recorded

    def stage(self, batch: Batch, records: Records) -> None:
        """Write the records behind the committed part and record the new length in ``batch``."""
        data = memoryview(render(records))
        try:
            self._check()
            written = 0
            while written < len(data):
                written += os.pwrite(self._file, data[written:], self._length + written)
            if self._fsync:
                os.fdatasync(self._file)
        except OSError as error:
            raise _unwritable(self._path, error) from error
        self._length += len(data)
        batch.put(STORE, self._key, str(self._length).encode())

    def _check(self) -> None:
        """Refuse to write to a file that nobody will find any more: it would count as written."""
        mine, what = os.fstat(self._file), ""
        try:
            if not os.path.samestat(mine, self._path.stat()):
                what = "was replaced by another file"
            elif mine.st_size < self._length:
                what = f"was cut to {mine.st_size} of {self._length} bytes"
        except FileNotFoundError:
            what = "was removed or renamed"
        if what:
            msg = (
                f"output file {self._path} {what} while the worker ran. Nothing that was to be written now counts as "
                "written. Put it back as it was, or take it away to have a new one begun; then start again."
            )
            raise StateError(msg)

    def committed(self) -> None:
        """Take note of the new length."""
        self._committed = self._length

    def abort(self) -> None:
        """Cut off what was staged: the checkpoint was not written."""
        self._length = self._committed
        with suppress(OSError):  # the next start cuts it off; what went wrong with the checkpoint is to be told
            if os.fstat(self._file).st_size > self._committed:
                os.ftruncate(self._file, self._committed)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


def _unwritable(path: Path, error: OSError) -> StateError:
    return StateError(
        f"output file {path} cannot be written: {error.strerror or error}. "
        "Free space or change its rights, then start again: nothing is lost, and nothing is written twice."
    )

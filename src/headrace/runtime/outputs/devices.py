"""Standard output, pipes and devices as outputs: what is written there cannot be taken back."""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from headrace.errors import ConfigError, StateError
from headrace.runtime.outputs.rendering import render
from headrace.runtime.records import Records
from headrace.state.protocol import Batch


class StreamOutput:
    """Write NDJSON to standard output, a pipe or a device after each checkpoint.

    At least once is not promised here: a crash between the checkpoint and the write loses
    lines, and never doubles one. Who needs every record writes to a file or a topic.
    """

    def __init__(
        self, stream: BinaryIO | None = None, *, on_closed: Callable[[], None] = lambda: None, closes: bool = False
    ) -> None:
        """Write to ``stream``; ``on_closed`` is called once if its reader has gone; ``closes``: close it at the end."""
        self._closes = closes
        self._stream = sys.stdout.buffer if stream is None else stream
        self._on_closed = on_closed
        self._staged: list[bytes] = []
        self._gone = False

    def stage(self, batch: Batch, records: Records) -> None:
        """Keep the records for after the checkpoint."""
        self._staged.append(render(records))

    def committed(self) -> None:
        """Write what was kept."""
        data = b"".join(self._staged)
        self._staged.clear()
        if not data or self._gone:
            return
        try:
            self._stream.write(data)
            self._stream.flush()
        except BrokenPipeError:
            self._gone = True
            self._on_closed()
        except OSError as error:
            msg = f"an output stream cannot be written: {error.strerror or error}. Its newest lines are lost."
            raise StateError(msg) from error

    def abort(self) -> None:
        """Forget what was kept."""
        self._staged.clear()

    def close(self) -> None:
        """Close the stream, unless it is the process's."""
        if self._closes:
            with suppress(OSError):
                self._stream.close()


def is_device(path: Path) -> bool:
    """Tell whether there is something at ``path`` that is neither a file nor a directory."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def open_device(path: Path) -> BinaryIO:
    """Open a pipe or a character device for writing, without waiting for a reader.

    Raises:
        ConfigError: it cannot be opened, or is something else, such as a disk.
    """
    mode = path.stat().st_mode
    if not stat.S_ISFIFO(mode) and not stat.S_ISCHR(mode):
        msg = f"output {path}: expected a file, a pipe or a character device, got another kind of device"
        raise ConfigError(msg)
    try:
        fd = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
    except OSError as error:
        if error.errno == errno.ENXIO and stat.S_ISFIFO(mode):
            msg = f"output {path}: nobody reads this pipe: start its reader first"
            raise ConfigError(msg) from error
        msg = f"output {path} cannot be opened: {error.strerror or error}"
        raise ConfigError(msg) from error
    os.set_blocking(fd, True)
    return os.fdopen(fd, "wb")

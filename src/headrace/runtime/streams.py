"""Standard input and pipes: what can be read only once goes to the log as it comes."""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable

from headrace.errors import ConfigError, HeadraceError
from headrace.runtime.inputs.lines import split_lines

_BLOCK = 1 << 16
_GATHER = 1 << 20


class StreamReader:
    """A thread that appends the lines of a stream to a topic.

    ``ended`` is set once the last line is in the log. What went wrong stands in ``error``.
    """

    def __init__(self, spec: str, append: Callable[[list[bytes]], object], *, max_line: int) -> None:
        """Read ``spec``: ``-`` for standard input, else the path of a pipe or a device."""
        self._spec = spec
        self._append = append
        self._max_line = max_line
        self.ended = threading.Event()
        self.error: HeadraceError | None = None
        self._thread = threading.Thread(target=self._run, name=f"read {spec}", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def _run(self) -> None:
        try:
            self._read(0 if self._spec == "-" else os.open(self._spec, os.O_RDONLY))
        except HeadraceError as error:
            self.error = error
        except OSError as error:
            self.error = ConfigError(f"input {self._spec} cannot be read: {error.strerror or error}")
        finally:
            self.ended.set()

    def _read(self, fd: int) -> None:
        rest, first, cutting = b"", True, False
        while data := _gather(fd):
            if cutting:  # within a line that was too long: its tail is left out
                _, newline, data = data.partition(b"\n")
                cutting = not newline
            rest += data
            whole = rest.rfind(b"\n") + 1
            if whole:
                self._take(split_lines(rest[:whole], first=first))
                rest, first = rest[whole:], False
            if len(rest) >= self._max_line:
                self._take([rest[: self._max_line]])
                rest, cutting = b"", True
        self._take(split_lines(rest, first=first))

    def _take(self, lines: list[bytes]) -> None:
        if lines:
            self._append(lines)


def _gather(fd: int) -> bytes:
    """Wait for data, then take what is there: each append costs a write to the disk."""
    blocks = [os.read(fd, _BLOCK)]
    size = len(blocks[0])
    while blocks[-1] and size < _GATHER and select.select([fd], [], [], 0)[0]:
        blocks.append(os.read(fd, _BLOCK))
        size += len(blocks[-1])
    return b"".join(blocks)

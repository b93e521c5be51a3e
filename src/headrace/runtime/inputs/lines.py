"""Newline-delimited JSON, read in place by byte position."""

from __future__ import annotations

from headrace.runtime.inputs.base import Bounded, Slice
from headrace.runtime.inputs.sources import ByteSource
from headrace.runtime.records import Records

_BOM = b"\xef\xbb\xbf"
_STEP = 1 << 20


class LineInput(Bounded):
    """The lines of a file, one record each, untouched; blank lines are left out.

    A line longer than ``max_line`` is delivered cut to that length, which JSON can hardly
    survive: it becomes a dead letter and memory stays bounded. ``follow``: a file that grows;
    a last line without its newline is then waited for.
    """

    def __init__(self, source: ByteSource, *, max_line: int = 64 << 20, follow: bool = False) -> None:
        """Read ``source``, which is closed with this input."""
        self._source = source
        self._max_line = max_line
        self._follow = follow

    def read(self, position: int, max_bytes: int) -> Slice:
        """Return whole lines from byte ``position`` on."""
        data = self._source.pread(max_bytes, position)
        at_end = len(data) < max_bytes
        if at_end and not self._follow:
            return Slice(Records(split_lines(data, first=position == 0)), position + len(data), ended=True)
        whole = data.rfind(b"\n") + 1
        if whole:
            lines = split_lines(data[:whole], first=position == 0)
            return Slice(Records(lines), position + whole, ended=False)
        if at_end:
            return Slice(Records([]), position, ended=False)
        return self._long_line(data, position)

    def _long_line(self, data: bytes, position: int) -> Slice:
        size = len(data)
        while size < self._max_line:
            size = min(size * 2, self._max_line)
            data = self._source.pread(size, position)
            newline = data.find(b"\n")
            if newline >= 0:
                lines = split_lines(data[: newline + 1], first=position == 0)
                return Slice(Records(lines), position + newline + 1, ended=False)
            if len(data) < size:
                if self._follow:
                    return Slice(Records([]), position, ended=False)
                return Slice(Records(split_lines(data, first=position == 0)), position + len(data), ended=True)
        return self._too_long(data, position)

    def _too_long(self, head: bytes, position: int) -> Slice:
        """Deliver the head of an endless line; read past its end without keeping it."""
        end = position + len(head)
        while True:
            data = self._source.pread(_STEP, end)
            newline = data.find(b"\n")
            if newline >= 0:
                return Slice(Records([head[: self._max_line]]), end + newline + 1, ended=False)
            end += len(data)
            if len(data) < _STEP:
                if self._follow:
                    return Slice(Records([]), position, ended=False)
                return Slice(Records([head[: self._max_line]]), end, ended=True)

    def close(self) -> None:
        """Close the source."""
        self._source.close()


def split_lines(data: bytes, *, first: bool = False) -> list[bytes]:
    """Return the lines that are not blank, without their ends.

    ``first``: the data begins a file, whose byte order mark is no part of the first line.
    Nothing here is done line by line unless there are blank ones: the cost is that of ``split``.
    """
    if first and data.startswith(_BOM):
        data = data[len(_BOM) :]
    # one byte is found many times faster than two
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n")
    lines = data.split(b"\n")
    if not lines[-1] or lines[-1] == b"\r":
        lines.pop()
    if not all(lines):
        lines = [line for line in lines if line]
    return lines

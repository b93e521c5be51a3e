"""A file that grows, and that may be rotated meanwhile: renamed, and another one begun in its place."""

from __future__ import annotations

import time
from pathlib import Path

from headrace.errors import ConfigError
from headrace.runtime.inputs.base import Slice
from headrace.runtime.inputs.fingerprint import HEAD_BYTES, FileMark, read_head, replaced
from headrace.runtime.inputs.lines import LineInput, split_lines
from headrace.runtime.inputs.sources import PlainFile, shrunk
from headrace.runtime.records import Records

_TAIL_BYTES = 256
_PROBE_BYTES = 4096
ROTATION_S = 1.0  # who writes to a file that was renamed may finish its last lines


class FollowedInput:
    """The lines of a file that grows, as ``tail -F`` reads it.

    When another file has taken the path, the old one is read to its end first. Positions
    go on counting: the new file begins at the position at which the old one ended, and only after
    a checkpoint has that, so that a restart never has to look for the old one in vain. A file that was
    truncated, or written anew in place, is refused: what it held and nobody had read is lost.
    """

    def __init__(
        self, path: Path, mark: FileMark, position: int, *, max_line: int, rotation_s: float = ROTATION_S
    ) -> None:
        """Go on at ``position``, in the file at ``path`` or in that which was there and was renamed.

        Raises:
            ConfigError: neither is the file that was read before.
        """
        self._path, self._mark = path, mark
        self._max_line, self._rotation_s = max_line, rotation_s
        self._committed = position
        known = mark.known
        self._base = known.base if known is not None else 0
        self._gone_at: float | None = None
        self._open(self._find(position), position)

    def _find(self, position: int) -> Path:
        offset, known = position - self._base, self._mark.known
        if known is None:
            return self._path
        head = read_head(self._path)
        if known.fits(head) and self._path.stat().st_size >= offset:
            return self._path
        renamed = [p for p in self._path.parent.glob(f"{_escaped(self._path.name)}?*") if p.is_file()]
        for other in sorted(renamed, key=lambda p: p.stat().st_mtime, reverse=True):
            if known.length and known.fits(read_head(other)) and other.stat().st_size >= offset:
                return other
        if not offset:
            return self._path  # nothing was read of the one that is gone
        raise ConfigError(shrunk(self._path, offset) if len(head) < known.length else replaced(self._path, offset))

    def _open(self, file: Path, position: int) -> None:
        try:
            self._file = PlainFile(file)
        except OSError as error:
            msg = f"{file} cannot be opened: {error.strerror or error}"
            raise ConfigError(msg) from error
        self._lines = LineInput(self._file, max_line=self._max_line, follow=True)
        self._head = self._file.pread(HEAD_BYTES, 0)
        self._tail = self._tail_at(position - self._base)
        self._mark.save(self._head, self._base)

    def read(self, position: int, max_bytes: int) -> Slice:
        """Return whole lines from ``position`` on."""
        offset = position - self._base
        records, end, _ = self._lines.read(offset, max_bytes)
        if end > offset:
            self._gone_at = None
            self._verify(offset)
            self._tail = self._tail_at(end)
            return Slice(records, self._base + end, ended=False)
        if self._is_rotated() and self._is_over():
            return self._last_line(position) or self._go_on(position, max_bytes)
        return Slice(Records([]), position, ended=False)

    def _verify(self, offset: int) -> None:
        """Refuse what was read if the file was written anew since the last reading."""
        head = self._file.pread(HEAD_BYTES, 0)
        tail = self._file.pread(len(self._tail), offset - len(self._tail)) if self._tail else b""
        if not head.startswith(self._head) or tail != self._tail:
            raise ConfigError(replaced(self._path, offset))
        self._head = head

    def _tail_at(self, offset: int) -> bytes:
        size = min(offset, _TAIL_BYTES)
        return self._file.pread(size, offset - size) if size else b""

    def _is_rotated(self) -> bool:
        try:
            return not self._file.is_at(self._path)
        except FileNotFoundError:
            return False  # renamed, and the new one is not there yet

    def _is_over(self) -> bool:
        """Tell whether nobody writes to the renamed file any more, as far as that can be known."""
        now = time.monotonic()
        if self._gone_at is None:
            self._gone_at = now
        return now - self._gone_at >= self._rotation_s

    def _last_line(self, position: int) -> Slice | None:
        """Return what stands behind the last newline of the renamed file."""
        data = self._file.pread(self._max_line, position - self._base)
        if not data:
            return None
        self._tail = b""
        return Slice(Records(split_lines(data)), position + len(data), ended=False)

    def _go_on(self, position: int, max_bytes: int) -> Slice:
        if self._committed != position:
            return Slice(Records([]), position, ended=False)
        self._file.close()
        self._base, self._gone_at = position, None
        self._open(self._path, position)
        return self.read(position, max_bytes)

    def drained(self, position: int) -> bool:
        """Tell whether neither this file nor one in its place has more."""
        offset = position - self._base
        return self._lines.read(offset, _PROBE_BYTES).position == offset and not self._is_rotated()

    def committed(self, position: int) -> None:
        """Take note of a checkpoint; what is known of the file's beginning grows with it."""
        self._committed = position
        known = self._mark.known
        if known is None or len(self._head) > known.length:
            self._mark.save(self._head, self._base)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _escaped(name: str) -> str:
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)

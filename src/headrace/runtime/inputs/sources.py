"""Bytes by position: plain files by ``pread``, compressed ones by reading on."""

from __future__ import annotations

import gzip
import os
import zlib
from pathlib import Path
from typing import Protocol

from headrace.errors import ConfigError


class ByteSource(Protocol):
    """A sequence of bytes."""

    def pread(self, size: int, position: int) -> bytes:
        """Return the bytes from ``position`` on; fewer than ``size`` only at the present end."""

    def close(self) -> None:
        """Close."""


class Unpacked(Protocol):
    """What a compressed file unpacks to, from its beginning."""

    def read(self, size: int, /) -> bytes:
        """Return some bytes, at most ``size``; none at the end."""

    def close(self) -> None:
        """Close."""


class PlainFile:
    """An uncompressed file."""

    def __init__(self, path: Path) -> None:
        """Open ``path``."""
        self._path = path
        self._file = path.open("rb", buffering=0)

    def pread(self, size: int, position: int) -> bytes:
        """Return the bytes from ``position`` on."""
        data = os.pread(self._file.fileno(), size, position)
        if not data and os.fstat(self._file.fileno()).st_size < position:
            raise ConfigError(shrunk(self._path, position))
        return data

    def is_at(self, path: Path) -> bool:
        """Tell whether this file is the one at ``path`` now."""
        return os.path.samestat(os.fstat(self._file.fileno()), path.stat())

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class CompressedFile:
    """A gzip or zstd file; positions are offsets in what it unpacks to.

    Going on after a restart unpacks the part before the position once more.
    """

    def __init__(self, path: Path) -> None:
        """Open ``path``; the suffix says how it is packed."""
        self._path = path
        self._stream = open_packed(path)
        self._base = 0
        self._held = b""

    def pread(self, size: int, position: int) -> bytes:
        """Return the unpacked bytes from ``position`` on."""
        if position < self._base:
            self._stream.close()
            self._stream = open_packed(self._path)
            self._base, self._held = 0, b""
        self._skip_to(position)
        while len(self._held) < size:
            more = self._unpack(max(size - len(self._held), 1 << 16))
            if not more:
                break
            self._held += more
        return self._held[:size]

    def _skip_to(self, position: int) -> None:
        drop = min(position - self._base, len(self._held))
        self._base += drop
        self._held = self._held[drop:]
        while self._base < position:
            more = self._unpack(min(position - self._base, 1 << 20))
            if not more:
                raise ConfigError(shrunk(self._path, position))
            self._base += len(more)

    def _unpack(self, size: int) -> bytes:
        try:
            return self._stream.read(size)
        except (OSError, EOFError, zlib.error) as error:
            raise self._damaged(error) from error

    def _damaged(self, error: Exception) -> ConfigError:
        return ConfigError(
            f"{self._path} cannot be unpacked after byte {self._base + len(self._held)}: {error}. "
            "What was read before stands; put the whole file in its place and start again."
        )

    def close(self) -> None:
        """Close the file."""
        self._stream.close()


def is_packed(path: Path) -> bool:
    """Tell whether the suffix is that of a compressed file."""
    return path.suffix in {".gz", ".zst"}


def open_source(path: Path) -> ByteSource:
    """Open a file, compressed or not."""
    return CompressedFile(path) if is_packed(path) else PlainFile(path)


def open_packed(path: Path) -> Unpacked:
    """Open a compressed file for reading what it unpacks to."""
    if path.suffix == ".gz":
        return gzip.open(path, "rb")
    try:
        from headrace.runtime.inputs.zstd import ZstdReader  # noqa: PLC0415 - only .zst files need zstandard
    except ImportError as error:
        msg = f"{path} is packed with zstd: pip install 'headrace[files]'"
        raise ConfigError(msg) from error
    return ZstdReader(path)


def shrunk(path: Path, position: int) -> str:
    """Return the message for a file that ends before the position read so far."""
    return (
        f"{path} ends before byte {position}, up to which it has been read: it was truncated or replaced. "
        "Put the file back, give the new one another name, or begin with an empty data directory."
    )

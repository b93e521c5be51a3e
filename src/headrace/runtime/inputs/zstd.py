"""Unpacking of zstd files. The one module that imports zstandard."""

from __future__ import annotations

from pathlib import Path

import zstandard

# Unpacked at once: small, for zstd packs runs of one byte a thousandfold and more.
_PACKED_BYTES = 1 << 15


class ZstdReader:
    """What a zstd file of any number of frames unpacks to.

    The library's own stream reader takes a truncated file for a short one; this one does not.
    """

    def __init__(self, path: Path) -> None:
        """Open ``path``."""
        self._file = path.open("rb")
        self._frame = zstandard.ZstdDecompressor().decompressobj()
        self._inside = False
        self._packed = b""
        self._out = b""

    def read(self, size: int, /) -> bytes:
        """Return some unpacked bytes, at most ``size``; none at the end.

        Raises:
            EOFError: the file ends within a frame.
            OSError: the file is damaged.
        """
        while not self._out:
            packed = self._packed or self._file.read(_PACKED_BYTES)
            if not packed:
                if self._inside:
                    msg = "the file ends within a zstd frame"
                    raise EOFError(msg)
                return b""
            self._out = self._unpack(packed)
        head, self._out = self._out[:size], self._out[size:]
        return head

    def _unpack(self, packed: bytes) -> bytes:
        try:
            out: bytes = self._frame.decompress(packed)
        except zstandard.ZstdError as error:
            raise OSError(str(error)) from error
        self._inside, self._packed = True, b""
        if self._frame.eof:
            self._packed = self._frame.unused_data
            self._frame = zstandard.ZstdDecompressor().decompressobj()
            self._inside = False
        return out

    def close(self) -> None:
        """Close the file."""
        self._file.close()

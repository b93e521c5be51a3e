"""Is an input file still the one that was read before?"""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec

from headrace.errors import ConfigError
from headrace.runtime.inputs.sources import shrunk
from headrace.state.protocol import Backend, Batch

STORE = "inputs"
"""The store with the fingerprint of each input file, by path."""

HEAD_BYTES = 4096


class Fingerprint(msgspec.Struct, frozen=True):
    """How a file began: the digest of its first ``length`` bytes.

    ``base`` is the position at which it begins: 0, unless it took the place of files read before it.
    """

    length: int
    digest: str
    base: int = 0

    def fits(self, head: bytes) -> bool:
        """Tell whether a file that begins with ``head`` can be this one, grown or not."""
        return len(head) >= self.length and _digest(head[: self.length]) == self.digest


class FileMark:
    """What is known of the file at a path."""

    def __init__(self, backend: Backend, path: Path) -> None:
        """Look it up."""
        self._backend = backend
        self._key = str(path).encode()
        stored = backend.store(STORE).get(self._key)
        self.known = None if stored is None else msgspec.json.decode(stored, type=Fingerprint)

    def save(self, head: bytes, base: int) -> None:
        """Remember how the file begins that is read from position ``base`` on."""
        fresh = Fingerprint(len(head), _digest(head), base)
        if fresh != self.known:
            batch = Batch()
            batch.put(STORE, self._key, msgspec.json.encode(fresh))
            self._backend.write(batch)
            self.known = fresh


def check_file(mark: FileMark, path: Path, position: int) -> None:
    """Refuse a file that begins otherwise than when its reading began; remember how it begins.

    A file may have grown. ``position`` is how far it has been read, 0: not at all.

    Raises:
        ConfigError: it was replaced or truncated.
    """
    head, known = read_head(path), mark.known
    if known is not None and position:
        if known.base:
            msg = f"{path} was followed, and has taken the place of another file since: follow it again (--follow)"
            raise ConfigError(msg)
        if len(head) < known.length:
            raise ConfigError(shrunk(path, position))
        if not known.fits(head):
            raise ConfigError(replaced(path, position))
    mark.save(head, 0)


def read_head(path: Path) -> bytes:
    """Return the first bytes of a file.

    Raises:
        ConfigError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return file.read(HEAD_BYTES)
    except OSError as error:
        msg = f"{path} cannot be opened: {error.strerror or error}"
        raise ConfigError(msg) from error


def replaced(path: Path, position: int) -> str:
    """Return the message for a file that is another one than that read so far."""
    return (
        f"{path} has been read up to {position}, and begins otherwise now: it was replaced. "
        "Put the file back, give the new one another name, or begin with an empty data directory."
    )


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()

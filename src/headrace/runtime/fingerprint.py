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

_HEAD_BYTES = 4096


class Fingerprint(msgspec.Struct, frozen=True):
    """How a file began: the digest of its first ``length`` bytes."""

    length: int
    digest: str


def check_file(backend: Backend, path: Path, position: int) -> None:
    """Refuse a file that begins otherwise than when its reading began; remember how it begins.

    A file may have grown. ``position`` is how far it has been read, 0: not at all.

    Raises:
        ConfigError: it was replaced or truncated.
    """
    key = str(path).encode()
    stored = backend.store(STORE).get(key)
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError as error:
        msg = f"{path} cannot be opened: {error.strerror or error}"
        raise ConfigError(msg) from error
    if stored is not None and position:
        known = msgspec.json.decode(stored, type=Fingerprint)
        if len(head) < known.length:
            raise ConfigError(shrunk(path, position))
        if _digest(head[: known.length]) != known.digest:
            msg = (
                f"{path} has been read up to {position}, and begins otherwise now: it was replaced. "
                "Put the file back, give the new one another name, or begin with an empty data directory."
            )
            raise ConfigError(msg)
    fresh = msgspec.json.encode(Fingerprint(len(head), _digest(head)))
    if fresh != stored:
        batch = Batch()
        batch.put(STORE, key, fresh)
        backend.write(batch)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()

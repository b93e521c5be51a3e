"""Stores in RocksDB: one database, one column family per store."""

from __future__ import annotations

import contextlib
import os
import threading
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from itertools import repeat
from pathlib import Path
from weakref import WeakSet

from headrace.errors import StateError
from headrace.state.protocol import Batch
from headrace.state.rocksdb_errors import OWNER_FILE, translate

try:
    from rocksdict import AccessType, ColumnFamily, Rdict, ReadOptions, WriteBatch, WriteOptions

    from headrace.state.rocksdb_memory import WriteBudget
    from headrace.state.rocksdb_options import RocksOptions
except ImportError as error:  # pragma: no cover - the extra is there wherever the tests run
    _message = "a data directory needs RocksDB: pip install 'headrace[embedded]'"
    raise ImportError(_message) from error

Pairs = Generator[tuple[bytes, bytes], None, None]

_FAMILY = "store:"  # before the name of a store: RocksDB keeps the family "default" for itself


class RocksStore:
    """One column family. ``family`` None: a store that a read-only directory does not have."""

    def __init__(self, path: Path, family: Rdict | None) -> None:
        """Wrap an open column family."""
        self._path = path
        self.family = family
        self._scans: WeakSet[Pairs] = WeakSet()

    def get(self, key: bytes) -> bytes | None:
        """Return the value, or None."""
        if self.family is None:
            return None
        try:
            value: bytes | None = self.family.get(key)
        except Exception as error:
            raise translate(self._path, "read", error) from error
        return value

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return the values in the order of the keys."""
        if self.family is None:
            return [None] * len(keys)
        try:
            values: list[bytes | None] | None = self.family.get(list(keys))
        except Exception as error:
            raise translate(self._path, "read", error) from error
        return values or []

    def scan(self, start: bytes = b"", end: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        """Yield (key, value) in key order over [start, end), as of this call."""
        if self.family is None or (end is not None and end <= start):
            return iter(())
        items: Iterator[tuple[bytes, bytes]]
        try:
            items = self.family.items(from_key=start, read_opt=_bounds(end))  # type: ignore[assignment]  # raw mode
        except Exception as error:
            raise translate(self._path, "read", error) from error
        pairs = self._pairs(self.family, items, start, end)
        self._scans.add(pairs)
        return pairs

    def _pairs(self, family: Rdict, items: Iterator[tuple[bytes, bytes]], start: bytes, end: bytes | None) -> Pairs:
        """Pass the items on; make sure at their end that it was the end."""
        key = start
        try:
            for pair in items:
                key = pair[0]
                yield pair
            # rocksdict's item iterator stops without an error at a damaged block. The plain iterator
            # tells: put it where the items ended and ask.
            check = family.iter(_bounds(end))
            check.seek(key)
            if check.valid():
                check.next()
            check.status()
        except GeneratorExit:
            raise
        except Exception as error:
            raise translate(self._path, "read", error) from error

    def close(self) -> None:
        """Close open scans and the family: each of them keeps the directory locked."""
        for pairs in tuple(self._scans):
            with contextlib.suppress(ValueError):  # being read by another thread at this moment
                pairs.close()
        if self.family is not None:
            with contextlib.suppress(Exception):  # a full disk cannot be flushed to; the write-ahead log has it all
                self.family.close()
            self.family = None


def _bounds(end: bytes | None) -> ReadOptions:
    """Return options for a scan that ends before ``end``."""
    options = ReadOptions()
    if end is not None:
        options.set_iterate_upper_bound(end)
    return options


class RocksBackend:
    """Named stores in a directory, safe to use from several threads.

    One process owns the directory; read-only openings, which see it as it was when they were made,
    take no part in that. Memory is at most ``block_cache_bytes`` + ``write_buffer_bytes`` and a
    little for each store. With ``fsync`` a batch survives a power cut, without it only a crash of the process.

    After a failed write the backend refuses further ones: what RocksDB's log holds then is only
    known once it is opened again. All of the failed batch is in it, or nothing.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        read_only: bool = False,
        block_cache_bytes: int = 32 << 20,
        write_buffer_bytes: int = 16 << 20,
        fsync: bool = True,
    ) -> None:
        """Open the directory, and make it if need be.

        Raises:
            StateLocked: another process, or another backend of this one, owns it.
            StateError: it cannot be used; the message says what to do.
        """
        self._path = Path(path)
        self._read_only = read_only
        self._budget = WriteBudget(write_buffer_bytes)
        self._options = RocksOptions(block_cache_bytes, self._budget)
        self._sync = WriteOptions()
        self._sync.sync = fsync
        self._lock = threading.RLock()
        self._stores: dict[str, RocksStore] = {}
        self._handles: dict[str, ColumnFamily] = {}
        self._unusable = f"data directory {self._path} was opened read-only" if read_only else ""
        self._db = self._open()
        for name in self._existing:
            self._attach(name, self._db.get_column_family(_FAMILY + name))
        if not read_only:
            self._claim()

    def _open(self) -> Rdict:
        """Open the database with every family that it has."""
        exists = (self._path / "CURRENT").exists()
        if self._read_only and not exists:
            message = (
                f"cannot open data directory {self._path}: there is none. "
                "Check the path, or start a worker on it, which makes it"
            )
            raise StateError(message)
        try:
            self._path.mkdir(parents=True, exist_ok=True)
            families = Rdict.list_cf(str(self._path), self._options.make()) if exists else ["default"]
            access = AccessType.read_only(error_if_log_file_exist=False) if self._read_only else AccessType.read_write()
            db = Rdict(
                str(self._path),
                options=self._options.make(),
                column_families={family: self._options.make() for family in families},
                access_type=access,
            )
        except Exception as error:
            raise translate(self._path, "open", error) from error
        self._existing = [family.removeprefix(_FAMILY) for family in families if family.startswith(_FAMILY)]
        return db

    def _claim(self) -> None:
        """Leave the pid for the message that a second process gets."""
        with contextlib.suppress(OSError):  # only that message would miss it
            (self._path / OWNER_FILE).write_text(f"{os.getpid()}\n", encoding="ascii")

    def _attach(self, name: str, family: Rdict) -> RocksStore:
        store = RocksStore(self._path, family)
        self._handles[name] = self._db.get_column_family_handle(_FAMILY + name)
        self._stores[name] = store
        return store

    def store(self, name: str) -> RocksStore:
        """Return the store of that name; it is made if it is not there (read-only: it is empty)."""
        store = self._stores.get(name)
        if store is not None:
            return store
        if self._read_only:
            return RocksStore(self._path, None)
        with self._lock:
            if name in self._stores:
                return self._stores[name]
            try:
                return self._attach(name, self._db.create_column_family(_FAMILY + name, self._options.make()))
            except Exception as error:
                raise translate(self._path, "write to", error) from error

    def names(self) -> tuple[str, ...]:
        """Return the names of the stores that exist, sorted."""
        return tuple(sorted(self._stores))

    def write(self, batch: Batch) -> None:
        """Write the batch: all of it or, on any failure, nothing.

        Raises:
            StateError: the disk is full, read-only or broken; or an earlier write failed.
        """
        if self._unusable:
            message = f"nothing can be written: {self._unusable}"
            raise StateError(message)
        native = self._native(batch)
        try:
            self._db.write(native, self._sync)
        except Exception as error:
            translated = translate(self._path, "write to", error)
            self._unusable = f"an earlier write failed. Start again once this is mended: {translated}"
            raise translated from error
        self._budget.relieve(store.family for store in tuple(self._stores.values()) if store.family is not None)

    def _native(self, batch: Batch) -> WriteBatch:
        """Return the batch as RocksDB takes it, in the order that the protocol promises."""
        native = WriteBatch(raw_mode=True)
        handles = self._handles
        for name in batch.names() - handles.keys():
            self.store(name)
        for name, start, end in batch.ranges:
            if start < end:  # RocksDB refuses the whole batch otherwise
                native.delete_range(start, end, handles[name])
        for name, key in batch.deletes:
            native.delete(key, handles[name])
        put = native.put
        for name, key, value in batch.puts:
            put(key, value, handles[name])
        for name, keys, values in batch.columns:
            handle = handles[name]
            if None not in values:
                deque(map(put, keys, values, repeat(handle)), maxlen=0)  # the cheapest loop that there is
                continue
            for key, found in zip(keys, values, strict=True):
                if found is None:
                    native.delete(key, handle)
                else:
                    put(key, found, handle)
        return native

    def close(self) -> None:
        """Close, and let others have the directory. Doing it twice does no harm."""
        with self._lock:
            if self._unusable == _CLOSED:
                return
            self._handles.clear()
            for store in self._stores.values():
                store.close()
            with contextlib.suppress(Exception):  # as for a store
                self._db.close()
            if not self._read_only:
                (self._path / OWNER_FILE).unlink(missing_ok=True)
            self._unusable = _CLOSED


_CLOSED = "the data directory was closed"

"""The memory that written data may take until it is flushed to files, over all stores of a directory."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from rocksdict import Rdict, WriteBufferManager

_ACTIVE = "rocksdb.cur-size-active-mem-table"


class WriteBudget:
    """Flushes stores, largest first, when all together hold more than ``limit`` bytes.

    RocksDB's own manager flushes one family a write: with fifty stores written evenly its limit was passed six
    times over. Flushing all of them together (atomic flush) would write a tiny file per quiet store each time.
    """

    def __init__(self, limit: int) -> None:
        """Begin with nothing used."""
        self.limit = limit
        self.manager = WriteBufferManager(2 * limit, allow_stall=False)  # measures; and limits should flushing lag

    @property
    def used(self) -> int:
        """Return the bytes in use, those being flushed included."""
        return self.manager.get_usage()

    def relieve(self, families: Iterable[Rdict]) -> None:
        """Flush, if more than the limit is used. Waits only if flushing has fallen far behind.

        A flush that fails is not reported here: nothing is lost, and RocksDB refuses the next write.
        """
        used = self.used
        if used <= self.limit:
            return
        with suppress(Exception):
            sizes = [(family.property_int_value(_ACTIVE) or 0, family) for family in families]
            sizes.sort(key=lambda entry: entry[0], reverse=True)
            active = sum(size for size, _ in sizes)
            if active <= self.limit // 2:
                return  # the rest is being flushed already
            for size, family in sizes:
                family.flush(wait=used > 2 * self.limit)
                active -= size
                if active <= self.limit // 4:
                    return

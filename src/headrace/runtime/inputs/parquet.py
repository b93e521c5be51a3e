"""Parquet files: rows become JSON objects. The one module that imports pyarrow."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from headrace.errors import ConfigError
from headrace.runtime.inputs.base import Bounded, Slice
from headrace.runtime.inputs.columns import check_columns
from headrace.runtime.inputs.sources import shrunk
from headrace.runtime.records import Records

if TYPE_CHECKING:
    from pydantic import BaseModel

_ROWS = 4096


class ParquetInput(Bounded):
    """The rows of a Parquet file, positions in rows. Times without a zone are taken as UTC."""

    def __init__(self, path: Path, schema: type[BaseModel] | None = None, *, read: Collection[str] = ()) -> None:
        """Open ``path``; the fields of ``schema`` that are ``read`` must be there.

        Raises:
            ConfigError: they are not, or the file is no Parquet.
        """
        self._path = path
        try:
            self._file = pq.ParquetFile(path)
        except (pa.ArrowException, OSError) as error:
            msg = f"{path} cannot be read as Parquet: {error}"
            raise ConfigError(msg) from error
        check_columns(path, self._file.schema_arrow.names, schema, read)
        self._encode = msgspec.json.Encoder(enc_hook=str).encode
        self._at = -1
        self._batches: Iterator[Any] = iter(())

    def read(self, position: int, max_bytes: int) -> Slice:
        """Return the next rows from row ``position`` on."""
        rows = self._file.metadata.num_rows
        if position > rows:
            raise ConfigError(shrunk(self._path, position))
        if position != self._at:
            self._batches = self._from(position)
        try:
            batch = next(self._batches, None)
        except (pa.ArrowException, OSError) as error:
            msg = f"{self._path} cannot be read after row {position}: {error}"
            raise ConfigError(msg) from error
        if batch is None:
            return Slice(Records([]), position, ended=True)
        encode = self._encode
        values = [encode(row) for row in _microseconds(batch).to_pylist()]
        self._at = position + len(values)
        return Slice(Records(values), self._at, ended=self._at >= rows)

    def _from(self, position: int) -> Iterator[Any]:
        meta = self._file.metadata
        groups, skip = list(range(meta.num_row_groups)), position
        while groups and skip >= meta.row_group(groups[0]).num_rows:
            skip -= meta.row_group(groups.pop(0)).num_rows
        for batch in self._file.iter_batches(batch_size=_ROWS, row_groups=groups):
            if skip < batch.num_rows:
                yield batch.slice(skip)
            skip = max(skip - batch.num_rows, 0)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _microseconds(batch: Any) -> Any:
    """Return the batch with times of nanoseconds cut to microseconds, which is what Python has."""
    columns = []
    for column in batch.columns:
        dtype = column.type
        if pa.types.is_timestamp(dtype) and dtype.unit == "ns":
            columns.append(column.cast(pa.timestamp("us", tz=dtype.tz), safe=False))
        else:
            columns.append(column)
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)

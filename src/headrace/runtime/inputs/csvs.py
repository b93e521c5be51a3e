"""CSV files: rows become JSON objects by the header."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from headrace.errors import ConfigError
from headrace.runtime.inputs.base import Slice
from headrace.runtime.inputs.cells import cells
from headrace.runtime.inputs.sources import ByteSource
from headrace.runtime.records import Records

if TYPE_CHECKING:
    from pydantic import BaseModel

_BOM = "\ufeff"
_DELIMITERS = ",;\t|"
_STEP = 1 << 18


class CsvInput:
    """The rows of a CSV file with a header, positions in bytes.

    The delimiter (comma, semicolon, tab or bar) is the one most frequent in the header. A row
    that is no proper CSV, or has another number of columns than the header, is delivered as
    it stands in the file, which makes it a dead letter.
    """

    def __init__(self, source: ByteSource, path: Path, schema: type[BaseModel] | None) -> None:
        """Read the header of ``source``; ``schema`` types the columns."""
        self._source = source
        lines = _Lines(source, 0)
        first = next(lines, "").removeprefix(_BOM)
        self._delimiter = max(_DELIMITERS, key=first.count)
        self._columns = next(csv.reader([first], delimiter=self._delimiter), [])
        self._begin = lines.position
        if len(set(self._columns)) < len(self._columns) or not all(self._columns) or not self._columns:
            msg = f"{path}: expected a first line with the names of the columns, all different, got {first.strip()!r}"
            raise ConfigError(msg)
        self._cells = cells(schema, self._columns)
        self._nested = any("." in column for column in self._columns)
        self._encode = msgspec.json.Encoder().encode

    def read(self, position: int, max_bytes: int) -> Slice:
        """Return whole rows from byte ``position`` on."""
        start = max(position, self._begin)
        end, values = start, list[bytes]()
        while end < start + max_bytes:
            lines = _Lines(self._source, end)
            rows = csv.reader(lines, delimiter=self._delimiter, strict=True)
            try:
                for row in rows:
                    if row:
                        values.append(self._value(row, end, lines.position))
                    end = lines.position
                    if end >= start + max_bytes:
                        break
                else:
                    return Slice(Records(values), end, ended=True)
            except csv.Error:
                line = _Lines(self._source, end)
                values.append(next(line).rstrip("\r\n").encode("utf-8", "surrogateescape"))
                end = line.position
        return Slice(Records(values), end, ended=False)

    def _value(self, row: list[str], start: int, end: int) -> bytes:
        if len(row) == len(self._columns):
            typed = [cell(text) for cell, text in zip(self._cells, row, strict=True)]
            record = dict(zip(self._columns, typed, strict=True))
            try:
                return self._encode(_nest(record) if self._nested else record)
            except UnicodeEncodeError:
                pass  # not UTF-8
        return self._source.pread(end - start, start).rstrip(b"\r\n")

    def close(self) -> None:
        """Close the source."""
        self._source.close()


class _Lines:
    """The lines from a byte position on; ``position`` is where the next one begins."""

    def __init__(self, source: ByteSource, position: int) -> None:
        self._source = source
        self.position = position
        self._data = b""
        self._at = 0

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        newline = self._data.find(b"\n", self._at)
        size = _STEP
        while newline < 0:
            data = self._source.pread(size, self.position)
            self._data, self._at = data, 0
            newline = data.find(b"\n")
            if len(data) < size:
                break
            size *= 2
        line = self._data[self._at : newline + 1] if newline >= 0 else self._data[self._at :]
        if not line:
            raise StopIteration
        self._at += len(line)
        self.position += len(line)
        return line.decode("utf-8", "surrogateescape")


def _nest(record: dict[str, object]) -> dict[str, Any]:
    """Return ``{"a.b": 1}`` as ``{"a": {"b": 1}}``; an object of nulls only is null."""
    nested: dict[str, Any] = {}
    for column, value in record.items():
        *parents, last = column.split(".")
        place = nested
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = value
    return {name: _collapse(value) for name, value in nested.items()}


def _collapse(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    inner = {name: _collapse(item) for name, item in value.items()}
    return inner if any(item is not None for item in inner.values()) else None

"""CSV files: rows become JSON objects by the header."""

from __future__ import annotations

import csv
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from headrace.errors import ConfigError
from headrace.runtime.inputs.base import Bounded, Slice
from headrace.runtime.inputs.cells import cells
from headrace.runtime.inputs.columns import check_columns
from headrace.runtime.inputs.sources import ByteSource
from headrace.runtime.records import Records

if TYPE_CHECKING:
    from pydantic import BaseModel

_BOM = "\ufeff"
_DELIMITERS = ",;\t|"
_STEP = 1 << 18


class CsvInput(Bounded):
    """The rows of a CSV file with a header, positions in bytes.

    The delimiter (comma, semicolon, tab or bar) is the one most frequent in the header. A row
    that is no proper CSV, or has another number of columns than the header, is delivered as
    it stands in the file, with the reason, which makes it a dead letter. Within a row whose quotes
    do not match nobody can tell where it ends: only its first line is taken for it.
    """

    def __init__(
        self,
        source: ByteSource,
        path: Path,
        schema: type[BaseModel] | None,
        *,
        max_row: int,
        read: Collection[str] = (),
    ) -> None:
        """Read the header of ``source``; ``schema`` types the columns, and those that are ``read`` must be there.

        A row longer than ``max_row`` comes cut.

        Raises:
            ConfigError: the header has no names, or not those that are needed.
        """
        self._source = source
        self._max_row = max_row
        # Of the whole process; the default of 128 KB is less than a field of text may hold.
        csv.field_size_limit(max(csv.field_size_limit(), max_row))
        lines = _Lines(source, 0, max_row)
        first = next(lines, "").removeprefix(_BOM)
        self._delimiter = max(_DELIMITERS, key=first.count)
        self._columns = next(csv.reader([first], delimiter=self._delimiter), [])
        self._begin = lines.position
        if len(set(self._columns)) < len(self._columns) or not all(self._columns) or not self._columns:
            got = repr(first.strip()[:200])
            msg = f"{path}: expected a first line with the names of the columns, all different, got {got}"
            raise ConfigError(msg)
        check_columns(path, self._columns, schema, read)
        self._cells = cells(schema, self._columns)
        self._nested = any("." in column for column in self._columns)
        self._encode = msgspec.json.Encoder().encode

    def read(self, position: int, max_bytes: int) -> Slice:
        """Return whole rows from byte ``position`` on."""
        start = max(position, self._begin)
        end, values, faults = start, list[bytes](), dict[int, str]()
        while end < start + max_bytes:
            lines = _Lines(self._source, end, self._max_row)
            rows = csv.reader(lines, delimiter=self._delimiter, strict=True)
            try:
                for row in rows:
                    if row:
                        value, fault = self._value(row, end, lines.position)
                        if fault:
                            faults[len(values)] = fault
                        values.append(value)
                    end = lines.row = lines.position
                    if end >= start + max_bytes:
                        break
                else:
                    return Slice(Records(values, faults=faults), end, ended=True)
            except csv.Error as error:
                faults[len(values)] = f"record: expected a row of CSV, got one that cannot be read ({error})"
                value, end = self._broken(end, whole=isinstance(error, _TooLong))
                values.append(value)
        return Slice(Records(values, faults=faults), end, ended=False)

    def _broken(self, start: int, *, whole: bool) -> tuple[bytes, int]:
        """Return a row that cannot be read, and where to go on: behind it if ``whole``, else behind its first line."""
        end = _row_end(self._source, start) if whole else None
        if end is None:
            end = _line_end(self._source, start)
        return self._source.pread(min(end - start, self._max_row), start).rstrip(b"\r\n"), end

    def _value(self, row: list[str], start: int, end: int) -> tuple[bytes, str]:
        """Return the row as JSON; or as it stands, and what is wrong with it."""
        fault = f"record: expected {len(self._columns)} columns as in the header, got {len(row)}"
        if len(row) == len(self._columns):
            typed = [cell(text) for cell, text in zip(self._cells, row, strict=True)]
            record = dict(zip(self._columns, typed, strict=True))
            try:
                return self._encode(_nest(record) if self._nested else record), ""
            except UnicodeEncodeError:
                fault = "record: expected a row in UTF-8, got other bytes"
        return self._source.pread(end - start, start).rstrip(b"\r\n"), fault

    def close(self) -> None:
        """Close the source."""
        self._source.close()


class _TooLong(csv.Error):
    """A row is longer than is kept in memory."""


class _Lines:
    """The lines from a byte position on; ``position`` is where the next one begins, ``row`` where its row does."""

    def __init__(self, source: ByteSource, position: int, max_row: int) -> None:
        self._source = source
        self._max_row = max_row
        self.position = self.row = position
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
            if newline < 0:
                self._check(size)
            size *= 2
        line = self._data[self._at : newline + 1] if newline >= 0 else self._data[self._at :]
        if not line:
            raise StopIteration
        self._check(len(line))
        self._at += len(line)
        self.position += len(line)
        return line.decode("utf-8", "surrogateescape")

    def _check(self, size: int) -> None:
        if self.position + size - self.row > self._max_row:
            msg = f"it is longer than {self._max_row} bytes"
            raise _TooLong(msg)


def _row_end(source: ByteSource, position: int) -> int | None:
    """Return where the row ends that begins at ``position``; None if a quote is never closed.

    A quote within quotes is doubled, so a newline ends the row if the quotes before it are even in number.
    """
    odd = 0
    while data := source.pread(_STEP, position):
        at = 0
        while (newline := data.find(b"\n", at)) >= 0:
            odd ^= data.count(b'"', at, newline) & 1
            if not odd:
                return position + newline + 1
            at = newline + 1
        odd ^= data.count(b'"', at) & 1
        position += len(data)
    return None if odd else position


def _line_end(source: ByteSource, position: int) -> int:
    while data := source.pread(_STEP, position):
        newline = data.find(b"\n")
        if newline >= 0:
            return position + newline + 1
        position += len(data)
    return position


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

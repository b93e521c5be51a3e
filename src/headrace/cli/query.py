"""``headrace query``: rows of a table, of a running worker or of a data directory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headrace.cli.console import note, write_json, write_rows
from headrace.cli.options import DEFAULT_DATA_DIR, DataDir, Json, parse_time
from headrace.errors import ConfigError

if TYPE_CHECKING:
    from headrace.query.client import Client
    from headrace.query.tables import Tables

Row = dict[str, Any]

_PAGE = 10_000


def query(
    table: Annotated[str | None, typer.Argument(metavar="[TABLE]", help="Without it: list the tables.")] = None,
    key: Annotated[
        str | None,
        typer.Argument(metavar="[KEY]", help="A key; a JSON array for several key columns. Without it: all rows."),
    ] = None,
    *,
    window: Annotated[
        str | None, typer.Option("--window", metavar="TIME", help="Only the window that starts then (ISO 8601).")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="At most so many rows.")] = 100,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    target: Annotated[
        str | None, typer.Option("--target", help="Where the topologies are; by default, what the worker ran.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show rows of a table.

    Asks the worker that runs on the data directory; if none does, reads the directory itself.
    """
    start = None if window is None else parse_time(window, "--window")
    if start is not None and key is None:
        msg = "--window: expected a KEY with it"
        raise ConfigError(msg)
    with _source(data_dir, target) as source:
        rows = source.tables() if table is None else source.rows(table, key, start, limit + 1)
        if key is not None and not rows:
            _refuse_array(source.tables(), table, key)
    if table is not None and len(rows) > limit:
        note(f"only the first {limit} rows; --limit shows more")
        rows = rows[:limit]
    if as_json:
        write_json(rows)
    else:
        write_rows(rows, title=table or "tables")


def _refuse_array(tables: list[Row], name: str | None, key: str) -> None:
    """Refuse what is meant for an array of key columns, of a table that has one: it is a text that no key has."""
    for table in tables:
        one = len(table["key"]) == 1 and name in {table["table"], f"{table['topology']}.{table['table']}"}
        if one and key.startswith("["):
            msg = f"key: expected the plain text of {table['key'][0]}, the one key column of {name!r}, got {key!r}"
            raise ConfigError(msg)


class _Worker:
    """A running worker."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def tables(self) -> list[Row]:
        return self._client.tables()

    def rows(self, table: str, key: str | None, window: datetime | None, limit: int) -> list[Row]:
        if key is not None:
            return self._client.rows(table, key, window)[:limit]
        rows, cursor = self._client.scan(table, limit=min(limit, _PAGE))
        while cursor is not None and len(rows) < limit:
            more, cursor = self._client.scan(table, limit=min(limit - len(rows), _PAGE), cursor=cursor)
            rows += more
        return rows


class _Directory:
    """A data directory, opened read-only."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def tables(self) -> list[Row]:
        return [table.describe() for table in self._tables]

    def rows(self, table: str, key: str | None, window: datetime | None, limit: int) -> list[Row]:
        found = self._tables.find(table)
        if found is None:
            raise ConfigError(self._tables.unknown(table))
        return found.page(limit)[0] if key is None else found.rows(key, window)[:limit]


@contextmanager
def _source(data_dir: Path, target: str | None) -> Iterator[_Worker | _Directory]:
    from headrace.cli.directory import open_tables  # noqa: PLC0415 - --help must not wait for it

    if (data_dir / "http.url").exists():
        from headrace.query.client import find_worker  # noqa: PLC0415

        client = find_worker(data_dir)
        if client is not None:
            with client:
                yield _Worker(client)
            return
    with open_tables(data_dir, target) as tables:
        yield _Directory(tables)

"""What commands print: results on stdout, everything else on stderr.

On a terminal rows are a table; otherwise tab-separated lines with a header, or JSON on request.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec


def note(text: str) -> None:
    """Print a line for people on stderr."""
    print(text, file=sys.stderr, flush=True)


def counted(number: int, noun: str) -> str:
    """Return a number with its noun.

    >>> counted(1, "dead letter"), counted(2000, "dead letter")
    ('1 dead letter', '2,000 dead letters')
    """
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def write_json(value: object, *, indent: bool = False) -> None:
    """Print a value as JSON on stdout, on one line unless indented."""
    data = msgspec.json.encode(value)
    sys.stdout.buffer.write(msgspec.json.format(data, indent=2) if indent else data)
    sys.stdout.buffer.write(b"\n")
    sys.stdout.flush()


def write_rows(rows: Iterable[Mapping[str, Any]], *, title: str = "") -> int:
    """Print rows that all have the columns of the first; return how many there were."""
    listed = [{name: _cell(value) for name, value in row.items()} for row in rows]
    if not listed:
        note("no rows")
        return 0
    columns = list(listed[0])
    if sys.stdout.isatty():
        _write_table(listed, columns, title)
    else:
        print("\t".join(columns))
        for row in listed:
            print("\t".join(row.get(name, "") for name in columns))
        sys.stdout.flush()
    return len(listed)


def _write_table(rows: Sequence[Mapping[str, str]], columns: Sequence[str], title: str) -> None:
    from rich.console import Console  # noqa: PLC0415 - only a terminal pays for rich
    from rich.markup import escape  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    table = Table(title=title or None, title_justify="left")
    for name in columns:
        table.add_column(escape(name))
    for row in rows:
        table.add_row(*(escape(row.get(name, "")) for name in columns))
    Console().print(table)


def _cell(value: object) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode().strip('"')
    return text.replace("\t", " ").replace("\n", " ")

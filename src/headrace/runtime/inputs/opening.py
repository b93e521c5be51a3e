"""From what a command line names to inputs."""

from __future__ import annotations

import glob
import stat
from collections.abc import Collection
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from headrace.errors import ConfigError
from headrace.runtime.inputs.base import Input
from headrace.runtime.inputs.csvs import CsvInput
from headrace.runtime.inputs.fingerprint import FileMark
from headrace.runtime.inputs.followed import ROTATION_S, FollowedInput
from headrace.runtime.inputs.lines import LineInput
from headrace.runtime.inputs.sources import ByteSource, is_packed, open_source

if TYPE_CHECKING:
    from pydantic import BaseModel

_CSV = {".csv", ".tsv"}
_PARQUET = {".parquet", ".pq"}
_LINES = {".ndjson", ".jsonl", ".json"}


def is_stream(spec: str) -> bool:
    """Tell whether ``spec`` can be read only once: ``-``, a pipe, a device."""
    if spec == "-":
        return True
    try:
        mode = Path(spec).stat().st_mode
    except OSError:
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def expand(spec: str) -> list[Path]:
    """Return the files that ``spec`` names: a file, a directory, a pattern; sorted, absolute.

    Raises:
        ConfigError: there is none.
    """
    path = Path(spec)
    if path.is_dir():
        known = _CSV | _PARQUET | _LINES
        found = sorted(file for file in path.iterdir() if file.is_file() and _suffix(file) in known)
        missing = f"{spec} has no file ending in {', '.join(sorted(known))} (also with .gz or .zst)"
    elif path.exists():
        return [path.absolute()]
    else:
        found = sorted(Path(name) for name in glob.glob(spec, recursive=True))  # noqa: PTH207 - absolute patterns
        found = [file for file in found if file.is_file()]
        missing = f"there is no input {spec!r}: tried {Path(spec).absolute()}"
    if not found:
        raise ConfigError(missing)
    return [file.absolute() for file in found]


def open_input(path: Path, schema: type[BaseModel] | None, *, max_line: int, read: Collection[str] = ()) -> Input:
    """Open a file by its suffix: CSV, Parquet, else NDJSON; packed with gzip or zstd or not.

    A file with named columns must have those of the fields that are ``read``, unless they have defaults.

    Raises:
        ConfigError: the file cannot be opened or is not of its kind.
    """
    kind = _suffix(path)
    try:
        if kind in _PARQUET:
            return _parquet(path, schema, read)
        with ExitStack() as opened:
            source = open_source(path)
            opened.callback(source.close)
            found = _text(path, source, schema, max_line=max_line, read=read)
            opened.pop_all()
            return found
    except OSError as error:
        msg = f"{path} cannot be opened: {error.strerror or error}"
        raise ConfigError(msg) from error


def open_followed(path: Path, mark: FileMark, position: int, *, max_line: int, rotation_s: float = ROTATION_S) -> Input:
    """Open a file that grows, as ``tail -F`` does; for plain NDJSON only.

    Raises:
        ConfigError: it cannot be followed, or is not the one that was read before.
    """
    if _suffix(path) in _CSV | _PARQUET or is_packed(path):
        msg = f"{path} cannot be followed: only uncompressed NDJSON can grow and be read on"
        raise ConfigError(msg)
    return FollowedInput(path, mark, position, max_line=max_line, rotation_s=rotation_s)


def _text(
    path: Path, source: ByteSource, schema: type[BaseModel] | None, *, max_line: int, read: Collection[str]
) -> Input:
    kind = _suffix(path)
    if kind in _CSV:
        return CsvInput(source, path, schema, max_row=max_line, read=read)
    if kind == ".json" and source.pread(64, 0).lstrip().startswith(b"["):
        msg = f"{path} is one JSON array: expected one object a line (NDJSON). Convert it: jq -c '.[]'"
        raise ConfigError(msg)
    return LineInput(source, max_line=max_line)


def _parquet(path: Path, schema: type[BaseModel] | None, read: Collection[str]) -> Input:
    try:
        from headrace.runtime.inputs.parquet import ParquetInput  # noqa: PLC0415 - only Parquet needs pyarrow
    except ImportError as error:
        msg = f"{path} is a Parquet file: pip install 'headrace[files]'"
        raise ConfigError(msg) from error
    if is_packed(path):
        msg = f"{path}: Parquet is compressed within; unpack the file first"
        raise ConfigError(msg)
    return ParquetInput(path, schema, read=read)


def _suffix(path: Path) -> str:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in {".gz", ".zst"}:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""

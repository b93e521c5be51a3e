"""Does a file with named columns have those that a topology cannot do without?"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import AliasChoices, AliasPath

from headrace.errors import ConfigError
from headrace.event.model import Event

if TYPE_CHECKING:
    from pydantic import BaseModel
    from pydantic.fields import FieldInfo


def check_columns(path: Path, columns: Sequence[str], schema: type[BaseModel] | None, read: Collection[str]) -> None:
    """Refuse a file that lacks a field without a default that is read: every record of it would be a dead letter.

    Left alone are events, which may be of an older version, and models that change a record before it is checked.

    Args:
        path: The file.
        columns: Its columns; ``a.b`` is the field ``b`` of ``a``.
        schema: What its records are.
        read: The fields that are read.

    Raises:
        ConfigError: names the columns that are missing.
    """
    if schema is None or issubclass(schema, Event) or _is_prepared(schema):
        return
    there = {column.partition(".")[0] for column in columns}
    needed = [(name, info) for name, info in schema.model_fields.items() if name in read and info.is_required()]
    missing = [min(names) for name, info in needed if not there & (names := _names(schema, name, info))]
    if missing:
        noun = "column" if len(missing) == 1 else "columns"
        msg = f"{path} has no {noun} {', '.join(map(repr, missing))}; it has {', '.join(columns)}"
        raise ConfigError(msg)


def _is_prepared(schema: type[BaseModel]) -> bool:
    validators = schema.__pydantic_decorators__.model_validators.values()
    return any(validator.info.mode != "after" for validator in validators)


def _names(schema: type[BaseModel], name: str, info: FieldInfo) -> set[str]:
    """Return the columns that a field may come from."""
    alias, config = info.validation_alias or info.alias, schema.model_config
    choices = alias.choices if isinstance(alias, AliasChoices) else [alias or name]
    names = {str(one.path[0]) if isinstance(one, AliasPath) else one for one in choices}
    by_name = config.get("populate_by_name") or config.get("validate_by_name")
    return names | {name} if by_name else names

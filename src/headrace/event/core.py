"""Access to pydantic's core schemas: the exact data that pydantic validates by.

Types, projections and fast decoders are all derived from this one source, so constraints,
validators and custom types cannot be overlooked: what a reader does not know, it leaves to pydantic.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic_core import SchemaValidator

if TYPE_CHECKING:
    from pydantic import BaseModel

__all__ = ["Core", "Record"]

Schema = dict[str, Any]

# Settings of a model that cannot make pydantic stricter than the fast path, nor change a value that it took.
_HARMLESS = frozenset({
    "title", "extra_fields_behavior", "validate_by_name", "validate_by_alias", "populate_by_name", "loc_by_alias",
    "from_attributes", "frozen", "hide_input_in_errors", "revalidate_instances", "coerce_numbers_to_str",
    "cache_strings", "validation_error_cause", "serialize_by_alias", "allow_inf_nan",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Record:
    """The fields of one model: name to pydantic's field schema, and the model's configuration."""

    fields: Mapping[str, Schema]
    config: Schema = field(default_factory=dict)
    extra: str = "ignore"

    @property
    def fast(self) -> bool:
        """Say whether the configuration leaves the plain meaning of the field types as it is."""
        return all(key in _HARMLESS or key.startswith("ser_") for key in self.config)

    def wires(self, name: str) -> list[str] | None:
        """Return the JSON keys that can hold a field, the first that counts first; None if it is a deeper path."""
        alias = self.fields[name].get("validation_alias")
        by_alias = self.config.get("validate_by_alias", True)
        by_name = self.config.get("validate_by_name", False) or self.config.get("populate_by_name", False)
        keys: list[str] = []
        if alias is not None and by_alias:
            choices = [alias] if isinstance(alias, str) else alias
            if choices and not isinstance(choices[0], list | str):
                return None
            for choice in choices if isinstance(alias, str) or isinstance(choices[0], list) else [choices]:
                if isinstance(choice, list):
                    if len(choice) != 1:
                        return None
                    choice = choice[0]  # noqa: PLW2901
                keys.append(choice)
        if alias is None or by_name or not by_alias:
            keys.append(name)
        return keys


class Core:
    """The core schema of a model with its definitions resolved on demand."""

    def __init__(self, model: type[BaseModel]) -> None:
        """Take the schema of a model; forward references are resolved first."""
        if not model.__pydantic_complete__:
            model.model_rebuild()
        schema: Schema = dict(model.__pydantic_core_schema__)
        self.definitions: list[Schema] = []
        if schema["type"] == "definitions":
            self.definitions = list(schema["definitions"])
            schema = schema["schema"]
        self._by_ref = {item["ref"]: item for item in self.definitions}
        self.root = self.resolve(schema)

    def resolve(self, schema: Schema) -> Schema:
        """Follow a reference to its definition."""
        while schema["type"] == "definition-ref":
            schema = self._by_ref[schema["schema_ref"]]
        return schema

    def record(self, schema: Schema) -> Record | None:
        """Return the fields of a plain model; None where code of the user takes part in its making."""
        if schema["type"] != "model" or schema.get("root_model") or schema.get("custom_init"):
            return None
        own = getattr(schema["cls"], schema["post_init"], None) if "post_init" in schema else None
        if own is not None and not getattr(own, "headrace_benign", False):
            return None
        inner = schema["schema"]
        if inner["type"] != "model-fields" or schema.get("strict") is not None or "extras_schema" in inner:
            return None
        config = dict(schema.get("config") or {})
        extra = inner.get("extra_behavior") or config.get("extra_fields_behavior") or "ignore"
        return Record(inner["fields"], config, extra)

    def validator(self, schema: Schema, config: Schema | None = None) -> SchemaValidator:
        """Build pydantic's validator of a part of the schema."""
        whole: Any = schema
        if self.definitions:
            whole = {"type": "definitions", "schema": schema, "definitions": self.definitions}
        settings: Any = {key: value for key, value in (config or {}).items() if key != "title"}
        return SchemaValidator(whole, settings or None)

    def wants_context(self, schema: Schema) -> bool:
        """Say whether a validator in the schema of a field asks for the fields before it."""
        return any(
            (isinstance(part.get("function"), dict) and part["function"].get("type") == "with-info")
            or part.get("default_factory_takes_data")
            for part in self._parts(schema, set())
        )

    def _parts(self, schema: object, seen: set[int]) -> Iterator[Schema]:
        if isinstance(schema, dict) and id(schema) not in seen:
            seen.add(id(schema))
            yield schema
            for key, value in schema.items():
                if key not in {"metadata", "default", "cls", "serialization"}:
                    yield from self._parts(value, seen)
        elif isinstance(schema, list | tuple):
            for item in schema:
                yield from self._parts(item, seen)

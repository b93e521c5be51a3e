"""Views: which fields of a model are read, as a tree; what pydantic checks of them, and how code reaches them."""

from __future__ import annotations

import keyword
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from types import SimpleNamespace

from headrace.errors import DataError
from headrace.event.core import Core, Record, Schema
from headrace.event.faults import show
from headrace.event.values import clock, plain

__all__ = ["Node", "View", "access", "build_view", "mark_clock", "project", "rebuild"]

Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Node:
    """One field that is read. ``view`` is None if its whole value is taken, as plain Python data.

    ``is_clock`` marks the event time.
    """

    name: str
    schema: Schema
    nullable: bool
    view: View | None
    is_clock: bool = False

    @property
    def attr(self) -> str:
        """Return the attribute that holds it in a decoded record."""
        return self.name + "_" if keyword.iskeyword(self.name) else self.name


@dataclass(frozen=True, slots=True)
class View:
    """The fields read of one model. ``full`` if that is all of them."""

    record: Record
    nodes: Mapping[str, Node]
    full: bool


def build_view(core: Core, record: Record, paths: Iterable[Path], *, full: bool) -> View:
    """Arrange paths as a tree.

    A path that ends at a field takes its whole value. A nested model is descended into only
    where nothing but its fields stands between: a union, a list or a validator is taken whole.

    Raises:
        ValueError: a path begins with no field of the model.
    """
    rests: dict[str, list[Path]] = {name: [] for name in record.fields} if full else {}
    whole: set[str] = set()
    for name, *rest in paths:
        if name not in record.fields:
            msg = f"no field {name!r}: expected one of {', '.join(sorted(record.fields))}"
            raise ValueError(msg)
        rests.setdefault(name, [])
        if rest:
            rests[name].append(tuple(rest))
        else:
            whole.add(name)
    nodes = {}
    for name in record.fields:  # in the order of the model: faults are reported in this order
        if name in rests:
            schema = record.fields[name]["schema"]
            nested = None if name in whole else _nested(core, schema)
            inner, nullable = nested or (None, False)
            descend = inner is not None and (full or rests[name])
            view = build_view(core, inner, rests[name], full=full) if inner is not None and descend else None
            nodes[name] = Node(name, schema, nullable, view)
    return View(record, nodes, full)


def _nested(core: Core, schema: Schema, depth: int = 0) -> tuple[Record, bool] | None:
    schema = core.resolve(schema)
    match schema["type"]:
        case "default" if not schema.get("validate_default"):
            found = _nested(core, schema["schema"], depth)
            return found and (found[0], found[1] or "default" not in schema or schema["default"] is None)
        case "nullable":
            found = _nested(core, schema["schema"], depth)
            return found and (found[0], True)
        case "model" if _is_finite(core, schema, ()):
            record = core.record(schema)
            return None if record is None else (record, False)
        case _:
            return None


def _is_finite(core: Core, schema: Schema, stack: tuple[str, ...]) -> bool:
    schema = core.resolve(schema)
    ref = schema.get("ref", "")
    if schema["type"] in {"default", "nullable"}:
        return _is_finite(core, schema["schema"], stack)
    if schema["type"] != "model" or schema["schema"]["type"] != "model-fields":
        return True
    if ref in stack:
        return False
    inner = (*stack, ref) if ref else stack
    return all(_is_finite(core, entry["schema"], inner) for entry in schema["schema"]["fields"].values())


def mark_clock(view: View, name: str) -> View:
    """Return the view with a field marked as the event time; unchanged if it reads none such."""
    node = view.nodes.get(name)
    return view if node is None else replace(view, nodes={**view.nodes, name: replace(node, is_clock=True)})


def project(core: Core, view: View) -> Schema:
    """Return a core schema by which pydantic validates just the fields of a view, into a dict.

    Aliases, defaults, constraints, validators of the fields and the model's configuration stay.
    """
    fields = {}
    for name, node in view.nodes.items():
        schema = node.schema if node.view is None else _replaced(core, node.schema, project(core, node.view))
        entry = {"type": "typed-dict-field", "schema": schema, "required": core.resolve(schema)["type"] != "default"}
        if "validation_alias" in view.record.fields[name]:
            entry["validation_alias"] = view.record.fields[name]["validation_alias"]
        fields[name] = entry
    config = {key: value for key, value in view.record.config.items() if key not in {"title", "extra_fields_behavior"}}
    extra = "forbid" if view.full and view.record.extra == "forbid" else "ignore"
    return {"type": "typed-dict", "fields": fields, "config": config, "extra_behavior": extra}


def _replaced(core: Core, schema: Schema, model: Schema) -> Schema:
    schema = core.resolve(schema)
    if schema["type"] == "model":
        return model
    return {**schema, "schema": _replaced(core, schema["schema"], model)}


def rebuild(view: View, values: Mapping[str, object], at: Path = ()) -> SimpleNamespace:
    """Arrange what pydantic validated as an object that the access expressions work on.

    Raises:
        DataError: a value has no final form (a time that leaves years 1 to 9999 in UTC).
    """
    attributes: dict[str, object] = {}
    for name, node in view.nodes.items():
        value = values.get(name)
        here = (*at, name)
        if node.view is not None and value is not None:
            inner = value if isinstance(value, Mapping) else plain(value)
            attributes[node.attr] = rebuild(node.view, inner, here) if isinstance(inner, Mapping) else inner
            continue
        try:
            final = plain(value)
            attributes[node.attr] = clock(final) if node.is_clock else final
        except ValueError as error:
            field, got = ".".join(here), show(value)
            msg = f"field {field!r}: expected {error}, got {got}"
            raise DataError(msg, field=field, expected=str(error), got=got) from error
    return SimpleNamespace(**attributes)


def access(view: View, path: Path, root: str = "r") -> str:
    """Return the Python expression for the final value at a path; None-safe through optional parents."""
    expression = root
    guards: list[str] = []
    current: View | None = view
    for depth, name in enumerate(path, 1):
        if current is None:
            rest = ", ".join(map(repr, path[depth - 1 :]))
            expression = f"_e_dig({expression}, {rest})"
            break
        node = current.nodes[name]
        expression = f"{expression}.{node.attr}"
        if node.nullable and node.view is not None and depth < len(path):
            guards.append(expression)
        current = node.view
    for guard in reversed(guards):
        expression = f"(None if {guard} is None else {expression})"
    return expression

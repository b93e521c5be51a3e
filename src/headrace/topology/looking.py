"""What is declared of lookups and of joins of tables: the nodes, and the faults that show at once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from headrace.topology.declaration import UNKNOWN, Declaration, shown
from headrace.topology.expr import Column, Expr
from headrace.topology.joins import How, Selected, chosen
from headrace.topology.lookups import AsOf, GlobalTable, Lookup, TableJoin, TemporalLookup
from headrace.topology.nodes import Aggregate, GroupBy, Table
from headrace.topology.operator import ROWS, Port
from headrace.topology.table_references import Matches, ReferenceJoin, References, ref_name


@dataclass(frozen=True, slots=True)
class Looking:
    """The options of a lookup, as they were given. ``on``: the key to look up; None: the record's own."""

    on: tuple[Expr, ...] | None
    how: object
    as_of: object
    versions: object
    select: object
    suffix: object


def declare_lookup(declared: Declaration, id: str, port: Port, table: str | None, options: Looking) -> Port:
    """Add a lookup in a table; return its port. ``table`` None: what was given is none, which is a fault already."""
    on, how = options.on, _how(declared, id, options.how, (How.INNER, How.LEFT))
    as_of = declared.choice(id, "as_of", AsOf, options.as_of)
    versions_ms = declared.duration(id, "versions", options.versions)
    select, suffix = _columns(declared, id, options.select, options.suffix)
    if table is None:
        return port
    node, rows = declared.node(table), Port(table, ROWS)
    if as_of is AsOf.LATEST:
        if versions_ms:
            remedy = "Leave it out, or say as_of='event_time'."
            declared.fault(id, "versions", "as_of='event_time' beside it", "the latest row", remedy)
        if isinstance(node, TableJoin | ReferenceJoin):
            remedy = "Look one table up after the other."
            got = f"{table!r}, whose rows are made when a checkpoint is: what is found would depend on that"
            declared.fault(id, "table", "no join of tables", got, remedy)
            return port
        return declared.add(Lookup(id, port, rows, how, on, select, suffix))
    if isinstance(node, Table | GlobalTable):
        keys = node.keys if isinstance(node, GlobalTable) else None
        found = TemporalLookup(
            id, port, node.input, rows, node.delete, keys, how, on, versions_ms, select, suffix
        )  # fmt: skip
        return declared.add(found)
    remedy = "Look the latest row up; or group in windows, and keep the closed rows in a table()."
    got = f"{table!r}, of whose past nothing is known"
    declared.fault(id, "as_of", "a table of records, for the event time", got, remedy)
    return port


@dataclass(frozen=True, slots=True)
class Joining:
    """The options of a join of tables, as they were given."""

    on: object
    how: object
    select: object
    suffix: object


def declare_table_join(declared: Declaration, id: str, one: str, other: str, options: Joining) -> str:
    """Add a join of two tables; return its id."""
    left, right = _changes(declared, one), _changes(declared, other)
    select, suffix = _columns(declared, id, options.select, options.suffix)
    if options.on is None:
        how = _how(declared, id, options.how, (How.INNER, How.LEFT, How.RIGHT, How.OUTER))
        return declared.add(TableJoin(id, left, right, how, select, suffix)).step
    how = _how(declared, id, options.how, (How.INNER, How.LEFT))
    return _by_reference(
        declared, ReferenceJoin(id, (), left, right, how, sought(declared, id, options.on), select, suffix)
    )


def _by_reference(declared: Declaration, join: ReferenceJoin) -> str:
    """Add the way of rows to the tasks that have what they refer to, and back to those of their own keys.

    Not by one step with a second input from there: its task would wait for itself.
    """
    id, on = join.id, join.on
    references = declared.add(References(f"{id}.references", join.left, join))
    keys = tuple((ref_name(number), Column((ref_name(number),))) for number in range(len(on)))
    by_ref = declared.add(GroupBy(f"{id}.by-reference", references, keys))
    matches = declared.add(Matches(f"{id}.matches", by_ref, join.right, join))
    own = tuple((name, Column((name,))) for name in _key(declared, join.left.step))
    back = [declared.add(GroupBy(f"{id}.by-key", matches, own))]
    if join.how is How.LEFT:
        alone = Port(references.step, "alone")
        back.append(declared.add(GroupBy(f"{id}.by-key-alone", alone, own)))
    return declared.add(replace(join, back=tuple(back))).step


def declare_global_table(declared: Declaration, id: str, port: Port, keys: Selected, delete: Expr | None) -> str:
    """Add a table that every task has; return its id."""
    node = GlobalTable(id, port, keys, delete)
    return declared.add(node).step


def sought(declared: Declaration, id: str, on: object) -> tuple[Expr, ...]:
    """Return the columns of a key to look up: one expression, or several in a list."""
    given: Iterable[Any] = on if isinstance(on, list | tuple) else (on,)
    found = [declared.computed(id, "on", value) for value in given]
    if not found:
        declared.fault(id, "on", "at least one expression", shown(on), "Say which columns are the table's key.")
    return tuple(UNKNOWN if expr is None else expr for expr in found)


def _changes(declared: Declaration, table: str) -> Port:
    """Return the port by which a table tells which rows have changed: aggregates remove none."""
    return Port(table, "update" if isinstance(declared.node(table), Aggregate) else "change")


def _key(declared: Declaration, table: str) -> tuple[str, ...]:
    """Return the names of a table's key columns."""
    match declared.node(table):
        case Table(input=port) | Aggregate(input=port):
            group = declared.node(port.step)
            return tuple(name for name, _ in group.keys) if isinstance(group, GroupBy) else ()
        case TableJoin(left=port) | ReferenceJoin(left=port):
            return _key(declared, port.step)
        case _:
            return ()


def _how(declared: Declaration, id: str, how: object, kinds: tuple[How, ...]) -> How:
    found = declared.choice(id, "how", How, how)
    if found not in kinds:
        texts = " or ".join(repr(kind.value) for kind in kinds)
        declared.fault(id, "how", texts, repr(found.value), "A lookup returns records of its stream only.")
        return kinds[0]
    return found


def _columns(declared: Declaration, id: str, select: object, suffix: object) -> tuple[Selected | None, str | None]:
    return chosen(declared, id, select), None if suffix is None else declared.column_name(id, "suffix", suffix)


__all__ = ["Joining", "Looking", "declare_global_table", "declare_lookup", "declare_table_join", "sought"]

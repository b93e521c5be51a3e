"""The ports of an interval join: pairs of records, and the columns that are made of them."""

from __future__ import annotations

from headrace.event.dtypes import ANY, DType, Kind, struct
from headrace.plan.resolution import Columns, Resolution
from headrace.topology.expr import Column
from headrace.topology.joins import LEFT, RIGHT, IntervalJoin, Pairing, Selected
from headrace.topology.operator import Port

PAIR = "pair"
"""The port over which ``select`` is computed: the key, and each side as a nested record."""


def resolve_interval_join(known: Resolution, node: IntervalJoin) -> None:
    """Set its ports."""
    key, other = known.keys[node.left], known.keys[node.right]
    check_keys(known, node, key, other)
    keyed = tuple(Column((name,)) for name, _ in key)
    for side, port in ((LEFT, node.left), (RIGHT, node.right)):
        found = known.columns[port], known.keys[port], known.keyed[port]
        known.set(Port(node.id, f"late:{side}"), *found, direct=port in known.direct)
    known.set(Port(node.id, PAIR), pair_type(known, node, key), key, keyed, direct=False)
    known.set(Port(node.id), row_type(known, node, key, other), key, keyed, direct=False)


def joined_columns(node: Pairing, schemas: tuple[DType, DType], keys: tuple[Columns, Columns]) -> Selected:
    """Return the columns of a row beside its key: what ``select`` says, or those of the left, then of the right side.

    The right side's key is left out: it is the left side's. Columns that both have are left to the caller.
    """
    own = {name for name, _ in keys[0]}
    if node.select is not None:
        return tuple((name, expr) for name, expr in node.select if not _is_key(name, expr, keys))
    found: list[tuple[str, Column]] = [(n, Column((LEFT, n))) for n, _ in schemas[0].fields if n not in own]
    taken = own | {name for name, _ in found}
    others = {name for name, _ in keys[1]}
    for name, _ in schemas[1].fields:
        if name not in others:
            renamed = name + node.suffix if node.suffix is not None and name in taken else name
            found.append((renamed, Column((RIGHT, name))))
    return tuple(found)


def _is_key(name: str, expr: object, keys: tuple[Columns, Columns]) -> bool:
    """Tell whether a selected column is the key itself, which every row has."""
    names = [[column for column, _ in columns] for columns in keys]
    if not isinstance(expr, Column) or name not in names[0]:
        return False
    twin = names[1][names[0].index(name)] if len(names[1]) == len(names[0]) else name
    return expr.path in {(name,), (LEFT, name), (RIGHT, twin)}


def check_keys(known: Resolution, node: Pairing, key: Columns, other: Columns) -> None:
    """Note a fault where the keys of the two sides are not of the same types."""
    ours, theirs = ([dtype for _, dtype in columns] for columns in (key, other))
    if [d.kind for d in ours] != [d.kind for d in theirs] and Kind.ANY not in {d.kind for d in (*ours, *theirs)}:
        expected = f"keys of the same types in the same order: ({', '.join(map(str, ours))})"
        got = f"({', '.join(map(str, theirs))}) of {node.right.step!r}"
        known.fault(node.id, "right key", expected, got, "Convert in the group_by: order_id=col.order_id.cast(str).")
    for name, _ in key:
        if name in {LEFT, RIGHT} and node.select is not None:
            remedy = "Group by it under another name."
            known.fault(node.id, name, "a key column of another name", f"{name!r}, which is a side", remedy)


def pair_type(known: Resolution, node: Pairing, key: Columns) -> DType:
    """Return the type of a pair: the key, and each side as a nested record."""
    one, two = known.columns[node.left], known.columns[node.right]
    sides = {
        LEFT: one.optional() if node.how.keeps(RIGHT) else one,
        RIGHT: two.optional() if node.how.keeps(LEFT) else two,
    }
    return struct(**(dict(key) | sides))


def row_type(known: Resolution, node: Pairing, key: Columns, other: Columns) -> DType:
    """Return the type of a row: the key, then what is returned of the pair; note its faults."""
    schemas = known.columns[node.left], known.columns[node.right]
    if Kind.ANY in {schema.kind for schema in schemas}:
        return ANY
    row, pair = dict(key), Port(node.id, PAIR)
    taken: list[str] = []
    for name, expr in joined_columns(node, schemas, (key, other)):
        if name in row:
            taken.append(name)
        row[name] = known.infer(node.id, name, expr, pair)
    if taken and node.select is not None:
        for name in taken:
            remedy = "Choose another name; the key is in every row."
            known.fault(node.id, name, "a new column name", f"{name!r}, which the row has", remedy)
    elif taken:
        example = ", ".join(f"'{name}': left.{name}, 'right_{name}': right.{name}" for name in taken[:1])
        remedy = f"Say which to return: select={{{example}, ...}}; or give suffix='_right'."
        known.fault(node.id, "select", "columns that the two sides do not share", ", ".join(map(repr, taken)), remedy)
    if node.select is not None and not node.select:
        known.fault(node.id, "select", "at least one column", "none", "Name what to return, or leave select out.")
    return struct(**row)

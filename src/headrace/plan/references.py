"""The ports of a join of tables by reference: the messages on the way, and the rows in the end."""

from __future__ import annotations

from headrace.event.dtypes import BOOL, DType, struct
from headrace.plan.joins import PAIR, pair_type, row_type
from headrace.plan.lookups import check_sought
from headrace.plan.resolution import Resolution
from headrace.topology.expr import Column
from headrace.topology.joins import LEFT, RIGHT
from headrace.topology.operator import ROWS, Port
from headrace.topology.table_references import GONE, Matches, ReferenceJoin, References, ref_name, side_name


def resolve_references(known: Resolution, node: References) -> None:
    """Set its ports: the key of the left row, what it refers to, and its columns."""
    join = node.join
    key, other = known.keys[join.left], known.keys[join.right]
    sought = [known.infer(join.id, "on", expr, join.left) for expr in join.on]
    check_sought(known, join, sought, other)
    refs = {ref_name(number): dtype.required() for number, dtype in enumerate(sought)}
    columns = struct(**(dict(key) | refs | {GONE: BOOL} | _side(known, join, LEFT)))
    for port in ("out", "alone"):
        known.set(Port(node.id, port), columns, key, None, direct=False)


def resolve_matches(known: Resolution, node: Matches) -> None:
    """Set its port: a message with the columns of the right row."""
    columns = dict(known.columns[node.input].fields) | _side(known, node.join, RIGHT)
    known.set(Port(node.id), struct(**columns), known.keys[node.input], None, direct=False)


def resolve_reference_join(known: Resolution, node: ReferenceJoin) -> None:
    """Set its ports."""
    key, other = known.keys[node.left], known.keys[node.right]
    keyed = tuple(Column((name,)) for name, _ in key)
    known.set(Port(node.id, PAIR), pair_type(known, node, key), key, keyed, direct=False)
    row = row_type(known, node, key, other)
    for port in ("update", "change", ROWS):
        known.set(Port(node.id, port), row, key, keyed, direct=False)


def _side(known: Resolution, join: ReferenceJoin, side: str) -> dict[str, DType]:
    port = join.left if side == LEFT else join.right
    return {side_name(side, name): dtype.optional() for name, dtype in join.carried(side, known.columns[port])}

"""The trace that a record belongs to (W3C trace context and baggage): what is made of the record belongs to it too."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from headrace.plan.model import Plan
from headrace.topology.nodes import Broadcast, GroupBy, Sink, inputs
from headrace.topology.operator import Operator

Headers = Sequence[tuple[str, bytes]]
_NAMES = frozenset({"traceparent", "tracestate", "baggage"})
_encode = msgspec.msgpack.Encoder().encode
unpacked = msgspec.msgpack.Decoder(tuple[tuple[str, bytes], ...]).decode
"""Return the headers of :func:`packed`."""


def trace_of(headers: Headers) -> Headers:
    """Return the headers that say which trace it is."""
    if len(headers) == 1 and headers[0][0] == "traceparent":
        return headers
    return tuple(header for header in headers if header[0] in _NAMES)


def packed(headers: Headers) -> bytes | None:
    """Return the trace in the form in which it travels with a row; None if there is none."""
    trace = trace_of(headers)
    return _encode(trace) if trace else None


def traced(plan: Plan) -> frozenset[str]:
    """Return the steps by which rows move to other tasks and take their trace along: a sink takes it at the end.

    Where only stateful steps read the rows, a column that nobody reads would cost something for nothing.
    """
    found: set[str] = set()
    pending = [port for step in plan.steps if isinstance(step.node, Sink) for port in inputs(step.node)]
    seen = set(pending)
    while pending:
        port = pending.pop()
        node = plan.step(port.step).node
        if isinstance(node, Operator) and port.name not in node.inline:
            continue
        if isinstance(node, GroupBy | Broadcast):
            found.add(node.id)
        before = [above for above in inputs(node) if above not in seen]
        seen.update(before)
        pending += before
    return frozenset(found)

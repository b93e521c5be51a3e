"""A topology: an inert graph of declared steps."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from headrace.errors import Fault, TopologyError
from headrace.topology.duration import duration_ms
from headrace.topology.expr import Expr
from headrace.topology.nodes import Aggregate, Node, OnError, Port, Source
from headrace.topology.stream import Stream, Validation


class Topology:
    """A named graph of steps over topics. Declaring does no I/O and runs no function of yours.

    >>> from pydantic import BaseModel
    >>> from headrace import Topology, col
    >>> class Order(BaseModel):
    ...     amount: float
    >>> topology = Topology("shop")
    >>> orders = topology.source("orders", topic="orders", schema=Order)
    >>> orders.filter("big", col.amount > 100).sink("out", topic="big-orders")
    >>> [node.id for node in topology.nodes]
    ['orders', 'big', 'out']
    """

    def __init__(self, name: str) -> None:
        """Begin an empty topology. The name must be legal in a Kafka topic name."""
        self.name = name
        self._nodes: list[Node] = []

    @property
    def nodes(self) -> tuple[Node, ...]:
        """The declared nodes, in order of declaration: every node after its inputs."""
        return tuple(self._nodes)

    def source(  # noqa: PLR0913
        self,
        id: str,
        *,
        topic: str,
        schema: type[Any],
        key: Expr | None = None,
        time: Expr | None = None,
        out_of_orderness: str | timedelta = "0s",
        idle_timeout: str | timedelta = "30s",
        on_error: OnError = OnError.DEAD_LETTER,
        validation: Validation = "fields",
    ) -> Stream:
        """Read a topic.

        Args:
            id: The step's id.
            topic: The topic to read.
            schema: The pydantic model or :class:`~headrace.event.Event` of its records.
            key: What the topic is partitioned by, if it is; saves a repartition.
            time: The event time; by default the envelope's, else the record's timestamp.
            out_of_orderness: How far events may lie behind the highest event time seen.
            idle_timeout: After this long without a record an input no longer holds the watermark back.
            on_error: What to do with records that cannot be decoded or that a step fails on.
            validation: Check the fields that are read, or the ``full`` record.
        """
        node = Source(
            id=id,
            topic=topic,
            schema=schema,
            key=key,
            time=time,
            out_of_orderness_ms=duration_ms(out_of_orderness, "out_of_orderness"),
            idle_timeout_ms=duration_ms(idle_timeout, "idle_timeout"),
            on_error=on_error,
            full_validation=validation == "full",
        )
        self._add(node)
        return Stream(self, Port(id))

    def _add(self, node: Node) -> None:
        if any(node.id == other.id for other in self._nodes):
            fault = Fault(node.id, "id", "an id not used before", f"{node.id!r} again", "Choose another id.")
            raise TopologyError(self.name, (fault,))
        self._nodes.append(node)

    def _add_interval(self, step: str, every_ms: int) -> None:
        for place, node in enumerate(self._nodes):
            if node.id == step and isinstance(node, Aggregate) and every_ms not in node.every_ms:
                self._nodes[place] = replace(node, every_ms=(*node.every_ms, every_ms))

"""A topology: an inert graph of declared steps."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Literal

from headrace.errors import Fault
from headrace.topology.declaration import Declaration
from headrace.topology.expr import Expr
from headrace.topology.nodes import Node, OnError, Source, Validation
from headrace.topology.stream import Stream


class Topology:
    """A named graph of steps over topics. Declaring does no I/O and runs no function of yours.

    Declaring raises nothing either: what is wrong is kept in :attr:`faults`, and reported by
    :func:`headrace.plan.compile_plan` with all that it finds itself.

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
        """Begin an empty topology. The name must be legal in a Kafka topic name, as every step's id."""
        self._declaration = Declaration(name)

    @property
    def name(self) -> str:
        """The topology's name."""
        return self._declaration.name

    @property
    def nodes(self) -> tuple[Node, ...]:
        """The declared nodes, in order of declaration: every node after its inputs."""
        return self._declaration.nodes

    @property
    def faults(self) -> tuple[Fault, ...]:
        """What is wrong with single arguments; types and columns are checked by the plan."""
        return self._declaration.faults

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
        on_error: OnError | Literal["dead_letter", "skip", "fail"] = OnError.DEAD_LETTER,
        validation: Validation | Literal["fields", "full"] = Validation.FIELDS,
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

        >>> from pydantic import BaseModel
        >>> from headrace import Topology, col
        >>> from headrace.testing import TopologyDriver
        >>> class Order(BaseModel):
        ...     amount: int
        >>> topology = Topology("shop")
        >>> topology.source("orders", topic="orders", schema=Order).sink("out", topic="copies")
        >>> driver = TopologyDriver(topology)
        >>> driver.pipe("orders", [{"amount": 5}, {"amount": "five"}])
        >>> driver.output("copies"), len(driver.dead_letters())
        ([{'amount': 5}], 1)
        """
        declared = self._declaration
        node = Source(
            id=id,
            topic=declared.topic(id, topic),
            schema=schema,
            key=None if key is None else declared.computed(id, "key", key),
            time=None if time is None else declared.computed(id, "time", time),
            out_of_orderness_ms=declared.duration(id, "out_of_orderness", out_of_orderness),
            idle_timeout_ms=declared.duration(id, "idle_timeout", idle_timeout),
            on_error=declared.choice(id, "on_error", OnError, on_error),
            validation=declared.choice(id, "validation", Validation, validation),
        )
        return Stream(declared, declared.add(node))

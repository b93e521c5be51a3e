"""Steps of a stream that add what is known elsewhere: in a table of every task, or in a service."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from headrace.event.dtypes import DType
from headrace.topology import nodes
from headrace.topology.declaration import UNKNOWN, shown
from headrace.topology.duration import Duration
from headrace.topology.enrich import Enrich
from headrace.topology.expr import Column, Expr
from headrace.topology.joins import How
from headrace.topology.looking import Looking, declare_global_table, declare_lookup, sought
from headrace.topology.lookups import AsOf
from headrace.topology.ports import Streamed
from headrace.topology.rules import Condition

if TYPE_CHECKING:
    from headrace.topology.outcomes import LookedUp
    from headrace.topology.stream import Stream
    from headrace.topology.tabled import GlobalTable


@dataclass(frozen=True, slots=True, repr=False)
class LookupSteps(Streamed):
    """Lookups in global tables, and calls of services."""

    def enrich(  # noqa: PLR0913
        self,
        id: str,
        function: Callable[..., Awaitable[Any]],
        *args: Expr,
        returns: DType | type,
        name: str = "value",
        cache: Duration = "10m",
        entries: int = 10_000,
        attempts: int = 3,
        backoff: Duration = "100ms",
        timeout: Duration = "10s",
        concurrency: int = 16,
    ) -> Stream:
        """Add what an async function returns for ``args`` to every record: of a service, or a database.

        It is called with the values of ``args``, once for each set of them in a batch, and not for those of which it is
        remembered, by each task for the time ``cache`` and for the last ``entries``; not where an argument is null:
        then the value is null. What it returns, of the type ``returns`` or null, becomes the column ``name``.

        Records keep their order, and event time waits for them. A task does nothing else meanwhile, so give it a short
        ``timeout``; ``concurrency`` calls may wait at once, in an event loop of their own. A call that fails or takes
        too long is tried again, with pauses that grow from ``backoff`` on; after ``attempts`` its records are dead
        letters. A call may be made again after a crash.

        >>> from pydantic import BaseModel
        >>> from headrace import Topology, col
        >>> from headrace.testing import TopologyDriver
        >>> class Visit(BaseModel):
        ...     ip: str
        >>> async def country(ip: str) -> str:
        ...     return "nl" if ip.startswith("145.") else "be"
        >>> topology = Topology("site")
        >>> visits = topology.source("visits", topic="visits", schema=Visit)
        >>> visits.enrich("geo", country, col.ip, returns=str, name="country").sink("out", topic="geo")
        >>> driver = TopologyDriver(topology)
        >>> driver.pipe("visits", {"ip": "145.0.0.1"})
        >>> driver.output("geo")
        [{'ip': '145.0.0.1', 'country': 'nl'}]
        """
        from headrace.topology.stream import Stream  # noqa: PLC0415 - a stream has these steps

        declared = self._declared
        given = [declared.computed(id, "args", arg) for arg in args]
        node = Enrich(
            id,
            self._port,
            declared.coroutine(id, function),
            tuple(UNKNOWN if expr is None else expr for expr in given),
            declared.column_name(id, "name", name),
            returns,
            declared.duration(id, "cache", cache),
            declared.count(id, "entries", entries),
            declared.count(id, "attempts", attempts),
            declared.duration(id, "backoff", backoff),
            declared.duration(id, "timeout", timeout, least=1),
            declared.count(id, "concurrency", concurrency),
        )
        return Stream(declared, declared.add(node))

    def global_table(
        self, id: str, /, *columns: Column, delete: Condition | None = None, **named: object
    ) -> GlobalTable:
        """Keep the latest record per key, all of them in every task: for :meth:`lookup` of small reference data.

        ``columns`` and ``named`` are the key. ``delete`` true removes it. :meth:`lookup` has an example.
        """
        from headrace.topology.tabled import GlobalTable  # noqa: PLC0415 - tables make streams

        declared = self._declared
        port = declared.add(nodes.Broadcast(f"{id}.broadcast", self._port))
        where = None if delete is None else declared.condition(id, "delete", delete)
        keys = declared.named(id, columns, named)
        return GlobalTable(declared, declare_global_table(declared, id, port, keys, where))

    def lookup(  # noqa: PLR0913
        self,
        id: str,
        table: GlobalTable,
        *,
        on: Expr | Sequence[Expr],
        how: How | Literal["inner", "left"] = How.INNER,
        as_of: AsOf | Literal["latest", "event_time"] = AsOf.LATEST,
        versions: Duration = "0s",
        select: Mapping[str, object] | Sequence[Column] | None = None,
        suffix: str | None = None,
    ) -> LookedUp:
        """Add what a global table has for a key to every record; :meth:`Grouped.lookup` is for other tables.

        ``on`` is the key, an expression for each of its columns; null finds nothing. The other parameters are those of
        :meth:`Grouped.lookup`. With ``as_of="latest"`` a record that comes before its row finds none, as when all
        starts: ``event_time`` waits for it.

        >>> from pydantic import BaseModel
        >>> from headrace import Topology, col
        >>> from headrace.testing import TopologyDriver
        >>> class Country(BaseModel):
        ...     code: str
        ...     name: str
        >>> class Visit(BaseModel):
        ...     page: str
        ...     country: str | None = None
        >>> topology = Topology("site")
        >>> countries = topology.source("countries", topic="countries", schema=Country)
        >>> visits = topology.source("visits", topic="visits", schema=Visit)
        >>> known = countries.global_table("all-countries", col.code)
        >>> visits.lookup("geo", known, on=col.country, how="left").sink("out", topic="geo")
        >>> driver = TopologyDriver(topology)
        >>> driver.pipe("countries", {"code": "nl", "name": "Netherlands"})
        >>> driver.pipe("visits", [{"page": "/", "country": "nl"}, {"page": "/tea"}])
        >>> driver.output("geo")
        [{'page': '/', 'country': 'nl', 'name': 'Netherlands'}, {'page': '/tea', 'country': None, 'name': None}]
        """
        from headrace.topology.outcomes import LookedUp  # noqa: PLC0415 - outcomes are streams
        from headrace.topology.tabled import GlobalTable, Tabled  # noqa: PLC0415 - tables make streams

        declared, name = self._declared, None
        given: object = table
        expected, remedy = "a global table of this topology", "Make one with global_table(), or group_by() first."
        match given:
            case GlobalTable(owner, found) if owner is declared:
                name = found
            case Tabled(_, found):
                declared.fault(id, "table", expected, f"{found!r}, of which every task has a part", remedy)
            case _:
                declared.fault(id, "table", expected, shown(given), remedy)
        options = Looking(sought(declared, id, on), how, as_of, versions, select, suffix)
        return LookedUp(declared, declare_lookup(declared, id, self._port, name, options))

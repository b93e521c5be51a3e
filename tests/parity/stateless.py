"""Cases of steps without state."""

from __future__ import annotations

from headrace import Topology, apply, col, fn, when
from tests.operators.support import Click, clicks
from tests.parity.cases import Case, mixture
from tests.parity.compare import Promise


def _odd(n: int | None) -> int | None:
    if n == 7:
        msg = "seven"
        raise ValueError(msg)
    return n


def _copies(n: int | None) -> list[int]:
    return list(range((n or 0) % 3))


def filters() -> Topology:
    topology = Topology("filters")
    source = clicks(topology)
    source.filter("some", (col.n > 2) | col.user.is_null()).select("s", col.user, col.n, col.at).sink("o", topic="some")
    source.filter("rule", "n >= 2 and not user == 'b'").map("m", twice=col.n * 2).sink("r", topic="rule")
    return topology


def expressions() -> Topology:
    topology = Topology("expressions")
    clicks(topology).select(
        "s",
        col.user,
        ratio=12 / col.n,
        whole=12 // col.n,
        case=when(col.n > 4).then("high").when(col.n.is_null()).then("none").otherwise("low"),
        filled=col.rate.fill_null(0.0) * 2,
        total=col.price + col.price,
        text=fn.concat(fn.upper(col.user), "-", col.user),
        hour=fn.truncate(col.at, "1m"),
        odd=apply(_odd, col.n, returns=int),
        many=fn.size(col.lines),
    ).sink("o", topic="out")
    return topology


def explosions() -> Topology:
    topology = Topology("explosions")
    source = clicks(topology)
    lines = source.explode("each", col.lines, name="line")
    lines.select("l", col.user, col.at, sku=col.line.sku, quantity=col.line.quantity).sink("lo", topic="lines")
    copies = source.flat_map("copy", _copies, col.n, returns=list[int], name="copy")
    copies.select("c", col.user, col.at, col.copy).sink("co", topic="copies")
    return topology


def diamonds() -> Topology:
    topology = Topology("diamonds")
    stream = clicks(topology).select("shape", col.user, col.n, col.at)
    for number in range(4):
        low, rest = stream.branch(f"split-{number}", low=col.n < number, rest=True).values()
        stream = low.map(f"add-{number}", n=col.n + 1).merge(f"both-{number}", rest)
    stream.sink("o", topic="out")
    failing = stream.map("ratio", n=12 // (col.n - 1))
    stream.merge("again", failing).select("r", col.user, col.n).sink("a", topic="again")
    return topology


def sinks() -> Topology:
    topology = Topology("sinks")
    stream = clicks(topology).select("s", col.user, col.n, col.at)
    stream.sink("keyed", topic="keyed", key=col.user)
    stream.sink("by-number", topic="by-number", key=col.n)
    stream.sink("chosen", topic=when(col.n > 4).then("high").when(col.n == 2).then("no/topic").otherwise(col.user))
    return topology


def two_sources() -> Topology:
    topology = Topology("two-sources")
    left = topology.source("left", topic="left", schema=Click, time=col.at)
    right = topology.source("right", topic="right", schema=Click, time=col.at, out_of_orderness="5s")
    left.merge("both", right).select("s", col.user, col.n, col.at).sink("o", topic="both")
    right.filter("some", col.n > 3).select("r", col.user, col.n).sink("ro", topic="right-only")
    return topology


NAMED = ("high", "a", "b", "c", "d", "e", "end-0", "end-1", "end-2")
CASES = {
    "filters": Case(filters),
    "expressions": Case(expressions),
    "explosions": Case(explosions),
    "diamonds": Case(diamonds),
    "sinks": Case(sinks, promise=Promise(bags=("by-number",)), chosen=NAMED),
    "two sources": Case(two_sources, promise=Promise(bags=("both",)), inputs={"left": mixture(2), "right": mixture(3)}),
    "no keys": Case(filters, key=None, promise=Promise(bags=("some", "rule"))),
}

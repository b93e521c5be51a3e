"""How a plan shows a pattern."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel

from headrace import Topology, begin, col, matched, skip
from headrace.plan import Description, compile_plan, describe


class Tick(BaseModel):
    user: str
    at: datetime
    kind: str


def described() -> Description:
    group = begin("x", col.kind == "x").next("y").optional()
    pattern = begin("a", col.kind == "a").one_or_more().greedy().followed_by(group).times(2, 3).consecutive()
    pattern = pattern.followed_by_any("b", col.at > matched.last("a").at).not_followed_by('the "c"', col.kind == "c")
    topology = Topology("t")
    ticks = topology.source("ticks", topic="ticks", schema=Tick, time=col.at)
    found = ticks.group_by("by", col.user).detect("found", pattern.within("1m").after_match(skip.past_last()))
    found.sink("out", topic="out")
    return describe(compile_plan(topology))


def test_the_text_of_a_plan_has_all_of_a_pattern() -> None:
    line = next(line for line in str(described()).splitlines() if "detect found" in line)
    assert line.strip() == (
        "detect found <- by: followed_by a{1,} relaxed greedy where (col.kind == 'a'); followed_by"
        " (followed_by x where (col.kind == 'x'); next y?){2,3} consecutive;"
        " followed_by_any b where (matched.last('a').at < col.at); not_followed_by the \"c\" where (col.kind == 'c');"
        " within 60000 ms, skip past last, order of event time, at most 10000 runs"
    )


def test_the_drawing_of_a_plan_has_the_steps_of_a_pattern() -> None:
    lines = described().to_mermaid().splitlines()
    begins = lines.index('  subgraph s2p["pattern of found"]')
    assert lines[begins:][:16] == [
        '  subgraph s2p["pattern of found"]',
        '    s2p0(["a {1,} greedy"])',
        "    s2p0 -->|relaxed| s2p0",
        '    subgraph s2p1["(x, y) {2,3}"]',
        '    s2p1x0(["x"])',
        '    s2p1x1(["y ?"])',
        "    s2p1x0 -->|next| s2p1x1",
        "    end",
        "    s2p0 -->|followed by| s2p1",
        "    s2p1 -->|consecutive| s2p1",
        '    s2p2(["b"])',
        "    s2p1 -->|followed by any| s2p2",
        '    s2p3(["the #quot;c#quot;"])',
        "    s2p2 --x|not followed by| s2p3",
        "  end",
        "  s2 --> s3",
    ]

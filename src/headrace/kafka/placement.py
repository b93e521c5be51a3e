"""Who runs which task, and who keeps a copy of it: functions without I/O.

What is wanted, in this order:

1. Every task of a group that somebody can run has one owner.
2. Balance: within a group, and over all groups together, no two members that can run the same groups differ by more
   than one task.
3. As few tasks as possible move.
4. A task that moves goes to the member with the freshest copy of its state.

Balance comes down to the question which members get one task more where a group does not divide evenly. That is an
assignment problem with costs (a member that has one more already would have to give one up). Each group by itself is
solved by taking those that have one more first; then single places are passed on along cheapest paths from the member
with the most tasks to the one with the fewest. Starting from the cheapest, every cheapest path leads to the cheapest
again (successive shortest paths), so no more moves than balance demands.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

Targets = dict[str, dict[str, int]]
"""Group, then member: how many tasks."""


class Task(NamedTuple):
    """One partition of all topics of a group."""

    group: str
    partition: int


@dataclass(frozen=True, slots=True)
class Member:
    """What a member says when it joins.

    ``owned`` are the tasks that it had until now, as of ``generation``; ``held`` says how far its copies of states
    are, in any measure that grows.
    """

    groups: frozenset[str]
    owned: frozenset[Task] = frozenset()
    generation: int = -1
    held: Mapping[Task, int] = field(default_factory=dict)


def merge(groups: Iterable[frozenset[str]]) -> tuple[frozenset[str], ...]:
    """Return the groups with those that share a topic made one: a topic has one owner per partition.

    >>> [sorted(group) for group in merge([frozenset("ab"), frozenset("c"), frozenset("bd")])]
    [['a', 'b', 'd'], ['c']]
    """
    merged: list[frozenset[str]] = []
    for group in groups:
        touching = [other for other in merged if other & group]
        merged = [other for other in merged if not other & group]
        merged.append(group.union(*touching))
    return tuple(sorted((group for group in merged if group), key=sorted))


def place(sizes: Mapping[str, int], members: Mapping[str, Member]) -> dict[str, frozenset[Task]]:
    """Return the tasks of each member.

    Args:
        sizes: how many tasks each group has.
        members: who there is. A group that nobody can run is left out.
    """
    able = {group: sorted(m for m in members if group in members[m].groups) for group in sorted(sizes)}
    able = {group: found for group, found in able.items() if found}
    owners = _present_owners(sizes, members)
    now: dict[str, dict[str, list[Task]]] = {group: defaultdict(list) for group in able}
    for task, owner in sorted(owners.items()):
        if task.group in now:
            now[task.group][owner].append(task)
    counts = {group: {m: len(now[group][m]) for m in able[group]} for group in able}
    targets = _targets(sizes, able, counts)
    placed: dict[str, set[Task]] = {member: set() for member in members}
    for group in able:
        for task, member in _fill(group, sizes[group], now[group], targets[group], members).items():
            placed[member].add(task)
    return {member: frozenset(tasks) for member, tasks in placed.items()}


def choose_standbys(
    owners: Mapping[Task, str], members: Mapping[str, Member], replicas: int
) -> dict[str, frozenset[Task]]:
    """Return the tasks that each member keeps a copy of: up to ``replicas`` copies, never on the owner.

    Who holds a copy keeps it, as long as nobody has many more than others; the rest goes to those with the fewest.
    """
    chosen: dict[str, set[Task]] = {member: set() for member in members}
    tasks = sorted(owners)
    able = {task: sorted(m for m in members if task.group in members[m].groups and m != owners[task]) for task in tasks}
    wanted = {task: min(replicas, len(able[task])) for task in tasks}
    share = -(-sum(wanted.values()) // max(1, len(members)))
    freshest = sorted(
        ((members[m].held[task], task, m) for task in tasks for m in able[task] if task in members[m].held),
        key=lambda found: (-found[0], found[1], found[2]),
    )
    for _, task, member in freshest:
        if wanted[task] and len(chosen[member]) < share:
            chosen[member].add(task)
            wanted[task] -= 1
    for task in tasks:
        for _ in range(wanted[task]):
            free = [m for m in able[task] if task not in chosen[m]]
            chosen[min(free, key=lambda m: (len(chosen[m]), m))].add(task)
    return {member: frozenset(found) for member, found in chosen.items()}


def _present_owners(sizes: Mapping[str, int], members: Mapping[str, Member]) -> dict[Task, str]:
    """Return who has each task now; of several that say so, the one of the newest generation."""
    claims: dict[Task, tuple[int, int, str]] = {}
    for name, member in sorted(members.items()):
        for task in member.owned:
            if task.group in member.groups and 0 <= task.partition < sizes.get(task.group, 0):
                claim = (member.generation, member.held.get(task, -1), name)
                claims[task] = max(claims.get(task, claim), claim)
    return {task: claim[2] for task, claim in claims.items()}


def _targets(
    sizes: Mapping[str, int], able: Mapping[str, list[str]], counts: Mapping[str, Mapping[str, int]]
) -> Targets:
    """Return how many tasks of each group each member is to have."""
    targets: Targets = {}
    totals: Counter[str] = Counter()
    for group, names in able.items():
        base, rest = divmod(sizes[group], len(names))
        first = sorted(names, key=lambda m: (counts[group][m] <= base, totals[m], m))
        targets[group] = {m: base + (m in first[:rest]) for m in names}
        totals.update(targets[group])
    everybody = sorted({m for names in able.values() for m in names})
    while (path := _cheapest_path(everybody, totals, targets, counts)) is not None:
        for giver, group, taker in path:
            targets[group][giver] -= 1
            targets[group][taker] += 1
        totals[path[0][0]] -= 1
        totals[path[-1][2]] += 1
    return targets


def _cheapest_path(
    everybody: list[str], totals: Counter[str], targets: Targets, counts: Mapping[str, Mapping[str, int]]
) -> list[tuple[str, str, str]] | None:
    """Return who passes a place of which group on to whom; None if the totals are even, as far as they can be."""
    edges = _edges(targets, counts)
    by_load = sorted(everybody, key=lambda m: (-totals[m], m))
    for most in by_load:
        cost = {most: 0}
        via: dict[str, tuple[str, str]] = {}
        for _ in everybody:  # Bellman and Ford: costs may be negative
            changed = False
            for (giver, taker), (price, group) in edges.items():
                if giver in cost and taker != most and cost[giver] + price < cost.get(taker, 1 << 30):
                    cost[taker], via[taker] = cost[giver] + price, (giver, group)
                    changed = True
            if not changed:
                break
        ends = [m for m in cost if totals[most] - totals[m] > 1]
        if ends:
            end = min(ends, key=lambda m: (totals[m], cost[m], m))
            path: list[tuple[str, str, str]] = []
            while end != most and len(path) <= len(everybody):
                giver, group = via[end]
                path.append((giver, group, end))
                end = giver
            return path[::-1]
    return None


def _edges(targets: Targets, counts: Mapping[str, Mapping[str, int]]) -> dict[tuple[str, str], tuple[int, str]]:
    """Return, for each two members, the cheapest group of which the first can pass a place on to the second."""
    edges: dict[tuple[str, str], tuple[int, str]] = {}
    for group, wanted in sorted(targets.items()):
        base = min(wanted.values())
        givers = [m for m in wanted if wanted[m] > base]
        takers = [m for m in wanted if wanted[m] == base]
        for giver in givers:
            loses = counts[group][giver] >= wanted[giver]
            for taker in takers:
                keeps = counts[group][taker] > wanted[taker]
                edges[giver, taker] = min(edges.get((giver, taker), (2, "")), (loses - keeps, group))
    return edges


def _fill(
    group: str, size: int, now: Mapping[str, list[Task]], targets: Mapping[str, int], members: Mapping[str, Member]
) -> dict[Task, str]:
    """Return the owner of each task of a group: as now where there is room, else where its state is freshest."""
    room = dict(targets)
    owners: dict[Task, str] = {}
    gaining = [m for m in targets if len(now.get(m, ())) < targets[m]]
    for member, tasks in now.items():
        # What a member has too much goes where somebody who gets one more has a copy of it.
        tasks.sort(key=lambda task: (max((members[m].held.get(task, -1) for m in gaining), default=-1), task))
        for task in tasks[: targets[member]]:
            owners[task] = member
            room[member] -= 1
    homeless = [task for n in range(size) if (task := Task(group, n)) not in owners]
    copies = sorted(
        ((members[m].held[task], task, m) for task in homeless for m in targets if task in members[m].held),
        key=lambda found: (-found[0], found[1], found[2]),
    )
    for _, task, member in copies:
        if task not in owners and room[member]:
            owners[task] = member
            room[member] -= 1
    places = sorted(targets, key=lambda m: (-room[m], m))
    for task in homeless:
        if task not in owners:
            member = next(m for m in places if room[m])
            owners[task] = member
            room[member] -= 1
    return owners

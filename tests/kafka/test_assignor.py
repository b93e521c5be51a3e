"""Tasks are placed evenly, move as little as possible, and go where their state is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from itertools import combinations, product
from random import Random
from typing import Any

import faust
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment, ConsumerProtocolMemberMetadata
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.kafka.assignor import Claim, TopologyAssignor, assign
from headrace.kafka.placement import Member, Task, choose_standbys, merge, place

GROUPS = ("g0", "g1", "g2", "g3", "g4")
SIZES = st.dictionaries(st.sampled_from(GROUPS), st.integers(1, 17), min_size=1)
NAMES = st.lists(st.sampled_from("ABCDEFGH"), min_size=1, max_size=8, unique=True)


@st.composite
def fleets(draw: st.DrawFn) -> tuple[dict[str, int], dict[str, Member]]:
    """Return groups, and members that all can run them, with any claims and copies."""
    sizes = draw(SIZES)
    tasks = [Task(group, n) for group, size in sizes.items() for n in range(size)]
    some = st.frozensets(st.sampled_from(tasks))
    held = st.dictionaries(st.sampled_from(tasks), st.integers(0, 5))
    members = {name: Member(frozenset(sizes), draw(some), draw(st.integers(-1, 3)), draw(held)) for name in draw(NAMES)}
    return sizes, members


def settled(sizes: Mapping[str, int], names: list[str]) -> dict[str, Member]:
    """Return members as they are after a first placement."""
    groups = frozenset(sizes)
    placed = place(sizes, {name: Member(groups) for name in names})
    return {name: Member(groups, placed[name], 1) for name in names}


def owners_of(placed: Mapping[str, frozenset[Task]]) -> dict[Task, str]:
    return {task: name for name, tasks in placed.items() for task in tasks}


def spread(numbers: list[int]) -> int:
    return max(numbers) - min(numbers)


@settings(deadline=None)
@given(fleets())
def test_every_task_has_one_owner_and_the_load_is_even(fleet: tuple[dict[str, int], dict[str, Member]]) -> None:
    sizes, members = fleet
    placed = place(sizes, members)
    found = Counter(task for tasks in placed.values() for task in tasks)
    assert found == Counter({Task(group, n): 1 for group, size in sizes.items() for n in range(size)})
    assert spread([len(tasks) for tasks in placed.values()]) <= 1
    for group in sizes:
        assert spread([sum(task.group == group for task in tasks) for tasks in placed.values()]) <= 1


@settings(deadline=None)
@given(fleets())
def test_a_placement_is_kept_when_nothing_changes(fleet: tuple[dict[str, int], dict[str, Member]]) -> None:
    sizes, members = fleet
    placed = place(sizes, members)
    again = {name: Member(m.groups, placed[name], 9, m.held) for name, m in members.items()}
    assert place(sizes, again) == placed


def least_moves(sizes: Mapping[str, int], members: Mapping[str, Member]) -> int:
    """Return how many tasks have to move, by trying all ways to share the rest of each group."""
    ways = []
    for group, size in sizes.items():
        base, rest = divmod(size, len(members))
        ways.append([(group, base, frozenset(more)) for more in combinations(members, rest)])
    found = []
    for way in product(*ways):
        totals = {name: sum(base + (name in more) for _, base, more in way) for name in members}
        if spread(list(totals.values())) <= 1:
            found.append(
                sum(
                    max(0, sum(task.group == group for task in members[name].owned) - base - (name in more))
                    for group, base, more in way
                    for name in members
                )
            )
    return min(found)


@settings(deadline=None)
@given(st.lists(st.integers(1, 7), min_size=1, max_size=4), st.integers(1, 4), st.randoms(use_true_random=False))
def test_no_more_moves_than_balance_demands(numbers: list[int], count: int, chance: Random) -> None:
    sizes = {f"g{n}": size for n, size in enumerate(numbers)}
    names = "ABCD"[:count]
    owned: dict[str, set[Task]] = {name: set() for name in names}
    for task in (Task(group, n) for group, size in sizes.items() for n in range(size)):
        owner = chance.choice([*names, None])
        if owner is not None:
            owned[owner].add(task)
    members = {name: Member(frozenset(sizes), frozenset(tasks), 1) for name, tasks in owned.items()}
    placed = place(sizes, members)
    assert sum(len(members[name].owned - placed[name]) for name in names) == least_moves(sizes, members)


@settings(deadline=None)
@given(st.integers(1, 60), NAMES)
def test_of_one_group_nobody_but_who_joins_gets_anything(size: int, names: list[str]) -> None:
    members = settled({"g": size}, names)
    after = place({"g": size}, {**members, "new": Member(frozenset({"g"}))})
    for name in names:
        assert after[name] <= members[name].owned


@settings(deadline=None)
@given(st.integers(1, 60), NAMES)
def test_of_one_group_the_others_keep_what_they_have_when_one_leaves(size: int, names: list[str]) -> None:
    members = settled({"g": size}, [*names, "gone"])
    del members["gone"]
    after = place({"g": size}, members)
    for name in names:
        assert after[name] >= members[name].owned


@settings(deadline=None)
@given(fleets(), st.data())
def test_members_run_only_what_they_can(fleet: tuple[dict[str, int], dict[str, Member]], data: st.DataObject) -> None:
    sizes, members = fleet
    some = {
        name: Member(data.draw(st.frozensets(st.sampled_from(sorted(sizes)))), m.owned, m.generation, m.held)
        for name, m in members.items()
    }
    placed = place(sizes, some)
    possible = frozenset[str]().union(*(m.groups for m in some.values()))
    expected = Counter({Task(group, n): 1 for group, size in sizes.items() if group in possible for n in range(size)})
    assert Counter(task for tasks in placed.values() for task in tasks) == expected
    for name, tasks in placed.items():
        assert {task.group for task in tasks} <= some[name].groups


@settings(deadline=None)
@given(SIZES, NAMES, st.data())
def test_a_task_without_owner_goes_to_the_freshest_copy(
    sizes: dict[str, int], names: list[str], data: st.DataObject
) -> None:
    held = {
        name: {Task(g, n): data.draw(st.integers(0, 99)) for g, s in sizes.items() for n in range(s)} for name in names
    }
    placed = place(sizes, {name: Member(frozenset(sizes), held=held[name]) for name in names})
    owners = owners_of(placed)
    tasks = sorted(owners)
    # No two tasks of a group would both be better off, or one better and none worse, the other way round.
    for a in tasks:
        for b in tasks:
            if a.group == b.group and owners[a] != owners[b]:
                swapped = max(held[owners[b]][a], held[owners[a]][b])
                assert swapped <= max(held[owners[a]][a], held[owners[b]][b])


def test_what_must_move_is_what_the_other_has_a_copy_of() -> None:
    groups = frozenset({"g"})
    four = frozenset(Task("g", n) for n in range(4))
    copies = {Task("g", 0): 7, Task("g", 2): 8}
    placed = place({"g": 4}, {"old": Member(groups, four, 1), "new": Member(groups, held=copies)})
    assert placed["new"] == {Task("g", 0), Task("g", 2)}


def test_of_two_that_claim_a_task_the_newer_generation_has_it() -> None:
    groups = frozenset({"g"})
    mine = frozenset({Task("g", 0)})
    both = {"zombie": Member(groups, mine, 3, {Task("g", 0): 99}), "live": Member(groups, mine, 4)}
    assert place({"g": 1}, both) == {"zombie": frozenset(), "live": mine}


@settings(deadline=None)
@given(fleets(), st.integers(0, 4))
def test_standbys_are_on_others_and_as_many_as_asked(
    fleet: tuple[dict[str, int], dict[str, Member]], replicas: int
) -> None:
    sizes, members = fleet
    owners = owners_of(place(sizes, members))
    chosen = choose_standbys(owners, members, replicas)
    copies = Counter(task for tasks in chosen.values() for task in tasks)
    for task, owner in owners.items():
        assert task not in chosen[owner]
        assert copies[task] == min(replicas, len(members) - 1)


def test_standbys_stay_where_the_copy_is() -> None:
    groups = frozenset({"g"})
    tasks = frozenset(Task("g", n) for n in range(3))
    members = {
        "a": Member(groups, tasks, 1),
        "b": Member(groups, held={Task("g", 0): 5}),
        "c": Member(groups, held={Task("g", 1): 5, Task("g", 2): 1}),
    }
    chosen = choose_standbys(dict.fromkeys(tasks, "a"), members, 1)
    assert chosen == {"a": frozenset(), "b": {Task("g", 0), Task("g", 2)}, "c": {Task("g", 1)}}, "even goes first"


@settings(deadline=None)
@given(st.lists(st.frozensets(st.sampled_from("abcdefgh"), min_size=1)))
def test_merged_groups_share_no_topic_and_lose_none(groups: list[frozenset[str]]) -> None:
    merged = merge(groups)
    assert Counter(topic for group in merged for topic in group) == Counter(frozenset("").union(*groups))
    assert all(any(group <= other for other in merged) for group in groups)


def claim(*groups: set[str], **said: Any) -> Claim:
    """Return what a member says in its subscription."""
    given: dict[str, Any] = {"owned": {}, "generation": -1, "held": [], **said}
    return Claim(faust=b"", groups=[sorted(group) for group in groups], **given)


def test_topics_of_a_group_are_assigned_alike() -> None:
    shares = assign({"a": 4, "b": 4, "c": 3}, {"m": claim({"a", "b"}, {"c"}), "n": claim({"a", "b"}, {"c"})})
    for share in shares.values():
        assert share.owned["a"] == share.owned["b"]
        assert len(share.owned["a"]) == 2
    assert sorted(p for share in shares.values() for p in share.owned["c"]) == [0, 1, 2]


def test_a_topic_with_more_partitions_than_the_others_of_its_group_is_assigned_as_a_whole() -> None:
    shares = assign({"a": 2, "b": 4}, {"m": claim({"a", "b"})})
    assert shares["m"].owned == {"a": [0, 1], "b": [0, 1, 2, 3]}


def test_a_topic_that_does_not_exist_is_passed_over() -> None:
    assert assign({"b": 1}, {"m": claim({"a"}, {"b"})})["m"].owned == {"b": [0]}


def test_in_a_rolling_upgrade_only_who_reads_all_of_a_group_runs_it() -> None:
    old = claim({"a"}, {"b"}, owned={"a": [0, 1], "b": [0, 1]}, generation=3)
    shares = assign({"a": 2, "b": 2, "new": 2}, {"old": old, "new": claim({"a", "b"}, {"new"})})
    assert sorted(shares["new"].owned) == ["a", "b", "new"] or sorted(shares["new"].owned) == ["a", "b"]
    found = Counter((t, p) for share in shares.values() for t, numbers in share.owned.items() for p in numbers)
    assert found == Counter({(topic, p): 1 for topic in ("a", "b", "new") for p in range(2)})
    assert all(share.owned.get("a") == share.owned.get("b") for share in shares.values())


def test_a_group_that_nobody_reads_as_a_whole_is_taken_apart() -> None:
    shares = assign({"a": 1, "b": 1, "c": 1}, {"m": claim({"a", "b"}), "n": claim({"b", "c"})})
    found = Counter((t, p) for share in shares.values() for t, numbers in share.owned.items() for p in numbers)
    assert found == Counter({("a", 0): 1, ("b", 0): 1, ("c", 0): 1})
    assert "c" not in shares["m"].owned
    assert "a" not in shares["n"].owned


def test_standbys_are_told_by_topic_and_the_most_that_anybody_asks_for() -> None:
    shares = assign({"a": 2}, {"m": claim({"a"}, standbys=1), "n": claim({"a"})})
    assert shares["m"].standbys == shares["n"].owned
    assert shares["n"].standbys == shares["m"].owned


class Cluster:
    """The part of aiokafka's cluster metadata that assignors use."""

    def __init__(self, **partitions: int) -> None:
        self._partitions = partitions

    def partitions_for_topic(self, topic: str) -> set[int] | None:
        return set(range(self._partitions[topic])) if topic in self._partitions else None


def test_members_agree_over_the_wire_and_fausts_topics_are_fausts() -> None:
    def member(name: str) -> TopologyAssignor:
        app = faust.App("group", broker="kafka://nowhere", store="memory://", web_host=name, web_enabled=False)
        return TopologyAssignor(app, (frozenset({"in"}),), transactional_id=f"tx-{name}", address=name)

    def exchange(members: dict[str, TopologyAssignor]) -> dict[str, Any]:
        """Do what the group's protocol does: encode, let one assign, decode."""
        sent = {
            name: ConsumerProtocolMemberMetadata.decode(member.metadata({"in", "own"}).encode())
            for name, member in members.items()
        }
        leader = members[min(members)]
        granted = leader.assign(Cluster(**{"in": 4, "own": 4}), sent)
        for generation, (name, one) in enumerate(members.items()):
            one.on_assignment(ConsumerProtocolMemberAssignment.decode(granted[name].encode()))
            one.generation = generation
        return {name: dict(answer.assignment) for name, answer in granted.items()}

    a, b = member("a"), member("b")
    told: list[str] = []
    a.on_assigned = lambda: told.append("a")
    assert exchange({"id-a": a}) == {"id-a": {"in": [0, 1, 2, 3], "own": [0, 1, 2, 3]}}
    both = exchange({"id-a": a, "id-b": b})
    assert {name: len(topics["in"]) for name, topics in both.items()} == {"id-a": 2, "id-b": 2}
    assert {name: len(topics["own"]) for name, topics in both.items()} == {"id-a": 2, "id-b": 2}
    assert told == ["a", "a"]
    assert {tp.topic for tp in a.assigned_actives()} == {"own"}
    assert a.peers() == b.peers()
    assert [(peer.member_id, peer.transactional_id, peer.address) for peer in a.peers()] == [
        ("id-a", "tx-a", "a"),
        ("id-b", "tx-b", "b"),
    ]
    assert exchange({"id-a": a, "id-b": b}) == both, "who has something keeps it"

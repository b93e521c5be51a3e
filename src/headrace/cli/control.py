"""What ``headrace rules`` knows: the changes of a control topic, the records they are about, one event."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
from pydantic import BaseModel, ValidationError

from headrace.cli.directory import open_log
from headrace.errors import ConfigError
from headrace.event.dtypes import DType
from headrace.event.schema import schema_type
from headrace.operators.routes.checking import ChangeRow, checker_of
from headrace.operators.routes.explaining import Part, columns_of, explain
from headrace.operators.routes.timeline import Change, Timeline
from headrace.plan import compile_plan
from headrace.plan.model import Plan
from headrace.runtime.loading import load_target
from headrace.time.instants import END_OF_TIME_MS, MIN_TIME_MS, START_OF_TIME_MS, from_ms, to_ms
from headrace.topology.nodes import Source, inputs
from headrace.topology.routes import Route
from headrace.topology.rulechecks import RuleRefusedError, fitting
from headrace.topology.rules import RuleSyntaxError, parse_rule
from headrace.topology.rulesets import Rule, RuleChange, RuleSet
from headrace.topology.trees import columns as columns_in

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Judged:
    """What one rule says of an event; ``wrong``: it cannot be used."""

    rule: Rule
    fires: bool
    parts: tuple[Part, ...] = ()
    wrong: str | None = None

    def headline(self, *, decides: bool) -> str:
        """Return the outcome in one line."""
        name, target = self.rule.name, self.rule.target
        if self.wrong is not None:
            return f"{name}: WRONG"
        if not self.rule.enabled:
            return f"{name}: is not enabled"
        if not self.fires:
            return f"{name}: does not fire"
        return f"{name}: fires" + (", the first" if decides else "") + (f", target {target}" if target else "")

    def to_json(self) -> Row:
        """Return the outcome for scripts."""
        parts = [{"depth": p.depth, "text": p.text, "value": p.value, "error": p.error} for p in self.parts]
        rule = self.rule.model_dump(mode="json")
        return {"rule": rule, "fires": self.fires, "wrong": self.wrong, "parts": parts}


def judge(rule: Rule, columns: DType, record: Row) -> Judged:
    """Return what a rule says of an event."""
    try:
        condition, _ = fitting(rule.condition, columns)
    except RuleRefusedError as error:
        return Judged(rule, fires=False, wrong=f"rule {rule.name!r}: {error}")
    parts = explain(condition, columns, record)
    fires = parts[0].value is True if parts else condition_is_true(rule)
    return Judged(rule, fires and rule.enabled, tuple(parts))


def condition_is_true(rule: Rule) -> bool:
    """Tell whether a condition that is a constant is true."""
    return str(parse_rule(rule.condition)) == "True"


def read_event(text: str, schema: str | None, rules: RuleSet) -> tuple[DType, Row]:
    """Return the columns of an event, and its values. Without a schema, what rules read and it does not have is null.

    Raises:
        ConfigError: it is no JSON object, or not of the schema.
    """
    try:
        data = msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        msg = f"--event: expected JSON, got {text[:60]!r}: {error}"
        raise ConfigError(msg) from error
    if not isinstance(data, dict):
        msg = f"--event: expected a JSON object, got {text[:60]!r}"
        raise ConfigError(msg)
    if schema is None:
        return columns_of(dict.fromkeys(_read_by(rules)) | data), data
    model = _model(schema)
    try:
        return schema_type(model), model.model_validate_json(text).model_dump()
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
        msg = f"--event: it is no {model.__qualname__}: {faults}"
        raise ConfigError(msg) from error


def _read_by(rules: RuleSet) -> set[str]:
    """Return the columns that rules read, as far as they can be parsed."""
    found: set[str] = set()
    for rule in rules.rules():
        with suppress(RuleSyntaxError):
            found |= {path[0] for path in columns_in(parse_rule(rule.condition))}
    return found


def _model(schema: str) -> type[BaseModel]:
    module, _, name = schema.partition(":")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, ValueError, AttributeError) as error:
        msg = f"--schema: expected MODULE:CLASS, got {schema!r}: {error}"
        raise ConfigError(msg) from error
    if not (isinstance(found, type) and issubclass(found, BaseModel)):
        msg = f"--schema: expected a pydantic model, got {schema!r}, which is {type(found).__name__}"
        raise ConfigError(msg)
    return found


def columns_and_initial(target: str | None, topic: str) -> tuple[DType | None, tuple[Rule, ...]]:
    """Return the columns that rules of a topic are about, and the rules it begins with; None: nobody said.

    Raises:
        ConfigError: no route of the target takes its rules from the topic.
    """
    if target is None:
        return None, ()
    for topology in load_target(target):
        plan = compile_plan(topology)
        for step in plan.steps:
            if isinstance(step.node, Route) and topic in _topics(plan, step.node.control.step):
                return plan.columns[step.node.input], tuple(rule for rule, _ in step.node.initial)
    msg = f"--target {target}: no route takes its rules from topic {topic!r}"
    raise ConfigError(msg)


def _topics(plan: Plan, step_id: str) -> set[str]:
    node = plan.step(step_id).node
    if isinstance(node, Source):
        return {node.topic}
    return {topic for port in inputs(node) for topic in _topics(plan, port.step)}


def wrong_in(rule: Rule, columns: DType | None) -> str | None:
    """Return what is wrong with a rule; without columns only its syntax is looked at."""
    if columns is not None:
        try:
            fitting(rule.condition, columns)
        except RuleRefusedError as error:
            return f"rule {rule.name!r}: {error}"
        return None
    try:
        parse_rule(rule.condition)
    except RuleSyntaxError as error:
        return f"rule {rule.name!r}: condition: {error}"
    return None


def standing(
    entries: Iterable[tuple[int, bytes]], initial: Sequence[Rule], columns: DType | None, moment: datetime
) -> tuple[list[Row], int]:
    """Return the rules in force at a moment and those that are to come, and how many changes were refused."""
    timeline, found, refused = Timeline(), dict[Change, Rule](), 0
    for rule in initial:
        change = Change(START_OF_TIME_MS, rule.version, START_OF_TIME_MS, b"", rule.name, removes=False)
        timeline.add(change)
        found[change] = rule
    for time_ms, data in entries:
        read = _read(time_ms, data, columns)
        if read is None:
            refused += 1
            continue
        change, rule_ = read
        timeline.add(change)
        if rule_ is not None:
            found[change] = rule_
    now = to_ms(moment)
    rows, counting = [], {change.name: change for change in timeline.at(now)}
    coming = (change for begin in _later(timeline, now) for change in timeline.at(begin) if change.start_ms == begin)
    for change in (*counting.values(), *coming):
        if change in found:
            rows.append(_row(found[change], change, "in force" if change.start_ms <= now else "to come"))
        elif change.start_ms > now:
            rows.append(_row(Rule(name=change.name, condition="-"), change, "to be removed") | {"condition": None})
    return sorted(rows, key=lambda row: (row["state"] != "in force", row["priority"], row["name"])), refused


def _later(timeline: Timeline, now: int) -> Iterable[int]:
    _, begin = timeline.span(now)
    while begin < END_OF_TIME_MS:
        yield begin
        _, begin = timeline.span(begin)


def _read(time_ms: int, data: bytes, columns: DType | None) -> tuple[Change, Rule | None] | None:
    """Return a change and the rule that it puts in force; None if it is refused."""
    try:
        given = RuleChange.model_validate_json(data)
    except ValidationError:
        return None
    if columns is not None and checker_of(columns)(_columns(given)) is not None:
        return None
    start = time_ms if given.effective_from is None else max(time_ms, to_ms(given.effective_from))
    change = Change(start, given.version, time_ms, data, given.name, given.op == "remove")
    if given.op == "remove":
        return change, None
    fields = given.model_dump(exclude={"op", "effective_from"})
    try:
        rule = Rule(**fields)
    except ValidationError:
        return None
    return None if wrong_in(rule, None) is not None else (change, rule)


def _columns(change: RuleChange) -> ChangeRow:
    first = change.name, change.op, change.condition, change.priority, change.target
    return *first, change.enabled, change.tags, change.version, change.effective_from


def _row(rule: Rule, change: Change, state: str) -> Row:
    known = change.start_ms >= MIN_TIME_MS
    return {
        "name": rule.name,
        "state": state,
        "since": from_ms(change.start_ms) if known else None,
        "version": change.version,
        "priority": rule.priority,
        "condition": rule.condition,
        "target": rule.target,
        "enabled": rule.enabled,
        "tags": list(rule.tags),
    }


def read_log(data_dir: Path, topic: str) -> list[tuple[int, bytes]]:
    """Return time and value of every record of a topic in the log of a data directory."""
    found: list[tuple[int, bytes]] = []
    with open_log(data_dir) as log:
        log.end(topic, 0)  # refuses a topic that is not there
        for partition in range(log.topics()[topic]):
            offset, end = log.start(topic, partition), log.end(topic, partition)
            while offset < end:
                batch = log.read(topic, partition, offset)
                if not batch.values:
                    break
                found += zip(batch.times, batch.values, strict=True)
                offset = batch.next_offset
    return found


def send(data_dir: Path, topic: str, records: Sequence[tuple[bytes, bytes]]) -> None:
    """Send records to the worker that runs on a data directory.

    Raises:
        ConfigError: none runs there, or it does not read the topic.
    """
    from headrace.query.client import find_worker  # noqa: PLC0415 - HTTP comes with an extra

    client = find_worker(data_dir)
    if client is None:
        msg = f"no worker answers for {data_dir}: start one with 'headrace run ... --http', or name --brokers"
        raise ConfigError(msg)
    with client:
        for key, value in records:
            client.send(topic, [value], key=key.decode())

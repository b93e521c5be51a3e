"""Rules as data: what routes a record where. From Python, from a YAML file, or as changes on a control topic."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, RootModel, ValidationError, field_validator

from headrace.errors import ConfigError

DEFAULT_PRIORITY = 100
MAX_VERSION = (1 << 63) - 1

Name = Annotated[str, Field(min_length=1, max_length=200)]


class Rule(BaseModel):
    """One rule: a condition in rule text, and what is said of records for which it is true.

    Rules with a lower ``priority`` number come first, those of one number by name. ``target`` is free text, often a
    topic. A rule that is not ``enabled`` is kept and matches nothing.

    >>> Rule(name="big", condition="amount > 100", target="review").priority
    100
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Name
    condition: Annotated[str, Field(min_length=1)]
    priority: int = DEFAULT_PRIORITY
    target: str | None = None
    enabled: bool = True
    tags: tuple[str, ...] = ()
    version: Annotated[int, Field(ge=0, le=MAX_VERSION)] = 1


class RuleSet(RootModel[tuple[Rule, ...]]):
    """Rules with different names.

    >>> rules = RuleSet([Rule(name="big", condition="amount > 100"), Rule(name="new", condition="age < 5", priority=1)])
    >>> [rule.name for rule in rules.ordered()]
    ['new', 'big']
    """

    model_config = ConfigDict(frozen=True)

    @field_validator("root")
    @classmethod
    def _refuse_twins(cls, rules: tuple[Rule, ...]) -> tuple[Rule, ...]:
        names = [rule.name for rule in rules]
        twins = sorted({name for name in names if names.count(name) > 1})
        if twins:
            msg = f"every rule needs a name of its own, these occur twice: {', '.join(twins)}"
            raise ValueError(msg)
        return rules

    @classmethod
    def from_yaml(cls, path: str | Path) -> RuleSet:
        """Read a YAML file: a list of rules, or a mapping with the list under ``rules``.

        Raises:
            ConfigError: the file cannot be read, is no YAML, or holds what is no rule; the message says where.
        """
        # The parser comes with the extra "rules": declaring a topology does not need it.
        from headrace.topology.rulefiles import read_yaml  # noqa: PLC0415

        found = read_yaml(Path(path))
        listed = found.get("rules") if isinstance(found, dict) and set(found) == {"rules"} else found
        if not isinstance(listed, list):
            msg = f"{path}: expected a list of rules, or 'rules:' with one, got {type(listed).__name__}"
            raise ConfigError(msg)
        try:
            return cls.model_validate(listed)
        except ValidationError as error:
            msg = f"{path}: {_told(error, listed)}"
            raise ConfigError(msg) from error

    def ordered(self) -> tuple[Rule, ...]:
        """Return the rules in the order in which they are tried."""
        return tuple(sorted(self.root, key=lambda rule: (rule.priority, rule.name)))

    def rules(self) -> Iterator[Rule]:
        """Yield the rules as they were given."""
        yield from self.root


class RuleChange(BaseModel):
    """A record of a control topic: put a rule in force (``op`` "put"), or remove the one of that name ("remove").

    It counts for records whose event time is ``effective_from`` or later, but never earlier than its own event time,
    which is the default: what has been decided stays. The fields of the rule are checked by the step that takes the
    change, so that a bad one is reported there.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    op: str = "put"
    condition: str | None = None
    priority: int = DEFAULT_PRIORITY
    target: str | None = None
    enabled: bool = True
    tags: list[str] = []
    version: int = 1
    effective_from: datetime | None = None

    @classmethod
    def put(cls, rule: Rule, effective_from: datetime | None = None) -> RuleChange:
        """Return the change that puts a rule in force.

        >>> RuleChange.put(Rule(name="big", condition="amount > 100")).op
        'put'
        """
        return cls(**rule.model_dump(), effective_from=effective_from)


def _told(error: ValidationError, listed: list[object]) -> str:
    """Return every fault on a line of its own, with the rule that it is in."""
    lines = []
    for fault in error.errors():
        place, *rest = fault["loc"] or ("",)
        rule = listed[place] if isinstance(place, int) else None
        name = rule.get("name") if isinstance(rule, dict) else None
        where = f"rule {place + 1}" + (f" ({name})" if name else "") if isinstance(place, int) else "rules"
        lines.append(": ".join((where, *(str(part) for part in rest), fault["msg"])))
    return "\n  ".join(lines)

"""What an upgrade changes, and whether the state survives it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from headrace.errors import ConfigError
from headrace.plan.describe import describe, public
from headrace.plan.digest import python_of
from headrace.plan.model import Plan

_STATE = ("details", "columns", "key")


@dataclass(frozen=True, slots=True)
class Change:
    """One step that differs. ``state`` is ``"kept"``, ``"lost"``, ``"new"`` or ``"none"``."""

    step: str
    what: str
    state: str

    def __str__(self) -> str:
        """Return the change as one line."""
        return f"{self.step}: {self.what}" + ("" if self.state == "none" else f" (state: {self.state})")


@dataclass(frozen=True, slots=True)
class PlanDiff:
    """The changes between two plans. ``compatible``: no state is lost."""

    changes: tuple[Change, ...]

    @property
    def compatible(self) -> bool:
        """Tell whether all state survives."""
        return all(change.state != "lost" for change in self.changes)

    def to_json(self) -> dict[str, object]:
        """Return the diff for scripts."""
        changes = [{"step": c.step, "what": c.what, "state": c.state} for c in self.changes]
        return {"compatible": self.compatible, "changes": changes}

    def __str__(self) -> str:
        """Return one line per change and a verdict."""
        if not self.changes:
            return "no change"
        verdict = "all state survives" if self.compatible else "state is LOST: use a new data directory, or go back"
        return "\n".join([*map(str, self.changes), verdict])


class _Step(msgspec.Struct, frozen=True):
    """A step as it is saved. ``functions``: names and digests; None in plans that know no digests."""

    id: str
    kind: str
    details: str
    columns: dict[str, str]
    key: list[str]
    inputs: list[str]
    repartition: bool
    stateful: bool
    functions: list[tuple[str, str]] | None = None


class _Saved(msgspec.Struct, frozen=True):
    topology: str
    format: Literal[1]
    steps: list[_Step]


def diff(old: Mapping[str, Any], new: Plan) -> PlanDiff:
    """Compare a saved plan (``describe(plan).to_json()``) with a new one.

    Raises:
        ConfigError: ``old`` is no saved plan.
    """
    before = _steps(old)
    after = _steps(describe(new).to_json())
    changes = [_compare(step, before.get(step), after.get(step)) for step in {**before, **after}]
    return PlanDiff(tuple(change for change in changes if change is not None))


def _steps(saved: Mapping[str, Any]) -> dict[str, _Step]:
    try:
        # Plans that were saved by earlier versions have the names of modules as they are within.
        plain = msgspec.json.decode(public(msgspec.json.encode(dict(saved)).decode()))
        steps = msgspec.convert(plain, _Saved).steps
    except msgspec.ValidationError as error:
        msg = f"expected a plan saved by 'headrace plan --json' (format 1), got one that differs: {error}"
        raise ConfigError(msg) from error
    return {step.id: step for step in steps}


def _compare(step: str, old: _Step | None, new: _Step | None) -> Change | None:
    if new is None:
        return Change(step, "removed", "lost" if old is not None and old.stateful else "none")
    if old is None:
        return Change(step, "added", "new" if new.stateful else "none")
    parts = [(part, getattr(old, part), getattr(new, part)) for part in ("kind", *_STATE, "inputs", "repartition")]
    changed = [part for part, was, now in parts if was != now]
    what = [f"{part} was {was!r}, is {now!r}" for part, was, now in parts if was != now]
    what += _changed_functions(old, new)
    if not what:
        return None
    lost = old.stateful and any(part in changed for part in ("kind", *_STATE))
    return Change(step, "; ".join(what), "lost" if lost else "kept" if new.stateful else "none")


def _changed_functions(old: _Step, new: _Step) -> list[str]:
    """Tell which functions changed behind their names. State survives: what it holds is of the same types."""
    if old.functions is None:
        return []
    was, now = old.functions, new.functions or []
    if [name for name, _ in was] != [name for name, _ in now]:
        names = [", ".join(name for name, _ in functions) or "none" for functions in (was, now)]
        return [f"functions were {names[0]}, are {names[1]}"]
    return list(dict.fromkeys(_changed(*one, two) for one, (_, two) in zip(was, now, strict=True) if one[1] != two))


def _changed(name: str, was: str, now: str) -> str:
    if python_of(was) == python_of(now):
        return f"function {name} changed"
    return f"function {name} may have changed: saved by {python_of(was)}, this is {python_of(now)}"

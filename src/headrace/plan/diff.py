"""What an upgrade changes, and whether the state survives it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from headrace.errors import ConfigError
from headrace.plan.describe import describe
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


def diff(old: Mapping[str, Any], new: Plan) -> PlanDiff:
    """Compare a saved plan (``describe(plan).to_json()``) with a new one.

    Raises:
        ConfigError: ``old`` is no saved plan.
    """
    if old.get("format") != 1:
        msg = f"expected a plan saved by 'headrace plan --json' (format 1), got format {old.get('format')!r}"
        raise ConfigError(msg)
    before = {step["id"]: step for step in old["steps"]}
    saved: Any = describe(new).to_json()
    after = {step["id"]: step for step in saved["steps"]}
    changes = [_compare(step, before.get(step), after.get(step)) for step in {**before, **after}]
    return PlanDiff(tuple(change for change in changes if change is not None))


def _compare(step: str, old: Mapping[str, Any] | None, new: Mapping[str, Any] | None) -> Change | None:
    if old is None or new is None:
        gone = new is None
        stateful = bool((old or new or {}).get("stateful"))
        state = ("lost" if gone else "new") if stateful else "none"
        return Change(step, "removed" if gone else "added", state)
    changed = [part for part in ("kind", *_STATE, "inputs", "repartition") if old[part] != new[part]]
    if not changed:
        return None
    what = "; ".join(f"{part} was {old[part]!r}, is {new[part]!r}" for part in changed)
    lost = old["stateful"] and any(part in changed for part in ("kind", *_STATE))
    return Change(step, what, "lost" if lost else "kept" if new["stateful"] else "none")

"""Pattern cases as files: ``cep/*.json``, facts taken from the public tests and documentation of Flink CEP.

Each case names its source in ``origin``. A field that is not known is an error: a case that is half understood
would prove nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CASES = Path(__file__).parent / "cep"
TAKING = ("next", "followed_by", "followed_by_any")
NEGATIVE = ("not_next", "not_followed_by")
LOOPS = ("relaxed", "consecutive", "allow_combinations")

_FILE = {"format", "family", "cases"}
_CASE = {"id", "origin", "note", "pattern", "within_ms", "skip", "time", "events", "expected"}
_QUANTIFIERS = {"times", "optional", "loop", "greedy", "until", "within_prev_ms"}
_ELEMENT = {"step", "group", "contiguity", "where", *_QUANTIFIERS}
_EXPECTED = {"matches", "by_step", "timed_out", "held", "late", "error"}


class FormatError(ValueError):
    """A file or a case is not in the format."""


@dataclass(frozen=True)
class Case:
    """One case as it is in its file."""

    family: str
    raw: Mapping[str, Any]

    @property
    def id(self) -> str:
        return str(self.raw["id"])


def load(directory: Path) -> list[Case]:
    """Return all cases of a directory, by file."""
    files = sorted(directory.glob("*.json"))
    if not files:
        raise FormatError(f"there is no case in {directory}")
    found = []
    for path in files:
        content = json.loads(path.read_text("utf-8"))
        known(path.name, content, _FILE)
        if content["format"] != 1:
            raise FormatError(f"{path.name}: format 1 is known, got {content['format']!r}")
        found += [Case(content["family"], raw) for raw in content["cases"]]
    return found


def check(case: Mapping[str, Any]) -> None:
    """Refuse a case that has anything unknown in it.

    Raises:
        FormatError: it has; the message says where.
    """
    where = f"case {case.get('id')!r}"
    known(where, case, _CASE)
    known(f"{where}, expected", case.get("expected", {}), _EXPECTED)
    if case.get("time", "arrival") not in {"arrival", "watermark"}:
        raise FormatError(f"{where}: time {case['time']!r}")
    if case.get("expected", {}).get("error", "skip") != "skip":
        raise FormatError(f"{where}: error {case['expected']['error']!r}")
    _check_elements(where, case["pattern"])
    _check_skip(where, case.get("skip", "no_skip"))
    for entry in case["events"]:
        _check_entry(where, entry, case.get("time", "arrival"))


def known(where: str, found: Mapping[str, Any], names: set[str]) -> None:
    """Refuse unknown fields."""
    unknown = sorted(set(found) - names)
    if unknown:
        raise FormatError(f"{where}: unknown {', '.join(unknown)}")


def steps(elements: Iterable[Mapping[str, Any]]) -> Iterable[str]:
    """Yield the names of the steps that take events, in order."""
    for element in elements:
        if "group" in element:
            yield from steps(element["group"])
        elif element.get("contiguity") not in NEGATIVE:
            yield element["step"]


def _check_elements(where: str, elements: Any) -> None:
    if not elements:
        raise FormatError(f"{where}: no element")
    for place, element in enumerate(elements):
        here = f"{where}, element {element.get('step', place)!r}"
        known(here, element, _ELEMENT)
        if ("step" in element) == ("group" in element):
            raise FormatError(f"{here}: a step or a group")
        if place == 0 and "contiguity" in element:
            raise FormatError(f"{here}: the first element has no contiguity")
        if place > 0 and element.get("contiguity") not in {*TAKING, *NEGATIVE}:
            raise FormatError(f"{here}: contiguity {element.get('contiguity')!r}")
        if element.get("loop", "relaxed") not in LOOPS:
            raise FormatError(f"{here}: loop {element['loop']!r}")
        if "group" in element:
            if "where" in element:
                raise FormatError(f"{here}: a group has no condition")
            _check_elements(here, element["group"])


def _check_skip(where: str, skip: Any) -> None:
    if skip in ("no_skip", "to_next", "past_last"):
        return
    if not isinstance(skip, dict) or len(skip.keys() & {"to_first", "to_last"}) != 1:
        raise FormatError(f"{where}: skip {skip!r}")
    known(f"{where}, skip", skip, {"to_first", "to_last", "on_miss"})
    if skip.get("on_miss", "error") != "error":
        raise FormatError(f"{where}: on_miss {skip['on_miss']!r}")


def _check_entry(where: str, entry: Mapping[str, Any], time: str) -> None:
    for name, mode in (("advance_to", "arrival"), ("watermark", "watermark")):
        if name in entry:
            known(f"{where}, entry", entry, {name})
            if time != mode:
                raise FormatError(f"{where}: {name} where time is {time!r}")
            return
    missing = {"id", "ts"} - set(entry)
    if missing:
        raise FormatError(f"{where}, entry {dict(entry)!r}: no {', '.join(sorted(missing))}")

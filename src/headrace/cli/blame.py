"""Where in the user's own files an error came up while a target was imported; what is not installed."""

from __future__ import annotations

import sysconfig
import traceback
from difflib import get_close_matches
from pathlib import Path

import headrace

_IMPORTING = "<frozen importlib._bootstrap"
_PACKAGE = Path(headrace.__file__).parent
_EXTRAS = {"aiokafka": "kafka", "cramjam": "kafka", "faust": "kafka", "mode": "kafka", "rocksdict": "embedded"}
_LIBRARIES = tuple(Path(sysconfig.get_path(name)) for name in ("stdlib", "purelib", "platlib"))


def blame(error: BaseException) -> str | None:
    """Return ``file:line: reason`` and the line itself; None if no file of the user's was being imported.

    The line is the innermost one of the user's: what lies below it is how the engine found the mistake.
    """
    found = _line(error)
    if found is None:
        return None
    return f"{place(error)}: {_reason(error)}\n    {found.line}"


def place(error: BaseException) -> str | None:
    """Return ``file:line`` of the user's line that raised, while it was imported; else None."""
    found = _line(error)
    if found is None:
        return None
    path = Path(found.filename)
    here = Path.cwd()
    return f"{path.relative_to(here) if path.is_relative_to(here) else path}:{found.lineno}"


def missing_extra(error: ModuleNotFoundError) -> str | None:
    """Return the extra that brings the module, if it is one that Headrace itself imports."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if not frame.filename.startswith("<frozen")]
    if not (ours and Path(ours[-1].filename).is_relative_to(_PACKAGE)):
        return None  # what is missing is missing to a file of the user's, or to a library
    return _EXTRAS.get((error.name or "").partition(".")[0])


def _line(error: BaseException) -> traceback.FrameSummary | None:
    frames = traceback.extract_tb(error.__traceback__)
    importing = next((n for n, frame in enumerate(frames) if frame.filename.startswith(_IMPORTING)), len(frames))
    return next((frame for frame in reversed(frames[importing:]) if _is_users(frame.filename)), None)


def _is_users(filename: str) -> bool:
    path = Path(filename)
    return path.suffix == ".py" and not any(path.is_relative_to(known) for known in (_PACKAGE, *_LIBRARIES))


def _reason(error: BaseException) -> str:
    said = f"{type(error).__name__}: {error}"
    if not isinstance(error, AttributeError) or not type(error.obj).__module__.startswith("headrace"):
        return said
    # The language is objects of ours: a name that they do not have is a name misspelt.
    known = [name for name in dir(error.obj) if not name.startswith("_")]
    close = get_close_matches(error.name or "", known, n=1)
    return f"{said}. " + (f"Did you mean {close[0]!r}?" if close else f"There are: {', '.join(known)}")

"""Make docstrings readable as Markdown: doctests become code blocks, roles become code.

The docstrings are also read in editors and run as doctests, so they keep the plain forms.
"""

from __future__ import annotations

import re
from typing import Any

import griffe

DOCTEST = re.compile(r"^[ \t]*>>> .*(?:\n[ \t]*\S.*)*", re.M)
ROLE = re.compile(r":(?:class|func|meth|mod|attr|data|exc):`~?([^`]+)`")


def _fenced(found: re.Match[str]) -> str:
    lines = found[0].splitlines()
    indent = len(lines[0]) - len(lines[0].lstrip())
    body = "\n".join(line[indent:] for line in lines)
    return f"```pycon\n{body}\n```"


def readable(text: str) -> str:
    """Return the docstring as Markdown.

    >>> readable("See :class:`~a.b.C`.")
    'See `C`.'
    """
    return ROLE.sub(lambda found: f"`{found[1].rpartition('.')[2]}`", DOCTEST.sub(_fenced, text))


class Docstrings(griffe.Extension):
    """Rewrite every docstring of a package once it has been loaded."""

    def on_object(self, *, obj: griffe.Object, **_kwargs: Any) -> None:
        """Rewrite one docstring."""
        if obj.docstring is not None:
            obj.docstring.value = readable(obj.docstring.value)

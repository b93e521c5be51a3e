"""Text of generated functions: lines, indentation, and which step each line belongs to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class Writer:
    """Collects lines. One space of indentation a level: the tokenizer's limit is 100 levels."""

    __slots__ = ("_fresh", "_level", "_lines", "_steps", "steps")

    def __init__(self) -> None:
        """Begin empty."""
        self._lines: list[str] = []
        self._level = 0
        self._fresh = 0
        self._steps: list[str] = [""]
        self.steps: list[str] = [""]

    def line(self, text: str) -> None:
        """Add a line that belongs to the current step."""
        self._lines.append(" " * self._level + text)
        self.steps.append(self._steps[-1])

    def mark(self) -> int:
        """Add a place for lines that are known only later; see :meth:`fill`."""
        self.line("")
        return len(self._lines) - 1

    def fill(self, mark: int, lines: list[str]) -> None:
        """Put lines at a mark, with the indentation of that place."""
        level = len(self._lines[mark])
        self._lines[mark : mark + 1] = [" " * level + text for text in lines]
        self.steps[mark + 1 : mark + 2] = [self.steps[mark + 1]] * len(lines)

    def fresh(self, prefix: str) -> str:
        """Return a local name not used before."""
        self._fresh += 1
        return f"{prefix}{self._fresh}"

    @contextmanager
    def block(self, head: str | None) -> Iterator[None]:
        """Open a block such as ``if x:`` for the lines within; None: its head is filled in at a mark."""
        if head is not None:
            self.line(head)
        self._level += 1
        before = len(self._lines)
        yield
        if len(self._lines) == before:
            self.line("pass")
        self._level -= 1

    @contextmanager
    def step(self, step_id: str) -> Iterator[None]:
        """Say to which step the lines within belong: errors are traced by it."""
        self._steps.append(step_id)
        yield
        self._steps.pop()

    def text(self) -> str:
        """Return the source."""
        return "\n".join(self._lines) + "\n"

"""Records that come too late: they go to the step's late port."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

from headrace.operators.frame import Frame
from headrace.plan.model import PlannedStep
from headrace.topology.operator import Port

if TYPE_CHECKING:
    from headrace.operators.generator import Generator


def emit_late(g: Generator, step: PlannedStep, frame: Frame, ports: Sequence[str] = ("late",)) -> None:
    """Count the record at hand as late, and run the steps that read the late ports."""
    g.writer.line(f"t.late({step.id!r})")
    for port in ports:
        g.children(Port(step.id, port), frame, tail=False)


@contextmanager
def unless(  # noqa: PLR0913
    g: Generator, step: PlannedStep, frame: Frame, late: str, *, tail: bool, ports: Sequence[str] = ("late",)
) -> Iterator[None]:
    """Generate what is done with a record for which the condition ``late`` is false."""
    w = g.writer
    with w.block(f"if {late}:"):
        emit_late(g, step, frame, ports)
        if tail:
            w.line("continue")
    with nullcontext() if tail else w.block("else:"):
        yield


def behind(frame: Frame, limit: str, extra_ms: int) -> str:
    """Return the condition that ``limit + extra_ms`` lies behind the watermark of the record's input."""
    mark, lag = frame.watermark
    return f"{limit} + {extra_ms + lag} < {mark}"

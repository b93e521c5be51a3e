"""What a worker has done so far."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class TopologySummary:
    """The counters of one topology since the worker started; ``watermark`` is its lowest."""

    name: str
    records_in: int
    records_out: int
    dead_letters: int
    late: int
    skipped: int
    watermark: datetime | None


@dataclass(frozen=True, slots=True)
class Summary:
    """The counters of a worker since it started.

    ``ended``: all input was read to its end. ``stopped``: somebody asked the worker to stop.
    """

    topologies: tuple[TopologySummary, ...]
    elapsed_s: float
    ended: bool = False
    stopped: bool = False

    @property
    def records_in(self) -> int:
        """Records read, of all topologies."""
        return sum(t.records_in for t in self.topologies)

    @property
    def records_out(self) -> int:
        """Records written, of all topologies."""
        return sum(t.records_out for t in self.topologies)

    @property
    def dead_letters(self) -> int:
        """Records that went to dead letters."""
        return sum(t.dead_letters for t in self.topologies)

    @property
    def late(self) -> int:
        """Records that came after their window had closed."""
        return sum(t.late for t in self.topologies)

    @property
    def rate(self) -> float:
        """Records read per second."""
        return self.records_in / self.elapsed_s if self.elapsed_s else 0.0

    @property
    def watermark(self) -> datetime | None:
        """The lowest watermark of the topologies that have one."""
        return min((t.watermark for t in self.topologies if t.watermark is not None), default=None)

    def to_json(self) -> dict[str, Any]:
        """Return plain values: numbers, text, lists."""
        totals = ("records_in", "records_out", "dead_letters", "late")
        return {
            **{name: getattr(self, name) for name in totals},
            "elapsed_s": round(self.elapsed_s, 3),
            "rate": round(self.rate, 1),
            "watermark": _iso(self.watermark),
            "ended": self.ended,
            "stopped": self.stopped,
            "topologies": [
                {
                    "name": t.name,
                    **{name: getattr(t, name) for name in (*totals, "skipped")},
                    "watermark": _iso(t.watermark),
                }
                for t in self.topologies
            ],
        }


def _iso(time: datetime | None) -> str | None:
    return None if time is None else time.isoformat().replace("+00:00", "Z")

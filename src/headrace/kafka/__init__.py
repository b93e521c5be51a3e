"""The fleet worker: topologies on Apache Kafka, with Faust as the chassis. Needs ``headrace[kafka]``.

:func:`install` puts topologies on a Faust app that is there already; ``headrace worker`` makes one itself.
"""

from typing import TYPE_CHECKING, Any

from headrace.kafka.settings import FleetSettings, Guarantee

if TYPE_CHECKING:
    from headrace.kafka.installation import Installation, install

__all__ = ["FleetSettings", "Guarantee", "Installation", "install"]


def __getattr__(name: str) -> Any:
    """Load Faust only where an app is made: settings and the command line's help need none of it."""
    if name in {"Installation", "install"}:
        from headrace.kafka import installation  # noqa: PLC0415 - see above

        return getattr(installation, name)
    message = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(message)

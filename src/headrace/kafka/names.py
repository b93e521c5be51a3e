"""Names of the topics that belong to a group: made of its id and the ids of the topology and the step."""

from __future__ import annotations

REPARTITION, CHANGELOG = "repartition", "changelog"


def repartition_topic(group: str, topology: str, step: str) -> str:
    """Return the topic through which records of a group_by go.

    >>> repartition_topic("shop", "revenue", "by-product")
    'shop.revenue.by-product.repartition'
    """
    return f"{group}.{topology}.{step}.{REPARTITION}"


def changelog_topic(group: str, topology: str, step: str) -> str:
    """Return the topic that keeps the state of a step."""
    return f"{group}.{topology}.{step}.{CHANGELOG}"


def transactional_id(group: str, worker: str) -> str:
    """Return the id under which a worker writes; all of a group's begin alike, so that dead ones can be found."""
    return f"{group}/{worker}"

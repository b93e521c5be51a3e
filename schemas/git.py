"""Version control: commits, as ``git log`` prints them (see :mod:`topologies.git_activity`)."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class Commit(BaseModel):
    """One commit of a repository: its hash, its author's address, and when it was committed."""

    model_config = ConfigDict(frozen=True)

    commit: Annotated[str, Field(pattern=r"^[0-9a-f]{40}([0-9a-f]{24})?$")]
    author: Annotated[str, Field(min_length=1)]
    time: datetime

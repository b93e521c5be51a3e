"""What cannot be checked on this machine."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest


def cannot(reason: object) -> NoReturn:
    """Skip; on CI fail, where a skipped test would be a promise that nobody checks."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"not to be skipped on CI: {reason}")
    pytest.skip(str(reason))

"""Every operator family: the test driver, the embedded worker and Kafka come to the same results."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.parity import keyed, stateless
from tests.parity.running import check

CASES = stateless.CASES | keyed.CASES


# Not so yet on Kafka.
_FORGETTING = "tables show windows that are past their retention until the worker removes them"
_AHEAD = "rows of one source are judged by the watermark of the other, if both are in one commit"
OPEN = {"kept windows": _FORGETTING, "windows of windows": _FORGETTING, "two sources far apart": _AHEAD}


def params() -> Iterator[Any]:
    for name in CASES:
        marks = pytest.mark.xfail(reason=OPEN[name], strict=False) if name in OPEN else ()
        yield pytest.param(name, marks=marks)


@pytest.mark.parametrize("name", list(params()))
def test_results_are_the_same_on_the_driver_the_embedded_worker_and_kafka(
    name: str, tmp_path: Path, bootstrap: str
) -> None:
    check(CASES[name].job(), CASES[name].promise, tmp_path, bootstrap)


@pytest.mark.slow
def test_silence_closes_the_last_windows_on_all_of_them(tmp_path: Path, bootstrap: str) -> None:
    check(keyed.SILENCE.job(), keyed.SILENCE.promise, tmp_path, bootstrap)

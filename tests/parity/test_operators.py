"""Every operator family: the test driver, the embedded worker and Kafka come to the same results."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.parity import keyed, looked_up, stateless
from tests.parity.running import check

CASES = stateless.CASES | keyed.CASES | looked_up.CASES


@pytest.mark.parametrize("name", list(CASES))
def test_results_are_the_same_on_the_driver_the_embedded_worker_and_kafka(
    name: str, tmp_path: Path, bootstrap: str
) -> None:
    check(CASES[name].job(), CASES[name].promise, tmp_path, bootstrap)


@pytest.mark.slow
def test_silence_closes_the_last_windows_on_all_of_them(tmp_path: Path, bootstrap: str) -> None:
    check(keyed.SILENCE.job(), keyed.SILENCE.promise, tmp_path, bootstrap)

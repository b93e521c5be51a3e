"""Tests on a real broker: which of them are tried again, and that the summary says so."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from tests.kafka import tries


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    if call.excinfo is not None:
        tries.note(item, call.excinfo.value)
    return (yield)


def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    if not {"kafka", "parity"} & set(item.path.parts):
        return None
    tries.run(item, nextitem)
    return True


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    lines = tries.told(terminalreporter)
    if lines:
        terminalreporter.section(f"tried again, too slow: {len(lines)}")
        for line in lines:
            terminalreporter.line(line)

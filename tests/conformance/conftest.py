"""Which pattern cases to run: those beside this file, or a folder given by ``--cep-cases``."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conformance.cases import CASES, load


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--cep-cases", type=Path, default=CASES, metavar="DIR", help="run the pattern cases of a folder")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "case" in metafunc.fixturenames:
        cases = load(metafunc.config.getoption("--cep-cases", CASES))
        metafunc.parametrize("case", cases, ids=[case.id for case in cases])

"""``headrace query`` on a data directory on which no worker runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.commands import headrace


@pytest.fixture
def ran(fleet: Path) -> Path:
    assert headrace("run", "shop.py", "--input", "orders=orders.ndjson", cwd=fleet).code == 0
    return fleet


def test_the_rows_of_a_key_are_tab_separated_when_not_on_a_terminal(ran: Path) -> None:
    done = headrace("query", "revenue", "DE", cwd=ran)

    assert (done.code, done.err) == (0, "")
    assert done.out == (
        "country\twindow_start\twindow_end\torders\ttotal\n"
        "DE\t2024-05-01T12:00:00Z\t2024-05-01T12:01:00Z\t2\t350\n"
        "DE\t2024-05-01T12:01:00Z\t2024-05-01T12:02:00Z\t1\t1\n"
    )


def test_a_window_is_chosen_by_its_start(ran: Path) -> None:
    done = headrace("query", "revenue", "DE", "--window", "2024-05-01T12:01:00Z", "--json", cwd=ran)

    assert [row["total"] for row in json.loads(done.out)] == [1]


def test_without_a_key_all_rows_are_shown_up_to_the_limit(ran: Path) -> None:
    assert len(json.loads(headrace("query", "revenue", "--json", cwd=ran).out)) == 3
    done = headrace("query", "revenue", "--json", "--limit", "2", cwd=ran)
    assert len(json.loads(done.out)) == 2
    assert done.err == "only the first 2 rows; --limit shows more\n"


def test_without_a_table_the_tables_are_listed(ran: Path) -> None:
    found = json.loads(headrace("query", "--json", cwd=ran).out)

    assert [(table["table"], table["key"]) for table in found] == [("revenue", ["country"])]


def test_a_key_that_is_not_there_has_no_rows(ran: Path) -> None:
    done = headrace("query", "revenue", "XX", cwd=ran)
    assert (done.code, done.out, done.err) == (0, "", "no rows\n")


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (("nope",), 2, "no table 'nope'; there are: revenue"),
        (
            ("revenue", "DE", "--window", "noon"),
            2,
            "--window: expected a time such as 2024-01-31T12:00:00Z, got 'noon'",
        ),
        (("revenue", "--window", "2024-05-01T12:00:00Z"), 2, "--window: expected a KEY with it"),
        (("revenue", "--data-dir", "nowhere"), 3, "nowhere is no data directory."),
    ],
)
def test_a_wrong_question_has_a_clear_answer(ran: Path, args: tuple[str, ...], code: int, message: str) -> None:
    done = headrace("query", *args, cwd=ran)

    assert (done.code, done.out) == (code, "")
    assert done.err.startswith(f"headrace: {message}")
    assert not (ran / "nowhere").exists()


@pytest.mark.parametrize("key", ['["A"', '["DE", "FR"]', '["DE"]'])
def test_an_array_is_no_key_of_one_column(ran: Path, key: str) -> None:
    done = headrace("query", "revenue", key, cwd=ran)
    assert (done.code, done.out) == (2, "")
    assert done.err == (
        f"headrace: key: expected the plain text of country, the one key column of 'revenue', got {key!r}\n"
    )


def test_from_another_directory_the_target_is_asked_for(ran: Path) -> None:
    (ran / "elsewhere").mkdir()
    data = ("--data-dir", str(ran / ".headrace"))
    done = headrace("query", "revenue", *data, cwd=ran / "elsewhere")

    assert done.code == 2
    assert "ran 'shop.py'. there is no file 'shop.py'" in done.err
    assert done.err.endswith("From another directory, name it with --target.\n")
    target = ("--target", str(ran / "shop.py"))
    assert headrace("query", "revenue", *data, *target, cwd=ran / "elsewhere").code == 0


def test_a_url_left_by_a_killed_worker_is_passed_over(ran: Path) -> None:
    (ran / ".headrace" / "http.url").write_text("http://127.0.0.1:9\n")
    assert headrace("query", "revenue", "FR", cwd=ran).code == 0

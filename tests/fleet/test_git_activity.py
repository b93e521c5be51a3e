"""git-activity, on commits made up and on real ones."""

import shutil
import subprocess
from pathlib import Path

from headrace.testing import TopologyDriver
from tests.skips import cannot
from topologies import git_activity

FORMAT = '{"commit":"%H","author":"%ae","time":"%cI"}'


def commit(number: int, time: str, author: str = "ada@example.org") -> dict[str, str]:
    return {"commit": f"{number:040x}", "author": author, "time": time}


def test_commits_are_counted_per_day_and_author_in_utc() -> None:
    driver = TopologyDriver(git_activity.topology)
    driver.pipe("git.commits", commit(1, "2024-03-01T23:30:00Z"))
    driver.pipe("git.commits", commit(2, "2024-03-02T00:30:00+02:00", author="Ada@Example.org"))
    driver.pipe("git.commits", commit(3, "2024-03-02T00:30:00Z"))
    driver.finish()
    rows = driver.output("git.commits-per-day")
    assert [(r["author"], r["window_start"][:10], r["commits"]) for r in rows] == [
        ("ada@example.org", "2024-03-01", 2),
        ("ada@example.org", "2024-03-02", 1),
    ]


def test_a_session_ends_after_two_hours_without_a_commit() -> None:
    driver = TopologyDriver(git_activity.topology)
    times = ("2024-03-01T09:00:00Z", "2024-03-01T11:00:00Z", "2024-03-01T13:00:01Z")
    driver.pipe("git.commits", [commit(n, time) for n, time in enumerate(times)])
    driver.finish()
    rows = driver.output("git.sessions")
    assert [(r["commits"], r["first"][-1], r["last"][-1]) for r in rows] == [(2, "0", "1"), (1, "2", "2")]


def test_a_line_that_is_no_commit_is_a_dead_letter() -> None:
    driver = TopologyDriver(git_activity.topology)
    broken = b'{"commit":"' + b"0" * 40 + b'","author":"o"brien@example.org","time":"2024-03-01T09:00:00Z"}'
    driver.pipe("git.commits", [broken, commit(1, "2024-03-01T09:00:00Z"), {"commit": "HEAD"}])
    assert [row["commits"] for row in driver.table("authors")] == [1]
    assert [letter.offset for letter in driver.dead_letters()] == [0, 2]


def test_every_commit_of_a_real_history_is_counted(tmp_path: Path) -> None:
    if shutil.which("git") is None:
        cannot("git is not installed")

    def git(*arguments: str, at: int = 0) -> str:
        date = f"{1_700_000_000 + at} +0100"
        environment = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin:/usr/local/bin", "GIT_COMMITTER_DATE": date}
        people = ["-c", "user.name=Ada", "-c", f"user.email={'ada' if at % 2 else 'bob'}@example.org"]
        done = subprocess.run(
            ["git", *people, *arguments], cwd=tmp_path, env=environment, check=True, capture_output=True, text=True
        )
        return done.stdout

    git("init", "--quiet")
    for number in range(12):
        git("commit", "--quiet", "--allow-empty", "-m", f'say "hello" {number} \\', at=number * 3601)
    log = git("log", "--reverse", f"--pretty=format:{FORMAT}").encode().splitlines()
    driver = TopologyDriver(git_activity.topology)
    driver.pipe("git.commits", log)
    driver.finish()
    assert {row["author"]: row["commits"] for row in driver.table("authors")} == {
        "ada@example.org": 6,
        "bob@example.org": 6,
    }
    assert sum(row["commits"] for row in driver.output("git.sessions")) == 12
    assert sum(row["commits"] for row in driver.output("git.commits-per-day")) == 12
    assert driver.dead_letters() == []

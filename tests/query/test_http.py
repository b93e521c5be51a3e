"""The HTTP server, over a real socket."""

from __future__ import annotations

import gzip
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from headrace.errors import ConfigError, HeadraceError
from headrace.query.client import Client, find_worker
from headrace.query.server import serve
from tests.query.memory_worker import NOON, MemoryWorker

NDJSON = {"content-type": "application/x-ndjson"}


def post(url: str, body: bytes | Iterator[bytes], kind: str = "application/json", **headers: str) -> httpx.Response:
    return httpx.post(f"{url}/topics/logins", content=body, headers={"content-type": kind} | headers, trust_env=False)


def test_one_event_is_appended_as_it_came(url: str, worker: MemoryWorker) -> None:
    reply = post(url, b'{\n "user": "ada"\n}')

    assert (reply.status_code, reply.json()) == (200, {"accepted": 1})
    assert worker.log == [("logins", [b'{\n "user": "ada"\n}'], None)]


def test_each_line_of_ndjson_is_an_event(url: str, worker: MemoryWorker) -> None:
    reply = post(url, b'{"n":1}\r\n\n{"n":2}\n{"n":3}', "application/x-ndjson; charset=utf-8")

    assert reply.json() == {"accepted": 3}
    assert worker.log == [("logins", [b'{"n":1}', b'{"n":2}', b'{"n":3}'], None)]


def test_a_cloudevents_batch_is_split(url: str, worker: MemoryWorker) -> None:
    post(url, b'[{"n": 1}, {"n":[2]}]', "application/cloudevents-batch+json")

    assert worker.log == [("logins", [b'{"n": 1}', b'{"n":[2]}'], None)]


@pytest.mark.parametrize("form", ["header", "parameter"])
def test_the_key_comes_by_header_or_by_parameter(url: str, worker: MemoryWorker, form: str) -> None:
    headers = NDJSON | ({"headrace-key": "k1"} if form == "header" else {})
    params = {} if form == "header" else {"key": "k1"}
    httpx.post(f"{url}/topics/logins", content=b'{"n":1}\n{}', headers=headers, params=params, trust_env=False)

    assert worker.log == [("logins", [b'{"n":1}', b"{}"], [b"k1", b"k1"])]


def test_an_unknown_topic_is_not_found(url: str, worker: MemoryWorker) -> None:
    reply = httpx.post(f"{url}/topics/nope", content=b"{}", headers=NDJSON, trust_env=False)

    assert reply.status_code == 404
    assert reply.json() == {"error": "topic 'nope' takes no events; these do: logins"}
    assert worker.log == []


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"", "application/json", 400),
        (b"\n \n", "application/x-ndjson", 400),
        (b"{}", "text/html", 415),
        (b"{}", "", 415),
        (b'[{"n": 1', "application/cloudevents-batch+json", 400),
        (b"[]", "application/cloudevents-batch+json", 400),
    ],
)
def test_a_bad_body_is_refused_whole(url: str, worker: MemoryWorker, body: bytes, kind: str, status: int) -> None:
    reply = post(url, body, kind)

    assert reply.status_code == status
    assert reply.json()["error"]
    assert worker.log == []


@pytest.mark.parametrize(
    ("body", "kind", "message"),
    [
        (b'{"sku": "tea",', "application/json", "line 1: Input data was truncated"),
        (b'{\n"sku": tea}\n', "application/json", "line 2: JSON is malformed: invalid character (byte 10)"),
        (
            b' [{"n": 1}]',
            "application/json",
            "line 1: expected a JSON object, got '[{\"n\": 1}]'; "
            "an array of events goes as application/cloudevents-batch+json",
        ),
        (b"7", "application/json", "line 1: expected a JSON object, got '7'"),
        (
            b'{"n":1}\n{"n":2}\n',
            "application/json",
            "expected one JSON event; several, one a line, go as application/x-ndjson, "
            "an array of them as application/cloudevents-batch+json",
        ),
        (
            gzip.compress(b'{"n":1}', mtime=0),
            "application/x-ndjson",
            "line 1: expected JSON, got compressed bytes; send the body uncompressed",
        ),
        (
            b'{"n":1}\n\n{"n":2,}',
            "application/x-ndjson",
            "line 3: JSON is malformed: trailing comma in object (byte 7)",
        ),
        (b'{"n":1}\n[2]\n', "application/x-ndjson", "line 2: expected a JSON object, got '[2]'"),
        (b'{"n":"\xff"}', "application/x-ndjson", "line 1: expected UTF-8, got 'utf-8' codec can't decode byte 0xff"),
        (b'{"n":' + b"[" * 9_999, "application/x-ndjson", "line 1: JSON is nested too deeply"),
        (b'[{"n":1}, 2]', "application/cloudevents-batch+json", "event 2: expected a JSON object, got '2'"),
    ],
)
def test_what_is_no_json_object_is_refused_by_its_line(
    url: str, worker: MemoryWorker, body: bytes, kind: str, message: str
) -> None:
    reply = post(url, body, kind)

    assert reply.status_code == 400
    assert reply.json()["error"].startswith(message)
    assert worker.log == []


def test_a_packed_body_is_refused(url: str) -> None:
    assert post(url, b"x", **{"content-encoding": "gzip"}).status_code == 415


def test_a_body_over_the_limit_is_refused_by_its_announced_length(url: str, worker: MemoryWorker) -> None:
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as wire:
        head = f"POST /topics/logins HTTP/1.1\r\nHost: x\r\nContent-Length: {(64 << 20) + 1}\r\n"
        wire.sendall(f"{head}Content-Type: application/json\r\n\r\n".encode())
        assert wire.recv(100).startswith(b"HTTP/1.1 413 ")
    assert worker.log == []


def test_a_body_over_the_limit_is_refused_without_an_announced_length(url: str, worker: MemoryWorker) -> None:
    part = b"x" * (1 << 20)
    try:
        status = post(url, (part for _ in range(66))).status_code
    except httpx.TransportError:  # the server closes while the client still sends
        status = 413
    assert status == 413
    assert worker.log == []


def test_a_state_fault_is_unavailable(url: str, worker: MemoryWorker) -> None:
    worker.broken = True
    reply = post(url, b"{}")

    assert (reply.status_code, reply.json()) == (503, {"error": "the disk is full"})


def test_tables_tell_their_keys_and_columns(client: Client) -> None:
    first = client.tables()[0]

    assert first == {
        "table": "per-hour",
        "topology": "guard",
        "key": ["user"],
        "windowed": True,
        "retention_s": 86400.0,
        "columns": {"user": "str", "window_start": "timestamp", "n": "int"},
    }


def test_pages_hold_every_row_once(client: Client) -> None:
    rows, cursor = client.scan("stock", limit=100)
    pages = [rows]
    while cursor is not None:
        rows, cursor = client.scan("stock", limit=100, cursor=cursor)
        pages.append(rows)

    assert [len(page) for page in pages] == [100, 100, 100]
    assert len({(row["shop"], row["sku"]) for page in pages for row in page}) == 300


@pytest.mark.parametrize("user", ["ada", "a/b c?é", ".."])
def test_a_key_is_any_text(client: Client, user: str) -> None:
    rows = client.rows("guard.per-hour", user)

    assert [(row["user"], row["window_start"]) for row in rows] == [
        (user, "2024-05-01T12:00:00Z"),
        (user, "2024-05-01T13:00:00Z"),
    ]


def test_a_window_is_chosen_by_its_start(client: Client) -> None:
    assert len(client.rows("guard.per-hour", "ada", NOON)) == 1


def test_keys_of_several_columns_are_arrays_and_may_be_prefixes(client: Client) -> None:
    assert client.rows("stock", '["x", 7]') == [{"shop": "x", "sku": 7, "price": "7.50"}]
    assert len(client.rows("stock", '["y"]')) == 150


@pytest.mark.parametrize(
    ("table", "key", "message"),
    [
        ("stock", "x", "key: expected a JSON array of shop, sku, got 'x'"),
        ("stock", "[]", "key: expected 1 to 2 values (shop, sku), got 0"),
        ("stock", '["x", "seven"]', "key column 'sku': expected int, got 'seven'"),
        ("nope", "x", "no table 'nope'; there are: per-hour, stock, per-hour"),
        ("per-hour", "x", "several topologies have a table 'per-hour': ask for one of guard.per-hour, other.per-hour"),
    ],
)
def test_a_wrong_question_is_answered_with_what_is_wrong(client: Client, table: str, key: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        client.rows(table, key)
    assert str(caught.value) == message


def test_a_window_of_a_table_without_windows_is_refused(client: Client) -> None:
    with pytest.raises(ConfigError, match=r"table 'stock' has no windows; leave the window out"):
        client.rows("stock", '["x", 7]', NOON)


def test_a_wrong_limit_is_refused(url: str) -> None:
    reply = httpx.get(f"{url}/tables/stock", params={"limit": "0"}, trust_env=False)

    assert reply.status_code == 422
    assert "limit" in reply.json()["error"]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/tables/guard.per-hour/ada?limit=2", "unknown parameter 'limit'; known here: window_start"),
        ("/tables/guard.per-hour/ada?windowstart=", "unknown parameter 'windowstart'; known here: window_start"),
        ("/tables/stock?offset=2", "unknown parameter 'offset'; known here: limit, cursor"),
        ("/tables?limit=1", "unknown parameter 'limit'; known here: none"),
        ("/status?x", "unknown parameter 'x'; known here: none"),
    ],
)
def test_an_unknown_parameter_is_refused_with_the_known_ones(url: str, path: str, message: str) -> None:
    reply = httpx.get(url + path, trust_env=False)

    assert (reply.status_code, reply.json()) == (422, {"error": message})


def test_an_unknown_parameter_of_ingest_is_refused(url: str, worker: MemoryWorker) -> None:
    reply = httpx.post(f"{url}/topics/logins?keys=a", content=b"{}", headers=NDJSON, trust_env=False)

    assert (reply.status_code, reply.json()) == (422, {"error": "unknown parameter 'keys'; known here: key"})
    assert worker.log == []


@pytest.mark.parametrize("cursor", [f"{2**53 + 1}", f"{2**63 - 1}", f"{2**63}", "9" * 5000, "-1", "x"])
def test_a_cursor_that_no_page_gave_is_refused(url: str, cursor: str) -> None:
    reply = httpx.get(f"{url}/tables/stock", params={"cursor": cursor}, trust_env=False)

    assert reply.status_code == 422
    assert reply.json()["error"].startswith("cursor: ")
    assert len(reply.text) < 300


def test_a_cursor_behind_the_last_row_gives_an_empty_page(client: Client) -> None:
    assert client.scan("stock", limit=10, cursor=str(2**53)) == ([], None)


def test_a_row_that_cannot_be_computed_is_named_and_the_others_are_answered(url: str, worker: MemoryWorker) -> None:
    worker.spoil("x", 2)
    page = httpx.get(f"{url}/tables/stock", trust_env=False)
    row = httpx.get(f'{url}/tables/stock/["x", 2]', trust_env=False)

    remedy = "Mend the result function of the aggregate 'stock'; other keys can be asked for."
    why = f"cannot be computed: OverflowError: too large. {remedy}"
    assert (page.status_code, page.json()) == (500, {"error": f"table 'stock': the row behind key [\"x\",1] {why}"})
    assert (row.status_code, row.json()) == (500, {"error": f"table 'stock': the row of key [\"x\", 2] {why}"})
    assert httpx.get(f'{url}/tables/stock/["x", 1]', trust_env=False).status_code == 200
    assert httpx.get(f"{url}/tables/stock?limit=1", trust_env=False).status_code == 200


def test_status_and_health(client: Client) -> None:
    client.send("logins", [b"{}", b"{}"], key="k")

    assert client.alive()
    assert client.status() == {"records_in": 2, "at": "2024-05-01T12:00:00Z"}


def test_the_url_stands_in_the_data_directory_while_the_server_runs(worker: MemoryWorker, tmp_path: Path) -> None:
    with serve(worker, tmp_path) as url:
        found = find_worker(tmp_path)
        assert found is not None
        with found:
            assert (tmp_path / "http.url").read_text() == url + "\n"
    assert find_worker(tmp_path) is None
    assert not (tmp_path / "http.url").exists()


def test_a_url_left_by_a_killed_worker_is_no_worker(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    (tmp_path / "http.url").write_text(f"http://127.0.0.1:{port}\n")

    assert find_worker(tmp_path) is None


def test_an_address_in_use_is_a_clear_error(worker: MemoryWorker, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError) as caught, serve(worker, tmp_path, port=port):
            pass
    assert str(caught.value) == (
        f"cannot listen on 127.0.0.1:{port}: Address already in use. Give another with --http HOST:PORT, or --no-http."
    )


def test_a_worker_that_is_gone_does_not_answer(url: str, worker: MemoryWorker, tmp_path: Path) -> None:
    with serve(worker, tmp_path) as other, Client(other) as client:
        assert client.alive()
    with Client(other) as client, pytest.raises(HeadraceError, match="did not answer"):
        client.tables()

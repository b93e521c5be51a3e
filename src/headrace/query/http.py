"""The HTTP server of a worker: ingest, tables, status. Needs the extra ``headrace[query]``.

| request | answer |
| --- | --- |
| ``POST /topics/{topic}`` | ``{"accepted": n}``, once the events are on disk |
| ``GET /tables`` | the tables with their columns |
| ``GET /tables/{table}?limit=&cursor=`` | a page of rows and the cursor of the next |
| ``GET /tables/{table}/{key}?window_start=`` | the rows of a key |
| ``GET /status``, ``GET /healthz`` | counters; whether the worker lives |

Errors are JSON: ``{"error": "..."}``. A parameter that a route does not know is refused: one that is
misspelt would otherwise be left out without a word.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Protocol

import msgspec

from headrace.errors import ConfigError, HeadraceError, StateError
from headrace.query.ingest import MAX_BODY_BYTES, BadRequest, split_events
from headrace.query.tables import DEFAULT_LIMIT, MAX_LIMIT, Table, Tables

try:
    from fastapi import Depends, FastAPI, Header, Query, Request, Response
    from fastapi.exceptions import RequestValidationError
    from starlette.concurrency import run_in_threadpool
    from starlette.exceptions import HTTPException
except ImportError as error:
    msg = "the HTTP server needs FastAPI and uvicorn: pip install 'headrace[query]'"
    raise ImportError(msg) from error

SERVICE = "headrace"

_MAX_CURSOR = 1 << 53  # no table has so many rows; what is larger does not fit where rows are counted
_SHOWN = 80  # characters of a parameter that an error quotes


class Served(Protocol):
    """What the server needs of a worker. All of it is called from the server's threads."""

    @property
    def tables(self) -> Tables:
        """The tables that can be queried."""

    @property
    def topics(self) -> Sequence[str]:
        """The topics that take events."""

    def ingest(self, topic: str, values: list[bytes], keys: list[bytes | None] | None) -> None:
        """Append events to the log of a topic; they are on disk when this returns."""

    def status(self) -> Mapping[str, Any]:
        """Return counters and watermarks."""


def make_app(worker: Served) -> FastAPI:
    """Return the application that serves a worker."""
    # The interactive pages would load scripts from elsewhere; the schema at /openapi.json stays.
    app = FastAPI(title="Headrace worker", docs_url=None, redoc_url=None)
    api = _Api(worker)
    for method, path, endpoint, parameters in (
        ("POST", "/topics/{topic}", api.ingest, ["key"]),
        ("GET", "/tables", api.list_tables, []),
        ("GET", "/tables/{table}", api.scan, ["limit", "cursor"]),
        ("GET", "/tables/{table}/{key:path}", api.get, ["window_start"]),
        ("GET", "/status", api.status, []),
        ("GET", "/healthz", api.health, []),
    ):
        app.add_api_route(path, endpoint, methods=[method], dependencies=[Depends(_only(parameters))])
    app.add_exception_handler(HeadraceError, _refuse)
    app.add_exception_handler(HTTPException, _refuse)
    app.add_exception_handler(RequestValidationError, _refuse)
    return app


def _only(known: Sequence[str]) -> Callable[[Request], None]:
    """Return a check that a request has no other parameters than the known ones."""

    def check(request: Request) -> None:
        unknown = [name for name in request.query_params if name not in known]
        if unknown:
            there = ", ".join(known) or "none"
            raise HTTPException(422, f"unknown parameter {unknown[0]!r}; known here: {there}")

    return check


class _Api:
    """The routes. Those that read the disk are plain functions: FastAPI runs them in threads."""

    def __init__(self, worker: Served) -> None:
        self._worker = worker

    async def ingest(
        self,
        request: Request,
        topic: str,
        content_type: Annotated[str, Header()] = "",
        headrace_key: Annotated[str | None, Header()] = None,
        key: Annotated[str | None, Query()] = None,
    ) -> Response:
        if topic not in self._worker.topics:
            known = ", ".join(self._worker.topics) or "none"
            raise HTTPException(404, f"topic {topic!r} takes no events; these do: {known}")
        values = split_events(content_type, await _read_body(request))
        chosen = headrace_key if headrace_key is not None else key
        keys: list[bytes | None] | None = None if chosen is None else [chosen.encode()] * len(values)
        await run_in_threadpool(self._worker.ingest, topic, values, keys)
        return _json({"accepted": len(values)})

    def list_tables(self) -> Response:
        return _json({"tables": [table.describe() for table in self._worker.tables]})

    def scan(
        self,
        table: str,
        limit: Annotated[int, Query(ge=1, le=MAX_LIMIT)] = DEFAULT_LIMIT,
        cursor: Annotated[int, Query(ge=0, le=_MAX_CURSOR)] = 0,
    ) -> Response:
        rows, following = self._find(table).page(limit, cursor)
        return _json({"rows": rows, "cursor": following})

    def get(self, table: str, key: str, window_start: Annotated[datetime | None, Query()] = None) -> Response:
        found = self._find(table)
        if window_start is not None and window_start.tzinfo is None:
            window_start = window_start.replace(tzinfo=UTC)
        return _json({"rows": found.rows(key, window_start)})

    def status(self) -> Response:
        return _json(self._worker.status())

    async def health(self) -> Response:
        return _json({"service": SERVICE, "status": "ok"})

    def _find(self, name: str) -> Table:
        table = self._worker.tables.find(name)
        if table is None:
            raise HTTPException(404, self._worker.tables.unknown(name))
        return table


async def _read_body(request: Request) -> bytes:
    if request.headers.get("content-encoding", "identity") != "identity":
        raise BadRequest(415, "Content-Encoding: expected none; send the body uncompressed")
    too_large = BadRequest(
        413, f"the body is larger than {MAX_BODY_BYTES >> 20} MB; send the events in several requests"
    )
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > MAX_BODY_BYTES:
        raise too_large
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise too_large
    return bytes(body)


def _json(value: object, status: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status, media_type="application/json")


async def _refuse(_request: Request, error: Exception) -> Response:
    match error:
        case RequestValidationError():
            faults = (f"{f['loc'][-1]}: {f['msg']}, got {repr(f['input'])[:_SHOWN]}" for f in error.errors())
            return _json({"error": "; ".join(faults)}, 422)
        case HTTPException():
            return _json({"error": error.detail}, error.status_code)
        case BadRequest():
            return _json({"error": str(error)}, error.status)
        case StateError():
            return _json({"error": str(error)}, 503)
        case _:
            return _json({"error": str(error)}, 400 if isinstance(error, ConfigError) else 500)

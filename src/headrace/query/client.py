"""Ask a running worker over HTTP. Needs the extra ``headrace[query]``."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import msgspec

from headrace.errors import ConfigError, HeadraceError

try:
    import httpx
except ImportError as error:
    msg = "queries to a running worker need httpx: pip install 'headrace[query]'"
    raise ImportError(msg) from error

Row = dict[str, Any]

_TIMEOUT_SECONDS = 30.0
_PROBE_SECONDS = 2.0


class Client:
    """Reads the tables of one worker, and sends it events.

    Every method raises ConfigError if the worker refuses the request (its message says why), and
    HeadraceError if it does not answer.
    """

    def __init__(self, url: str) -> None:
        """Name the worker by the URL that it printed."""
        # A proxy of the environment has no business between processes of one machine.
        self._http = httpx.Client(base_url=url, timeout=_TIMEOUT_SECONDS, trust_env=False)

    def __enter__(self) -> Self:
        """Return the client."""
        return self

    def __exit__(self, _t: type[BaseException] | None, _e: BaseException | None, _b: TracebackType | None) -> None:
        """Close the connections."""
        self._http.close()

    def alive(self) -> bool:
        """Tell whether a Headrace worker answers."""
        try:
            reply = self._http.get("/healthz", timeout=_PROBE_SECONDS)
            found = msgspec.json.decode(reply.content)
        except (httpx.HTTPError, msgspec.DecodeError):
            return False
        return isinstance(found, dict) and found.get("service") == "headrace"

    def tables(self) -> list[Row]:
        """Return what tables there are."""
        found: list[Row] = self._ask("GET", "/tables")["tables"]
        return found

    def rows(self, table: str, key: str, window_start: datetime | None = None) -> list[Row]:
        """Return the rows of a key, given as text (a JSON array for several columns)."""
        params = {} if window_start is None else {"window_start": window_start.isoformat()}
        # A key of dots alone would be read as a step up the path.
        part = quote(key, safe="").replace(".", "%2E")
        found: list[Row] = self._ask("GET", f"/tables/{quote(table, safe='')}/{part}", params)["rows"]
        return found

    def scan(self, table: str, *, limit: int, cursor: str = "") -> tuple[list[Row], str | None]:
        """Return up to ``limit`` rows, and the cursor of the next page if there is one."""
        params = {"limit": str(limit)} | ({"cursor": cursor} if cursor else {})
        reply = self._ask("GET", f"/tables/{quote(table, safe='')}", params)
        return reply["rows"], reply["cursor"]

    def send(self, topic: str, events: list[bytes], *, key: str | None = None) -> int:
        """Append JSON events to a topic; return how many were accepted."""
        headers = {"content-type": "application/x-ndjson"} | ({"headrace-key": key} if key is not None else {})
        reply = self._ask("POST", f"/topics/{quote(topic, safe='')}", content=b"\n".join(events), headers=headers)
        return int(reply["accepted"])

    def status(self) -> Row:
        """Return the worker's counters and watermarks."""
        return self._ask("GET", "/status")

    def _ask(
        self,
        method: str,
        path: str,
        params: dict[str, str] | None = None,
        *,
        content: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> Row:
        try:
            reply = self._http.request(method, path, params=params, content=content, headers=headers)
            found: Row = msgspec.json.decode(reply.content, type=dict[str, Any])
        except (httpx.HTTPError, msgspec.DecodeError) as error:
            msg = f"the worker at {self._http.base_url} did not answer: {type(error).__name__}: {error}"
            raise HeadraceError(msg) from error
        if reply.is_success:
            return found
        text = str(found.get("error", reply.status_code))
        raise ConfigError(text) if reply.is_client_error else HeadraceError(text)


def find_worker(data_dir: Path) -> Client | None:
    """Return a client of the worker that runs on a data directory, or None if none answers."""
    try:
        url = (data_dir / "http.url").read_text(encoding="utf-8").strip()
    except OSError:
        return None
    if not url:
        return None
    client = Client(url)
    if client.alive():
        return client
    client.__exit__(None, None, None)
    return None

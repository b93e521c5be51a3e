"""Run the HTTP server in a thread beside the worker, and say where it is."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

from headrace.errors import ConfigError
from headrace.query.http import Served, make_app

try:
    import uvicorn
except ImportError as error:
    msg = "the HTTP server needs FastAPI and uvicorn: pip install 'headrace[query]'"
    raise ImportError(msg) from error

URL_FILE = "http.url"

_STOP_SECONDS = 5


@contextlib.contextmanager
def serve(
    worker: Served, data_dir: Path, *, host: str = "127.0.0.1", port: int = 0, or_any_port: bool = False
) -> Iterator[str]:
    """Serve a worker until the block ends; yield the URL.

    The URL also stands in ``<data_dir>/http.url``, where the command line finds it.

    Args:
        worker: What to serve.
        data_dir: The worker's data directory; it exists.
        host: The address to listen on.
        port: The port to listen on; 0 takes a free one.
        or_any_port: Take a free one if the port is taken.

    Raises:
        ConfigError: the address cannot be listened on.
    """
    listener = _listen_somewhere(host, port) if or_any_port else _listen(host, port)
    config = uvicorn.Config(
        make_app(worker),
        lifespan="off",
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=_STOP_SECONDS - 1,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="headrace-http", daemon=True)
    url = _url(listener)
    place = data_dir / URL_FILE
    thread.start()
    try:
        place.write_text(url + "\n", encoding="utf-8")
        yield url
    finally:
        server.should_exit = True
        thread.join(_STOP_SECONDS)
        listener.close()
        place.unlink(missing_ok=True)


def _listen_somewhere(host: str, port: int) -> socket.socket:
    try:
        return _listen(host, port)
    except ConfigError:
        return _listen(host, 0)


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        msg = f"cannot listen on {host}:{port}: {error}"
        raise ConfigError(msg) from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        # From here on connections wait in the queue, even before uvicorn looks at them.
        listener.listen(1024)
    except OSError as error:
        listener.close()
        msg = f"cannot listen on {host}:{port}: {error.strerror}. Give another with --http HOST:PORT, or --no-http."
        raise ConfigError(msg) from error
    return listener


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

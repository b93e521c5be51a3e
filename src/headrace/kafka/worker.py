"""One worker process of a fleet: a Faust app with topologies on it, run until a signal."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import faust

from headrace.errors import HeadraceError
from headrace.kafka.errors import UnreachableError
from headrace.kafka.installation import Installation
from headrace.kafka.layout import lay_out
from headrace.kafka.reaching import reach
from headrace.kafka.security import connection_options
from headrace.kafka.settings import FleetSettings
from headrace.kafka.status import Observer, WorkerStatus
from headrace.kafka.topics import prepare_topics
from headrace.kafka.topics_admin import TopicAdmin
from headrace.plan import Plan
from headrace.runtime.garbage import calm

_log = logging.getLogger("headrace.worker")
_HEARTBEATS = 5.0  # in a session
_LONGEST_STOP_S = 20.0  # orchestrators kill after 30 s
_WATCH_S = 0.25

Watch = Callable[[WorkerStatus], None]


def make_app(settings: FleetSettings) -> Any:
    """Return an app for topologies alone: no web server, no tables, no leader topic."""
    session = settings.session_timeout.total_seconds()
    rebalance = settings.rebalance_timeout.total_seconds()
    security = connection_options(settings)
    return faust.App(
        settings.group,
        broker=f"kafka://{settings.brokers.replace(',', ';')}",
        store="memory://",
        datadir=tempfile.mkdtemp(prefix="headrace-faust-"),
        web_enabled=False,
        topic_disable_leader=True,
        broker_session_timeout=session,
        broker_heartbeat_interval=session / _HEARTBEATS,
        broker_rebalance_timeout=rebalance,
        broker_request_timeout=max(rebalance, session) * 2,
        broker_max_poll_interval=max(rebalance, session) * 4,
        consumer_group_instance_id=settings.worker,
        broker_credentials=credentials(security),
    )


def credentials(security: dict[str, Any]) -> Any:
    """Return connection options as what Faust takes for credentials; None without security."""
    protocol = security["security_protocol"]
    context = security.get("ssl_context")
    if protocol.startswith("SASL"):
        return faust.SASLCredentials(
            username=security["sasl_plain_username"],
            password=security["sasl_plain_password"],
            mechanism=security["sasl_mechanism"],
            ssl_context=context,
        )
    return faust.SSLCredentials(context=context) if protocol == "SSL" else None


def run_worker(
    plans: Sequence[Plan],
    settings: FleetSettings,
    *,
    on_ready: Callable[[Installation], None] | None = None,
    watch: Watch | None = None,
    parent: int | None = None,
) -> int | None:
    """Run topologies until SIGTERM or SIGINT; then commit, leave the group and return the signal's number.

    A second signal ends the process at once: what is not committed is processed again at the next start.

    Args:
        plans: what to run.
        settings: how.
        on_ready: is called once, when the worker has joined.
        watch: is called some times a second with what the worker is doing.
        parent: the process that supervises this one: the worker stops when it is gone. Returns None then.

    Raises:
        HeadraceError: the worker cannot go on; what was not committed is processed again at the next start.
    """
    calm()
    return asyncio.run(_Run(plans, settings, on_ready, watch, parent).run())


class _Run:
    """One run of a worker."""

    def __init__(
        self,
        plans: Sequence[Plan],
        settings: FleetSettings,
        on_ready: Callable[[Installation], None] | None,
        watch: Watch | None,
        parent: int | None,
    ) -> None:
        self._plans, self._settings, self._parent = plans, settings, parent
        self._on_ready, self._watch = on_ready, watch
        self._observer = Observer()
        self._signal: int | None = None
        self._stopping = asyncio.Event()

    async def run(self) -> int | None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal, number)
        if await self._until_stopped(self._prepare()):
            await self._serve()
        return self._signal

    def _on_signal(self, number: int) -> None:
        if self._stopping.is_set():
            os._exit(128 + number)
        self._signal = number
        _log.info("stopping on %s: committing and leaving the group", signal.Signals(number).name)
        self._stopping.set()

    async def _until_stopped(self, work: Coroutine[Any, Any, None]) -> bool:
        """Return whether the work was done before somebody asked to stop."""
        working, stopping = asyncio.ensure_future(work), asyncio.ensure_future(self._stopping.wait())
        await asyncio.wait([working, stopping], return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if working.done():
            working.result()
            return True
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
        return False

    async def _prepare(self) -> None:
        """Find out before the group is joined whether the brokers answer and the topics can be used."""
        layout = lay_out(self._settings.group, self._plans)
        await reach(self._settings)
        async with TopicAdmin(self._settings.brokers, **connection_options(self._settings)) as admin:
            await prepare_topics(admin, layout, self._settings)

    async def _serve(self) -> None:
        app = make_app(self._settings)
        installation = Installation(app, self._plans, self._settings)
        watching = asyncio.create_task(self._watching(installation), name="headrace-watch")
        try:
            if await self._until_stopped(app.start()):
                if self._on_ready is not None:
                    self._on_ready(installation)
                await self._until_stopped(app.wait_until_stopped())
        except Exception as error:
            raise _told(error) from error
        finally:
            watching.cancel()
            self._look(installation)
            await _stop(app)
            shutil.rmtree(app.conf.datadir, ignore_errors=True)
            self._look(installation)
        reason = app.crash_reason
        if reason is not None:
            raise _told(reason) from reason

    async def _watching(self, installation: Installation) -> None:
        while not self._stopping.is_set():
            self._look(installation)
            if self._parent is not None and os.getppid() != self._parent:
                _log.warning("the supervisor is gone: stopping")
                self._stopping.set()
            await asyncio.sleep(_WATCH_S)

    def _look(self, installation: Installation) -> None:
        if self._watch is not None and installation.fleet is not None:
            self._watch(self._observer.look(installation.fleet))


async def _stop(app: Any) -> None:
    """Stop the app, within a bound.

    Raises:
        UnreachableError: it did not get done in time.
    """
    try:
        async with asyncio.timeout(_LONGEST_STOP_S):
            await app.stop()
    except TimeoutError as error:
        message = (
            f"the worker did not get its last commit done in {_LONGEST_STOP_S:g} s. Nothing is lost: "
            "what was not committed is processed again at the next start"
        )
        raise UnreachableError(message) from error


def _told(reason: BaseException) -> HeadraceError:
    """Return why the worker stopped as an error of ours."""
    cause: BaseException | None = reason
    while cause is not None:  # Faust's services wrap what is raised within them
        if isinstance(cause, HeadraceError):
            return cause
        cause = cause.__cause__
    return HeadraceError(f"the worker stopped: {type(reason).__name__}: {reason} (headrace --debug worker: where)")

"""The first connection: waiting for a broker, and saying what is wrong if none can be used."""

from __future__ import annotations

import asyncio
import logging
import os
import ssl
import time
from contextlib import suppress
from typing import Any

from aiokafka.conn import create_conn
from aiokafka.errors import (
    AuthenticationFailedError,
    IllegalSaslStateError,
    KafkaError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)
from aiokafka.protocol.metadata import MetadataRequest

from headrace.errors import ConfigError
from headrace.kafka.errors import NotAuthorizedError, UnreachableError
from headrace.kafka.security import connection_options
from headrace.kafka.settings import FleetSettings

_log = logging.getLogger("headrace.worker")
_TRY_S, _PAUSE_S = 5.0, 0.5
_REFUSED = (
    AuthenticationFailedError,
    IllegalSaslStateError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)


async def reach(settings: FleetSettings) -> None:
    """Return as soon as one of the brokers answers, and has taken our login.

    Raises:
        UnreachableError: none does in ``connect_timeout``; says what came of each address.
        NotAuthorizedError: a broker refuses the login. Waiting would not help.
        ConfigError: the certificates do not fit.
    """
    security = connection_options(settings)
    longest = settings.connect_timeout.total_seconds()
    deadline = time.monotonic() + longest
    told = False
    while True:
        failures = []
        for address in settings.brokers.split(","):
            failure = await _try(address, settings, security, max(0.1, min(_TRY_S, deadline - time.monotonic())))
            if failure is None:
                return
            failures.append(f"{address}: {failure}")
        if time.monotonic() >= deadline:
            message = (
                f"no broker answers (tried for {longest:g} s): {'; '.join(failures)}. "
                "Check the addresses, and that the brokers run"
            )
            raise UnreachableError(message)
        if not told:
            told = True
            _log.info("no broker answers yet, trying for %g s: %s", longest, "; ".join(failures))
        await asyncio.sleep(_PAUSE_S)


async def _try(address: str, settings: FleetSettings, security: dict[str, Any], seconds: float) -> str | None:
    """Return what is wrong with a broker that may be mended by waiting; None if it answers."""
    host, _, port = address.rpartition(":")
    try:
        async with asyncio.timeout(seconds):
            await _ask(host.strip("[]"), int(port), request_timeout_ms=int(seconds * 1000), **security)
    except _REFUSED as error:
        message = (
            f"{address} refuses the login of {settings.sasl_username!r} by {settings.sasl_mechanism}: "
            f"{_text(error)}. Check sasl_mechanism, sasl_username and sasl_password"
        )
        raise NotAuthorizedError(message) from error
    except ssl.SSLCertVerificationError as error:
        message = f"{address}: its certificate is not trusted: {error.verify_message}. Check ssl_cafile and the address"
        raise ConfigError(message) from error
    except ssl.SSLError as error:
        return f"TLS failed ({error.reason or error}): does this port want security_protocol {_other(settings)}?"
    except TimeoutError:
        return f"no answer in {seconds:.1f} s"
    except (KafkaError, OSError) as error:
        return _guess(error, settings)
    return None


async def _ask(host: str, port: int, **options: Any) -> None:
    """Connect, log in, and ask something: a broker that wants a login takes the connection, and hangs up then."""
    connection = await create_conn(host, port, **options)
    try:
        await connection.send(MetadataRequest([]))
    finally:
        with suppress(Exception):
            connection.close()


def _guess(error: Exception, settings: FleetSettings) -> str:
    if isinstance(error, OSError) and not isinstance(error, ConnectionResetError | BrokenPipeError):
        number = error.errno or 0
        return os.strerror(number) if number > 0 else error.strerror or str(error)
    # A broker that hears another protocol than it expects hangs up; so it does if it misses a certificate.
    other = f"another security_protocol than {settings.security_protocol}"
    if settings.security_protocol.endswith("SSL") and settings.ssl_certfile is None:
        other = f"a certificate of this worker (ssl_certfile), or {other}"
    return f"{_text(error)}: does this port want {other}?"


def _other(settings: FleetSettings) -> str:
    return "SASL_PLAINTEXT" if settings.security_protocol.startswith("SASL") else "PLAINTEXT"


def _text(error: Exception) -> str:
    return str(error) or type(error).__name__

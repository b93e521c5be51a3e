"""From settings to the options with which connections are made."""

from __future__ import annotations

import ssl
from typing import Any

from headrace.errors import ConfigError
from headrace.kafka.settings import FleetSettings


def connection_options(settings: FleetSettings) -> dict[str, Any]:
    """Return the security options of a connection, under the client library's names.

    Raises:
        ConfigError: a certificate cannot be read, or something that belongs to the protocol is missing, or something
            is given that the protocol would not use.
    """
    protocol = settings.security_protocol
    options: dict[str, Any] = {"security_protocol": protocol}
    _refuse_unused(settings)
    if protocol.endswith("SSL"):
        options["ssl_context"] = _context(settings)
    if protocol.startswith("SASL"):
        if settings.sasl_username is None or settings.sasl_password is None:
            given = [name for name in ("sasl_username", "sasl_password") if getattr(settings, name) is not None]
            msg = (
                f"security_protocol {protocol}: expected sasl_username and sasl_password, "
                f"got {' and '.join(given) or 'none of them'}"
            )
            raise ConfigError(msg)
        options |= {
            "sasl_mechanism": settings.sasl_mechanism,
            "sasl_plain_username": settings.sasl_username,
            "sasl_plain_password": settings.sasl_password.get_secret_value(),
        }
    return options


def _refuse_unused(settings: FleetSettings) -> None:
    """Refuse a password or a certificate that a connection would silently do without."""
    protocol = settings.security_protocol
    unused = [
        name
        for name in ("sasl_username", "sasl_password", "ssl_cafile", "ssl_certfile", "ssl_keyfile")
        if getattr(settings, name) is not None
        and not (protocol.startswith("SASL") if name.startswith("sasl") else protocol.endswith("SSL"))
    ]
    if unused:
        sasl, tls = any(name.startswith("sasl") for name in unused), any(name.startswith("ssl") for name in unused)
        sasl, tls = sasl or protocol.startswith("SASL"), tls or protocol.endswith("SSL")
        meant = "SASL_SSL" if sasl and tls else "SASL_PLAINTEXT or SASL_SSL" if sasl else "SSL"
        msg = f"security_protocol {protocol} does not use {', '.join(unused)}: set it to {meant}, or leave them out"
        raise ConfigError(msg)


def _context(settings: FleetSettings) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=settings.ssl_cafile)
        if settings.ssl_certfile is not None:
            # Without a password given, a key that has one would make OpenSSL ask for it on the terminal.
            password = settings.ssl_keypassword.get_secret_value() if settings.ssl_keypassword is not None else ""
            context.load_cert_chain(settings.ssl_certfile, settings.ssl_keyfile, password)
    except (OSError, ssl.SSLError) as error:
        msg = f"TLS: the certificates cannot be read: {error}. Check ssl_cafile, ssl_certfile and ssl_keyfile"
        raise ConfigError(msg) from error
    return context

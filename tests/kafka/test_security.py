"""Logins and certificates, on a real broker with a listener for each."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from headrace.errors import ConfigError
from headrace.kafka.security import connection_options
from headrace.kafka.settings import FleetSettings
from tests.kafka.broker import HOST, Broker, free_ports
from tests.kafka.conftest import _owner
from tests.kafka.fleets import Shop, make_shop, started
from tests.kafka.install import Unavailable, libraries
from tests.skips import cannot

SECRET = "hunter2-is-secret"
LISTENERS = {"SASL": "SASL_PLAINTEXT", "TLS": "SSL", "BOTH": "SASL_SSL"}
OPTIONS = {
    "SASL": {"HEADRACE_SECURITY_PROTOCOL": "SASL_PLAINTEXT", "HEADRACE_SASL_USERNAME": "ada"},
    "TLS": {"HEADRACE_SECURITY_PROTOCOL": "SSL"},
    "BOTH": {"HEADRACE_SECURITY_PROTOCOL": "SASL_SSL", "HEADRACE_SASL_USERNAME": "ada"},
}


class Secured:
    """A broker with three more listeners; the plain one is for the tests themselves."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.broker = Broker(directory / "broker", owner=_owner(), heap="384m")
        self.ports = dict(zip(LISTENERS, free_ports(3), strict=True))
        self._make_certificates()
        self.broker.settings = self._settings()

    def address(self, listener: str) -> str:
        return f"{HOST}:{self.ports[listener]}"

    def environment(self, listener: str, mechanism: str = "PLAIN", password: str = SECRET) -> dict[str, str]:
        """Return the settings of a worker that connects by a listener."""
        found = dict(OPTIONS[listener])
        if listener != "TLS":
            found |= {"HEADRACE_SASL_MECHANISM": mechanism, "HEADRACE_SASL_PASSWORD": password}
        if listener != "SASL":
            found["HEADRACE_SSL_CAFILE"] = str(self.directory / "ca.pem")
        if listener == "TLS":
            files = {"HEADRACE_SSL_CERTFILE": "worker.pem", "HEADRACE_SSL_KEYFILE": "worker.key"}
            found |= {name: str(self.directory / file) for name, file in files.items()}
            found["HEADRACE_SSL_KEYPASSWORD"] = SECRET
        return found

    def add_scram_users(self) -> None:
        for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512"):
            self._run(
                *("java", "-Xmx96m", "-XX:+UseSerialGC", "-cp", f"{libraries()}/*", "kafka.admin.ConfigCommand"),
                *("--bootstrap-server", self.broker.bootstrap, "--alter", "--entity-type", "users"),
                *("--entity-name", "ada", "--add-config", f"{mechanism}=[password={SECRET}]"),
            )

    def _settings(self) -> dict[str, str]:
        plain = f"PLAINTEXT://{self.broker.bootstrap}"
        more = [f"{name}://{self.address(name)}" for name in LISTENERS]
        protocols = ["CONTROLLER:PLAINTEXT", "PLAINTEXT:PLAINTEXT", *(f"{n}:{p}" for n, p in LISTENERS.items())]
        found = {
            "listeners": ",".join([plain, f"CONTROLLER://{HOST}:{self.broker.controller_port}", *more]),
            "advertised.listeners": ",".join([plain, *more]),
            "listener.security.protocol.map": ",".join(protocols),
            "inter.broker.listener.name": "PLAINTEXT",
            "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(self.directory / "broker.pem"),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(self.directory / "ca.pem"),
            "listener.name.tls.ssl.client.auth": "required",
        }
        module = "org.apache.kafka.common.security"
        for name in ("sasl", "both"):
            jaas = f"listener.name.{name}"
            login = f'{module}.plain.PlainLoginModule required user_ada="{SECRET}";'
            found[f"{jaas}.plain.sasl.jaas.config"] = login
            for mechanism in ("scram-sha-256", "scram-sha-512"):
                found[f"{jaas}.{mechanism}.sasl.jaas.config"] = f"{module}.scram.ScramLoginModule required;"
        return found

    def _make_certificates(self) -> None:
        """Make an authority, the broker's certificate for its address, and the worker's, its key with a password."""
        make = ("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2")
        self._run(*make, "-subj", "/CN=authority", "-keyout", "ca.key", "-out", "ca.pem")
        for name in ("broker", "worker"):
            subject = ("-subj", f"/CN={name}", "-addext", f"subjectAltName=IP:{HOST}")
            self._run(
                *(*make, "-CA", "ca.pem", "-CAkey", "ca.key", *subject),
                *("-addext", "basicConstraints=critical,CA:false", "-keyout", f"{name}.plain", "-out", f"{name}.pem"),
            )
        certificate, key = self.directory / "broker.pem", self.directory / "broker.plain"
        certificate.write_text(key.read_text() + certificate.read_text())
        lock = ("openssl", "pkcs8", "-topk8", "-v2", "aes256", "-passout", f"pass:{SECRET}")
        self._run(*lock, "-in", "worker.plain", "-out", "worker.key")

    def _run(self, *command: str) -> None:
        done = subprocess.run(command, cwd=self.directory, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    made = Secured(tmp_path_factory.mktemp("secured"))
    try:
        made.broker.start()
    except Unavailable as error:
        cannot(error)
    made.add_scram_users()
    yield made
    made.broker.kill()


@pytest.fixture
def shop(tmp_path: Path, secured: Secured) -> Shop:
    return make_shop(tmp_path, secured.broker.bootstrap)


@pytest.mark.parametrize(
    ("listener", "mechanism"),
    [("SASL", "PLAIN"), ("SASL", "SCRAM-SHA-256"), ("BOTH", "SCRAM-SHA-512"), ("TLS", "")],
    ids=["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512 over TLS", "mutual TLS"],
)
def test_a_worker_reads_and_writes_by_a_secured_listener(
    secured: Secured, shop: Shop, listener: str, mechanism: str
) -> None:
    environ = secured.environment(listener, mechanism) | {"HEADRACE_BROKERS": secured.address(listener)}
    planned = shop.run("topics", "plan", "shop.py", "--json", **environ)
    assert planned.code == 0, planned.err
    assert {row["state"] for row in json.loads(planned.out)} == {"ok", "create"}
    shop.feed(0, 40, amount=lambda n: n - 1)
    with started(shop, "worker", "shop.py", "--state-dir", "state", **environ) as worker:
        worker.until("running: ")
        shop.until_read(40)
        assert worker.stop(signal.SIGTERM) == 0, worker.log
        assert SECRET not in worker.log
    assert sum(shop.revenue().values()) == 39
    assert shop.run("dlq", "replay", shop.name, **environ).err.endswith("replayed 1\n")


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256"])
def test_a_wrong_password_is_said_at_once_and_not_shown(secured: Secured, shop: Shop, mechanism: str) -> None:
    environ = secured.environment("SASL", mechanism, "wrong-" + SECRET) | {"HEADRACE_BROKERS": secured.address("SASL")}
    done = shop.run("worker", "shop.py", **environ)
    assert done.code == 1
    assert f"{secured.address('SASL')} refuses the login of 'ada' by {mechanism}: " in done.err
    assert done.err.endswith("Check sasl_mechanism, sasl_username and sasl_password\n")
    assert SECRET not in done.err


def test_a_certificate_that_is_not_trusted_is_said_at_once(secured: Secured, shop: Shop) -> None:
    environ = {"HEADRACE_SECURITY_PROTOCOL": "SSL", "HEADRACE_BROKERS": secured.address("TLS")}
    done = shop.run("worker", "shop.py", **environ)
    assert done.code == 2
    assert f"headrace: {secured.address('TLS')}: its certificate is not trusted: " in done.err


def test_a_certificate_that_is_missing_is_said(secured: Secured, shop: Shop) -> None:
    environ = secured.environment("TLS") | {"HEADRACE_BROKERS": secured.address("TLS")}
    environ = {name: text for name, text in environ.items() if "CERT" not in name and "KEY" not in name}
    done = shop.run("worker", "shop.py", HEADRACE_CONNECT_TIMEOUT="1s", **environ)
    assert done.code == 1
    assert "ssl_certfile" in done.err, done.err


@pytest.mark.parametrize(("listener", "protocol"), [("TLS", "PLAINTEXT"), ("SASL", "PLAINTEXT"), ("SASL", "SSL")])
def test_a_listener_of_another_protocol_is_guessed(secured: Secured, shop: Shop, listener: str, protocol: str) -> None:
    environ = {"HEADRACE_SECURITY_PROTOCOL": protocol, "HEADRACE_BROKERS": secured.address(listener)}
    done = shop.run("worker", "shop.py", HEADRACE_CONNECT_TIMEOUT="1s", **environ)
    assert done.code == 1
    assert "does this port want " in done.err, done.err
    assert "security_protocol" in done.err


def settings(**values: object) -> FleetSettings:
    return FleetSettings.of(brokers="localhost", group="g", **values)


def test_what_a_protocol_needs_and_what_it_does_not_use_is_said() -> None:
    with pytest.raises(ConfigError, match=r"SASL_SSL: expected sasl_username and sasl_password, got sasl_username"):
        connection_options(settings(security_protocol="SASL_PLAINTEXT", sasl_username="ada").model_copy(
            update={"security_protocol": "SASL_SSL"}
        ))  # fmt: skip
    with pytest.raises(ConfigError, match=r"PLAINTEXT does not use sasl_password: set it to SASL_PLAINTEXT or SASL_S"):
        connection_options(settings(sasl_password=SECRET))
    with pytest.raises(ConfigError, match=r"SASL_PLAINTEXT does not use ssl_cafile: set it to SASL_SSL, or leave"):
        connection_options(
            settings(security_protocol="SASL_PLAINTEXT", sasl_username="a", sasl_password="b", ssl_cafile="ca.pem")
        )
    with pytest.raises(ConfigError, match=r"TLS: the certificates cannot be read: .* Check ssl_cafile, ssl_certfile"):
        connection_options(settings(security_protocol="SSL", ssl_cafile="no-such-file.pem"))


def test_passwords_are_shown_nowhere() -> None:
    made = settings(security_protocol="SASL_SSL", sasl_username="ada", sasl_password=SECRET, ssl_keypassword=SECRET)
    assert SECRET not in f"{made!r} {made} {made.model_dump_json()}"
    for wrong in ({"sasl_pasword": SECRET}, {"sasl_password": [SECRET]}, {"ssl_key_passphrase": SECRET}):
        with pytest.raises(ConfigError) as raised:
            settings(**wrong)
        assert SECRET not in str(raised.value)


def test_settings_survive_the_way_through_the_environment() -> None:
    made = settings(sasl_password=SECRET, sasl_username="ada", commit_interval="1m30s", cache_bytes="3MiB", standbys=2)
    assert FleetSettings.from_env("HEADRACE_", made.to_env()) == made

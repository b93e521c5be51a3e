"""The broker of the Kafka tests."""

from tests.kafka.conftest import bootstrap, own_broker

__all__ = ["bootstrap", "own_broker"]

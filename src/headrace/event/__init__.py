"""Events: schemas, the CloudEvents envelope, versions, and compiled decoders."""

from headrace.event.decoder import REFUSALS, Decoder, compile_decoder
from headrace.event.model import Envelope, Event
from headrace.event.schema import default_time, schema_type
from headrace.event.versions import check_versions, compatible, schema_json, upcaster

__all__ = [
    "REFUSALS",
    "Decoder",
    "Envelope",
    "Event",
    "check_versions",
    "compatible",
    "compile_decoder",
    "default_time",
    "schema_json",
    "schema_type",
    "upcaster",
]

"""Events: frozen pydantic models in a CloudEvents 1.0 envelope (structured JSON)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, ClassVar, Literal, Self
from uuid import uuid4

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import to_json

__all__ = ["Envelope", "Event"]


def _now() -> datetime:
    return datetime.now(UTC)


def _new_id() -> str:
    return str(uuid4())


class Envelope(BaseModel):
    """The CloudEvents attributes of one event.

    On the wire, extension attributes go by lower-case names without underscores, as CloudEvents
    demands: ``entity_type`` is ``entitytype``.
    """

    model_config = ConfigDict(frozen=True, validate_by_name=True, validate_by_alias=True)

    id: str = Field(default_factory=_new_id, min_length=1)
    source: str = Field(default="headrace", min_length=1)
    type: str = ""
    specversion: Literal["1.0"] = "1.0"
    subject: str | None = None
    time: datetime = Field(default_factory=_now)
    dataversion: int = Field(default=1, ge=1)
    entity_type: str | None = Field(default=None, alias="entitytype")
    entity_id: str | None = Field(default=None, alias="entityid")
    tenant: str | None = None
    user: str | None = None
    session: str | None = None
    request: str | None = None
    correlation: str | None = None
    causation: str | None = None
    traceparent: str | None = None
    sequence: int | None = None
    replay: bool | None = None


class Event(BaseModel):
    """Base of event models: ``class OrderPlaced(Event, type="shop.order.placed", version=2)``.

    Instances are frozen. The envelope's id and time are made when an instance is constructed.

    >>> class Greeted(Event, type="doc.greeted"):
    ...     name: str
    >>> Greeted.of(name="Ada", tenant="acme").envelope.tenant
    'acme'
    """

    model_config = ConfigDict(frozen=True)

    event_type: ClassVar[str] = ""
    event_version: ClassVar[int] = 1

    envelope: Envelope = Field(default_factory=Envelope, repr=False)

    def __init_subclass__(cls, *, type: str = "", version: int = 1, **settings: Any) -> None:  # noqa: A002
        """Keep the type name and the version of the data.

        Raises:
            ValueError: the version is below 1.
        """
        super().__init_subclass__(**settings)
        if version < 1:
            msg = f"event {cls.__name__}: version must be 1 or more, got {version}"
            raise ValueError(msg)
        cls.event_type = type or cls.__name__
        cls.event_version = version

    def model_post_init(self, _context: object, /) -> None:
        """Complete the envelope with the type and version of this class."""
        update = {"type": self.event_type, "dataversion": self.event_version}
        if any(getattr(self.envelope, name) != value for name, value in update.items()):
            self.__dict__["envelope"] = self.envelope.model_copy(update=update)

    @classmethod
    def of(cls, **fields: Any) -> Self:
        """Construct from data fields and envelope attributes; a data field wins where both have a name."""
        attributes = {k: fields.pop(k) for k in list(fields) if k in Envelope.model_fields and not cls._has(k)}
        if attributes:
            given = fields.get("envelope")
            base = given.model_dump() if isinstance(given, Envelope) else dict(given or {})
            fields["envelope"] = Envelope.model_validate(base | attributes)
        return cls(**fields)

    @classmethod
    def _has(cls, name: str) -> bool:
        return name in cls.model_fields or any(info.alias == name for info in cls.model_fields.values())

    def to_json(self) -> bytes:
        """Return the event as structured CloudEvents JSON."""
        envelope = self.envelope.model_dump(mode="json", by_alias=True, exclude_none=True)
        head = {name: envelope.pop(name) for name in ("specversion", "id", "source", "type", "time")}
        data = self.model_dump(mode="json", by_alias=True, exclude={"envelope"})
        return to_json(
            head | {"datacontenttype": "application/json"} | envelope | {"data": data}, inf_nan_mode="constants"
        )

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Read structured CloudEvents JSON; data of an older version is upcast first.

        Raises:
            DataError: the record is not a good event of this type.
        """
        from headrace.event.wire import read_event  # noqa: PLC0415 - the reader knows versions, which know events

        return read_event(cls, data)


# The only thing it does is complete the envelope, so decoders need not run it.
Event.model_post_init.headrace_benign = True  # type: ignore[attr-defined]

"""Commerce: page views, orders, payments, shipments. The tenant is an attribute of the envelope."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from headrace.event import Event

Money = Annotated[Decimal, Field(ge=0, max_digits=12, decimal_places=2)]
Currency = Literal["EUR", "GBP", "USD"]
Country = Annotated[str, Field(pattern=r"^[A-Z]{2}$")]
OrderId = Annotated[str, Field(pattern=r"^o-[0-9a-f]{8,32}$")]
Sku = Annotated[str, Field(pattern=r"^[A-Z]{2,4}-[0-9]{3,6}$")]


class Address(BaseModel):
    """Where goods go."""

    model_config = ConfigDict(frozen=True)

    street: Annotated[str, Field(min_length=1, max_length=200)]
    city: Annotated[str, Field(min_length=1, max_length=100)]
    postcode: Annotated[str, Field(pattern=r"^[A-Z0-9][A-Z0-9 -]{2,9}$")]
    country: Country


class OrderLine(BaseModel):
    """One line of an order. ``line`` numbers the lines of an order from 1: a product may occur twice."""

    model_config = ConfigDict(frozen=True)

    line: Annotated[int, Field(ge=1, le=500)]
    sku: Sku
    quantity: Annotated[int, Field(ge=1, le=1000)]
    unit_price: Money
    gift_note: Annotated[str, Field(max_length=500)] | None = None


class OrderPlaced(Event, type="commerce.order.placed"):
    """A customer bought something."""

    order_id: OrderId
    user_id: Annotated[str, Field(min_length=1, max_length=64)]
    currency: Currency = "EUR"
    items: Annotated[list[OrderLine], Field(min_length=1, max_length=500)]
    shipping_address: Address
    voucher: Annotated[str, Field(pattern=r"^[A-Z0-9]{4,16}$")] | None = None


class PaymentStatus(StrEnum):
    """How a payment ended."""

    CAPTURED = "captured"
    DECLINED = "declined"
    REFUNDED = "refunded"


class PaymentSettled(Event, type="commerce.payment.settled"):
    """A payment provider answered."""

    order_id: OrderId
    provider: Annotated[str, Field(min_length=1, max_length=40)]
    status: PaymentStatus
    amount: Money
    currency: Currency = "EUR"
    reason: str | None = None


class ShipmentDispatched(Event, type="commerce.shipment.dispatched"):
    """A parcel left the warehouse."""

    order_id: OrderId
    carrier: Annotated[str, Field(min_length=1, max_length=40)]
    warehouse: Annotated[str, Field(pattern=r"^[A-Z]{3}[0-9]$")]
    ordered_at: datetime
    parcels: Annotated[int, Field(ge=1, le=100)] = 1
    weight_kg: Annotated[float, Field(gt=0, allow_inf_nan=False)]


class PageViewed(BaseModel):
    """A browser showed a page: plain JSON from the web server, no envelope, time in epoch milliseconds."""

    model_config = ConfigDict(frozen=True)

    at: datetime
    tenant: Annotated[str, Field(min_length=1)]
    user_id: Annotated[str, Field(min_length=1, max_length=64)]
    path: Annotated[str, Field(pattern=r"^/", max_length=500)]
    duration_ms: Annotated[int, Field(ge=0)] = 0
    referrer: str | None = None


class OrderOverdue(BaseModel):
    """Derived: an order that was not paid, or not shipped, in time. ``due_at`` is when it should have been."""

    model_config = ConfigDict(frozen=True)

    order_id: OrderId
    tenant: str
    since: datetime
    due_at: datetime


class OrderPaid(BaseModel):
    """Derived: an order with its payment. ``amount`` is what the lines of the order come to."""

    model_config = ConfigDict(frozen=True)

    order_id: OrderId
    tenant: str
    amount: Money
    paid: Money
    currency: Currency
    provider: str
    placed_at: datetime
    paid_at: datetime

"""Inventory: plain JSON rows, as warehouse systems report them and as the fleet derives them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from schemas.commerce import Sku

Warehouse = Annotated[str, Field(pattern=r"^[A-Z]{3}[0-9]$")]


class StockLevel(BaseModel):
    """What a warehouse counted of a product. ``discontinued``: it no longer keeps that product."""

    model_config = ConfigDict(frozen=True)

    warehouse: Warehouse
    sku: Sku
    on_hand: Annotated[int, Field(ge=0)]
    reorder_point: Annotated[int, Field(ge=0)]
    capacity: Annotated[int, Field(gt=0)]
    counted_at: datetime
    discontinued: bool = False


class StockLow(BaseModel):
    """Derived: a warehouse has less of a product than its reorder point."""

    model_config = ConfigDict(frozen=True)

    warehouse: Warehouse
    sku: Sku
    on_hand: Annotated[int, Field(ge=0)]
    missing: Annotated[int, Field(gt=0)]
    counted_at: datetime


class ReplenishOrdered(BaseModel):
    """Derived: order this much of a product for a warehouse; at most once an hour."""

    model_config = ConfigDict(frozen=True)

    warehouse: Warehouse
    sku: Sku
    quantity: Annotated[int, Field(gt=0)]
    ordered_at: datetime


class StockOutForecast(BaseModel):
    """Derived: a place that will have sold its last piece of a product soon, or has. ``hours_left`` 0: it has."""

    model_config = ConfigDict(frozen=True)

    warehouse: Warehouse
    sku: Sku
    on_hand: Annotated[int, Field(ge=0)]
    units_per_hour: Annotated[float, Field(gt=0)]
    hours_left: Annotated[float, Field(ge=0)]
    demand_of: datetime
    counted_at: datetime

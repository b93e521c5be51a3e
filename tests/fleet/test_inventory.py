"""low-stock, and replenish behind it."""

from datetime import UTC, datetime, timedelta

from headrace.testing import TopologyDriver
from schemas.inventory import ReplenishOrdered, StockLevel, StockLow
from topologies import low_stock, replenish

NOON = datetime(2024, 3, 1, 12, 0, tzinfo=UTC)


def level(on_hand: int, minutes: float, *, sku: str = "SK-001", discontinued: bool = False) -> StockLevel:
    return StockLevel(
        warehouse="BER1",
        sku=sku,
        on_hand=on_hand,
        reorder_point=60,
        capacity=500,
        counted_at=NOON + timedelta(minutes=minutes),
        discontinued=discontinued,
    )


def low(on_hand: int, minutes: float) -> StockLow:
    counted_at = NOON + timedelta(minutes=minutes)
    return StockLow(warehouse="BER1", sku="SK-001", on_hand=on_hand, missing=500 - on_hand, counted_at=counted_at)


def test_the_stock_table_holds_the_latest_count_and_forgets_discontinued_products() -> None:
    driver = TopologyDriver(low_stock.topology, start=NOON)
    driver.pipe("inventory.levels", [level(100, 0), level(90, 1), level(70, 2, sku="SK-002")])
    driver.pipe("inventory.levels", level(70, 3, sku="SK-002", discontinued=True))
    assert [(row["sku"], row["on_hand"]) for row in driver.table("stock")] == [("SK-001", 90)]


def test_stock_below_its_reorder_point_gives_a_notice() -> None:
    driver = TopologyDriver(low_stock.topology, start=NOON)
    driver.pipe("inventory.levels", level(60, 0))
    assert driver.output("inventory.low") == []
    driver.pipe("inventory.levels", level(59, 1))
    (notice,) = driver.output("inventory.low")
    assert StockLow.model_validate(notice) == low(59, 1)


def test_a_discontinued_product_gives_no_notice() -> None:
    driver = TopologyDriver(low_stock.topology, start=NOON)
    driver.pipe("inventory.levels", level(0, 0, discontinued=True))
    assert driver.output("inventory.low") == []


def test_one_order_per_hour_makes_good_what_is_missing_last() -> None:
    driver = TopologyDriver(replenish.topology, start=NOON)
    driver.pipe("inventory.low", [low(59, 0), low(20, 30), low(35, 20), low(50, 61)])
    driver.finish()
    orders = [ReplenishOrdered.model_validate(row) for row in driver.output("inventory.replenish-orders")]
    assert [(o.quantity, o.ordered_at) for o in orders] == [
        (480, NOON + timedelta(minutes=30)),
        (450, NOON + timedelta(minutes=61)),
    ]


def test_replenish_reads_what_low_stock_writes() -> None:
    stock = TopologyDriver(low_stock.topology, start=NOON)
    orders = TopologyDriver(replenish.topology, start=NOON)
    for minutes, on_hand in ((0, 100), (10, 40), (20, 5)):
        stock.pipe("inventory.levels", level(on_hand, minutes))
        orders.pipe("inventory.low", stock.output("inventory.low"))
    orders.finish()
    assert [row["quantity"] for row in orders.output("inventory.replenish-orders")] == [495]
    assert orders.dead_letters() == []

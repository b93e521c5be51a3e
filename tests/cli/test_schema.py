"""``headrace schema``."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.commands import headrace


def test_the_schema_of_a_model_is_printed(fleet: Path) -> None:
    found = json.loads(headrace("schema", "json", "shop:Order", cwd=fleet).out)
    assert list(found["properties"]) == ["id", "country", "amount", "at"]


def test_the_schemas_of_a_topology_are_printed_by_topic(fleet: Path) -> None:
    found = json.loads(headrace("schema", "json", "shop.py", cwd=fleet).out)
    assert list(found) == ["orders"]


def test_an_unchanged_schema_is_compatible(fleet: Path) -> None:
    (fleet / "old.json").write_text(headrace("schema", "json", "shop:Order", cwd=fleet).out)
    done = headrace("schema", "check", "old.json", "shop:Order", cwd=fleet)
    assert (done.code, done.out) == (0, "")


def test_an_incompatible_change_exits_with_1(fleet: Path) -> None:
    (fleet / "old.json").write_text(headrace("schema", "json", "shop:Order", cwd=fleet).out)
    shop = fleet / "shop.py"
    shop.write_text(shop.read_text().replace("    country: str\n", "    country: str\n    currency: str\n"))
    done = headrace("schema", "check", "old.json", "shop:Order", "--json", cwd=fleet)
    assert done.code == 1
    assert json.loads(done.out) == {
        "compatible": False,
        "upcast": False,
        "faults": ["currency: new required field without a default"],
    }


def test_an_upcaster_bridges_an_incompatible_change(fleet: Path) -> None:
    (fleet / "old.json").write_text(headrace("schema", "json", "shop:Shipped", cwd=fleet).out)
    shop = fleet / "shop.py"
    changed = shop.read_text().replace("version=1", "version=2").replace("order: str\n", "order: str\n    by: str\n")
    shop.write_text(changed)
    assert headrace("schema", "check", "old.json", "shop:Shipped", cwd=fleet).code == 1
    upcaster = (
        "from headrace.event import upcaster\n\n"
        "@upcaster(Shipped, from_version=1)\ndef _bridge(data):\n    return data | {'by': data['order'][0]}\n"
    )
    shop.write_text(changed + upcaster)
    done = headrace("schema", "check", "old.json", "shop:Shipped", cwd=fleet)
    assert (done.code, done.out) == (0, "by: new required field without a default\n")
    assert "upcasters" in done.err


def test_checking_a_schema_runs_no_upcaster(fleet: Path) -> None:
    (fleet / "old.json").write_text(headrace("schema", "json", "shop:Shipped", cwd=fleet).out)
    shop = fleet / "shop.py"
    changed = shop.read_text().replace("version=1", "version=2").replace("order: str\n", "order: str\n    by: str\n")
    upcaster = (
        "from headrace.event import upcaster\n\n"
        "@upcaster(Shipped, from_version=1)\ndef _bridge(data):\n    print('called')\n    return data\n"
    )
    shop.write_text(changed + upcaster)
    done = headrace("schema", "check", "old.json", "shop:Shipped", cwd=fleet)
    assert (done.code, done.out) == (0, "by: new required field without a default\n")


def test_what_is_no_model_is_refused(fleet: Path) -> None:
    (fleet / "old.json").write_text("{}")
    assert headrace("schema", "check", "old.json", "shop:Order", cwd=fleet).code == 2
    assert headrace("schema", "check", "old.json", "shop:topology", cwd=fleet).code == 2
    assert headrace("schema", "json", "nope:Order", cwd=fleet).code == 2


def test_a_model_of_a_file_is_as_good_as_one_of_a_module(fleet: Path) -> None:
    done = headrace("schema", "json", "shop.py:Order", cwd=fleet)
    assert (done.code, done.out) == (0, headrace("schema", "json", "shop:Order", cwd=fleet).out)
    (fleet / "old.json").write_text(done.out)
    assert headrace("schema", "check", "old.json", "shop.py:Order", cwd=fleet).code == 0
    wrong = headrace("schema", "check", "old.json", "shop.py:topology", cwd=fleet)
    assert (wrong.code, wrong.err) == (
        2,
        "headrace: expected MODULE:MODEL or FILE.py:MODEL naming a pydantic model, got 'shop.py:topology'\n",
    )

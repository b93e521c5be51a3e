"""Rules as data, and files of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from headrace import ConfigError, Rule, RuleSet


def test_a_file_holds_a_list_of_rules(tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text(
        """
rules:
  - name: big
    condition: "amount > 100 and country in ['DE', 'FR']"
    priority: 5
    target: review
    tags: [size, no]
    version: 3
  - {name: off, condition: amount = 0, enabled: false}
"""
    )
    expected = RuleSet(
        [
            Rule(
                name="big",
                condition="amount > 100 and country in ['DE', 'FR']",
                priority=5,
                target="review",
                tags=("size", "no"),
                version=3,
            ),
            Rule(name="off", condition="amount = 0", enabled=False),
        ]
    )
    assert RuleSet.from_yaml(path) == expected
    path.write_text("[]")
    assert RuleSet.from_yaml(str(path)) == RuleSet([])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("- {name: a}", "rule 1 (a): condition: Field required"),
        ("- {name: a, condition: x > 1, when: y}", "rule 1 (a): when: Extra inputs are not permitted"),
        ("- {name: a, condition: x > 1}\n- {name: a, condition: x > 1}", "these occur twice: a"),
        ("- {name: a, condition: x > 1, priority: high}", "rule 1 (a): priority: Input should be a valid integer"),
        ("- 5\n- {name: ''}", "rule 1: Input should be a valid dictionary"),
        ("name: a", "expected a list of rules, or 'rules:' with one, got dict"),
        ("rules: 5", "expected a list of rules, or 'rules:' with one, got int"),
        ("", "expected a list of rules, or 'rules:' with one, got NoneType"),
        ("- {", "is no YAML: "),
        ("- {name: a, name: b, condition: x}", "'name' occurs twice"),
        ("- &a {name: a, condition: x > 1}\n- *a", "aliases are not taken in rule files"),
        ("!!python/object/apply:os.system ['true']", "is no YAML: could not determine a constructor"),
        ("\x00", "is no YAML: "),
    ],
)
def test_a_bad_file_is_refused_with_the_place(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        RuleSet.from_yaml(path)
    assert str(caught.value).startswith(str(path))
    assert told in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yaml cannot be read: No such file or directory"):
        RuleSet.from_yaml(tmp_path / "none.yaml")


def test_rules_are_frozen_and_checked() -> None:
    with pytest.raises(ValidationError):
        Rule(name="", condition="x > 1")
    with pytest.raises(ValidationError):
        Rule(name="a", condition="x > 1", version=-1)
    with pytest.raises(ValidationError):
        Rule(name="a", condition="x > 1").name = "b"  # type: ignore[misc]

"""Rule files. The one module that imports yaml."""

from __future__ import annotations

import re
from collections.abc import Hashable
from pathlib import Path
from typing import ClassVar

from headrace.errors import ConfigError

try:
    import yaml
except ImportError as error:
    msg = "rule files need PyYAML: pip install 'headrace[rules]'"
    raise ImportError(msg) from error

_LARGEST = 10 << 20
_BOOL = "tag:yaml.org,2002:bool"


class _Loader(yaml.SafeLoader):  # type: ignore[misc]
    """Plain data only; of two equal keys YAML would drop one without a word, and aliases can blow a file up."""

    # As YAML 1.2 has it: yes, no, on and off are words. A tag "no" is Norway.
    yaml_implicit_resolvers: ClassVar[dict[str, list[tuple[str, re.Pattern[str]]]]] = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag != _BOOL]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()
            problem = "aliases are not taken in rule files"
            raise yaml.constructor.ConstructorError(None, None, problem, event.start_mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, object]:  # noqa: FBT001, FBT002
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for number, key in enumerate(keys):
            if key in keys[:number]:
                problem = f"{key!r} occurs twice"
                raise yaml.constructor.ConstructorError(None, None, problem, node.value[number][0].start_mark)
        found: dict[Hashable, object] = super().construct_mapping(node, deep)
        return found


_Loader.add_implicit_resolver(_BOOL, re.compile("(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF"))


def read_yaml(path: Path) -> object:
    """Return what a YAML file holds: plain data.

    Raises:
        ConfigError: it cannot be read, or is no YAML.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror}"
        raise ConfigError(msg) from error
    if len(data) > _LARGEST:
        msg = f"{path}: expected at most {_LARGEST} bytes of rules, got {len(data)}"
        raise ConfigError(msg)
    try:
        return yaml.load(data, _Loader)  # noqa: S506 - derived from the safe loader
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        msg = f"{path} is no YAML: {str(error) or type(error).__name__}"
        raise ConfigError(msg) from error

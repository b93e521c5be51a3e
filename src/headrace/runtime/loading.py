"""Find the topologies that a command line names."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from headrace.errors import ConfigError
from headrace.plan.describe import FILE_MODULE
from headrace.topology.topology import Topology

_FORMS = "'package.module', 'package.module:name', 'path/file.py' or 'path/file.py:name'"


def load_target(target: str) -> list[Topology]:
    """Return the topologies that ``target`` names, in their order.

    Args:
        target: ``package.module``, ``package.module:name``, ``path/file.py`` or
            ``path/file.py:name``. The name is a topology or a list of them; without a name
            the module's ``topologies``, else every topology it holds.

    Raises:
        ConfigError: there is no such module, file or name; the message says what was tried.
    """
    place, _, name = target.partition(":")
    if not place:
        msg = f"target {target!r}: expected {_FORMS}"
        raise ConfigError(msg)
    module = load_module(place)
    found = _named(module, name, target) if name else _all(module, target)
    _refuse_twins(found, target)
    return found


def load_module(place: str) -> ModuleType:
    """Return the module of ``package.module`` or ``path/file.py``; the working directory is looked into first.

    Raises:
        ConfigError: there is none, or it cannot be imported.
    """
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    return _from_file(place) if place.endswith(".py") else _from_module(place)


def _from_file(place: str) -> ModuleType:
    path = Path(place).resolve()
    if not path.is_file():
        msg = f"there is no file {place!r}: tried {path}. Give a target as {_FORMS}."
        raise ConfigError(msg)
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    # A name of its own: a file called json.py must not take the place of a module of that name.
    name = FILE_MODULE + path.stem
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        msg = f"{place!r} is no Python file"
        raise ConfigError(msg)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (ImportError, SyntaxError) as error:
        del sys.modules[name]
        msg = f"{place!r} cannot be imported: {_reason(error)}"
        raise ConfigError(msg) from error
    return module


def _from_module(place: str) -> ModuleType:
    try:
        return importlib.import_module(place)
    except ModuleNotFoundError as error:
        if error.name and (place == error.name or place.startswith(error.name + ".")):
            msg = (
                f"there is no module {error.name!r}: tried {place!r} from {Path.cwd()} and the installed packages. "
                f"Run from the directory that holds it, or give a target as {_FORMS}."
            )
            raise ConfigError(msg) from error
        msg = f"module {place!r} cannot be imported: {_reason(error)}"
        raise ConfigError(msg) from error
    except (ImportError, SyntaxError, ValueError, TypeError) as error:
        msg = f"module {place!r} cannot be imported: {_reason(error)}"
        raise ConfigError(msg) from error


def _named(module: ModuleType, name: str, target: str) -> list[Topology]:
    if not hasattr(module, name):
        known = _names(module)
        there = f"it holds {', '.join(known)}" if known else "it holds no topology"
        msg = f"target {target!r}: {module.__file__} has no {name!r}; {there}"
        raise ConfigError(msg)
    value = getattr(module, name)
    if isinstance(value, Topology):
        return [value]
    if _is_topologies(value):
        return list(value)
    msg = f"target {target!r}: expected a Topology or a list of them, got {type(value).__name__}"
    raise ConfigError(msg)


def _all(module: ModuleType, target: str) -> list[Topology]:
    if hasattr(module, "topologies"):
        value = module.topologies
        # A package may have a submodule of that name; then its own topologies are meant.
        if not isinstance(value, ModuleType):
            return _named(module, "topologies", target)
    found = [value for value in vars(module).values() if isinstance(value, Topology)]
    unique = list({id(topology): topology for topology in found}.values())
    if not unique:
        msg = (
            f"target {target!r}: {module.__file__} holds no topology. "
            "Define one at the top of the module, or a list 'topologies'."
        )
        raise ConfigError(msg)
    return unique


def _refuse_twins(found: Sequence[Topology], target: str) -> None:
    names = [topology.name for topology in found]
    twins = sorted({name for name in names if names.count(name) > 1})
    if twins:
        msg = f"target {target!r}: several topologies are named {', '.join(map(repr, twins))}. Names must differ."
        raise ConfigError(msg)


def _names(module: ModuleType) -> list[str]:
    return [name for name, value in vars(module).items() if isinstance(value, Topology) or _is_topologies(value)]


def _is_topologies(value: object) -> bool:
    return isinstance(value, list | tuple) and bool(value) and all(isinstance(item, Topology) for item in value)


def _reason(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"

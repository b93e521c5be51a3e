"""States to bytes and back: every value comes back as it was.

The form is msgpack, read by the types of the slots. What msgpack or these types cannot tell apart goes as an
extension: integers beyond 64 bits everywhere; decimals, dates, tuples, sets and their like in slots of any type.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, get_args

import msgspec
from msgspec.msgpack import Ext

from headrace.errors import DataError
from headrace.operators.distinct import Distinct
from headrace.operators.dumped import Dumped

State = list[Any]

_INT, _DECIMAL, _DATE, _LOCAL, _DURATION, _TUPLE, _SET, _FROZEN, _PAIRS, _TEXT = range(1, 11)  # codes of extensions
_INT64 = 1 << 63
_UNTYPED = b"\xc1"  # begins states that are read without types; msgpack uses this byte for nothing


def _hook(value: object) -> object:
    if isinstance(value, Distinct):
        return value.values
    if isinstance(value, Dumped):
        return value.dump()
    msg = f"a state holds a {type(value).__name__}"
    raise TypeError(msg)


_pack = msgspec.msgpack.Encoder(decimal_format="string", enc_hook=_hook).encode


class StateCodec:
    """States as bytes."""

    __slots__ = ("_decode", "_places", "encode", "typed")

    encode: Callable[[State], bytes]
    typed: bool
    """Whether the type of every slot is known: then msgpack alone tells its values apart, but for those it refuses."""

    def __init__(self, types: tuple[Any, ...]) -> None:
        """Prepare for a list of slots of these Python types; each may be None."""
        slots = tuple[tuple(t | None if t is not Any else Any for t in types)]  # type: ignore[misc, valid-type]
        self._decode = msgspec.msgpack.Decoder(slots, ext_hook=_unwrapped).decode
        self._places = tuple(place for place, t in enumerate(types) if _open(t))
        self.typed = not self._places
        self.encode = self._encode_open if self._places else _encode

    def _encode_open(self, state: State) -> bytes:
        wrapped = list(state)
        for place in self._places:
            wrapped[place] = _wrapped(state[place])
        try:
            return _pack(wrapped)
        except (OverflowError, UnicodeEncodeError):
            return _untyped(state)

    def decode(self, data: bytes) -> State:
        """Return a state from its bytes."""
        if data[0] == _UNTYPED[0]:
            found: State = _read(data[1:])
            return found
        return list(self._decode(data))


def _open(kind: Any) -> bool:
    """Tell whether a slot may hold values of any type."""
    return kind is Any or any(map(_open, get_args(kind)))


def _encode(state: State) -> bytes:
    try:
        return _pack(state)
    except (OverflowError, UnicodeEncodeError):
        return _untyped(state)


def _untyped(state: State) -> bytes:
    return _UNTYPED + _pack(_wrapped(state))


def _wrapped(value: Any) -> Any:
    """Return the value with all that msgpack alone would not give back in extensions."""
    kind = value.__class__
    if kind in _AS_IS:
        return value
    wrap = _WRAPS.get(kind)
    if wrap is None and isinstance(value, Dumped):
        return value.dump()
    if wrap is None:
        expected, got = (
            "plain data: numbers, text, bytes, times, and lists, tuples, sets and dicts of them",
            kind.__name__,
        )
        msg = f"the state of an aggregate: expected {expected}, got a {got}. Mend its functions"
        raise DataError(msg, expected=expected, got=got)
    return wrap(value)


def _int(value: int) -> Any:
    if -_INT64 <= value < _INT64:
        return value
    return Ext(_INT, value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True))


def _str(value: str) -> Any:
    if value.isascii():
        return value
    try:
        value.encode()
    except UnicodeEncodeError:
        return Ext(_TEXT, value.encode("utf-8", "surrogatepass"))
    return value


def _datetime(value: datetime) -> Any:
    return value if value.tzinfo is not None else Ext(_LOCAL, value.isoformat().encode())


def _list(value: Iterable[Any]) -> Any:
    return [item if item.__class__ in _AS_IS else _wrapped(item) for item in value]


def _dict(value: dict[Any, Any]) -> Any:
    made = {}
    for key, item in value.items():
        if key.__class__ is not str or not key.isascii():
            break
        made[key] = item if item.__class__ in _AS_IS else _wrapped(item)
    else:
        return made
    return Ext(_PAIRS, _pack([[_wrapped(key), _wrapped(item)] for key, item in value.items()]))


def _items(code: int) -> Callable[[Any], Ext]:
    return lambda value: Ext(code, _pack([_wrapped(item) for item in value]))


_AS_IS = frozenset({type(None), bool, float, bytes})
_WRAPS: dict[type, Callable[[Any], Any]] = {
    int: _int,
    str: _str,
    datetime: _datetime,
    Decimal: lambda value: Ext(_DECIMAL, str(value).encode()),
    date: lambda value: Ext(_DATE, value.isoformat().encode()),
    timedelta: lambda value: Ext(_DURATION, _pack([value.days, value.seconds, value.microseconds])),
    list: _list,
    Distinct: _list,
    dict: _dict,
    tuple: _items(_TUPLE),
    set: _items(_SET),
    frozenset: _items(_FROZEN),
}
_PLAIN = _AS_IS | _WRAPS.keys()
_UNWRAPS: dict[int, Callable[[bytes], Any]] = {
    _INT: lambda data: int.from_bytes(data, "big", signed=True),
    _DECIMAL: lambda data: Decimal(data.decode()),
    _DATE: lambda data: date.fromisoformat(data.decode()),
    _LOCAL: lambda data: datetime.fromisoformat(data.decode()),
    _DURATION: lambda data: timedelta(*_read(data)),
    _TUPLE: lambda data: tuple(_read(data)),
    _SET: lambda data: set(_read(data)),
    _FROZEN: lambda data: frozenset(_read(data)),
    _PAIRS: lambda data: dict(_read(data)),
    _TEXT: lambda data: data.decode("utf-8", "surrogatepass"),
}


def _unwrapped(code: int, data: memoryview) -> Any:
    return _UNWRAPS[code](bytes(data))


_read: Callable[[bytes], Any] = msgspec.msgpack.Decoder(ext_hook=_unwrapped).decode


def pack(value: Any) -> bytes:
    """Return plain data as bytes."""
    return _pack(_wrapped(value))


def unpack(data: bytes) -> Any:
    """Return plain data from its bytes."""
    return _read(data)


def plain(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function of a custom aggregate with its result checked: a state must come back as it was.

    Only the outside is looked at: the inside may be large, and is checked when the state is stored.
    """

    def checked(*args: Any) -> Any:
        state = function(*args)
        return state if state.__class__ in _PLAIN else _wrapped(state)

    return checked

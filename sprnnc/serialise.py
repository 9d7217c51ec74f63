"""Frozen dataclasses to JSON and back, by their declared types.

Decoding instantiates nothing but the dataclasses and enums that the types of the fields name, or
that the caller registers for a Protocol. Where a field may hold several classes, its JSON carries
the class name under ``"is"``.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from enum import Enum
from functools import cache
from typing import Any, TypeVar

T = TypeVar("T")
Classes = Mapping[type, tuple[type, ...]]
_TAG = "is"


def encode(value: object) -> Any:
    """``value`` as JSON data; every dataclass carries its class name."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: encode(getattr(value, f.name)) for f in dataclasses.fields(value) if f.compare}
        return {_TAG: type(value).__name__, **fields}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, tuple):
        return [encode(v) for v in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(f"cannot serialise {type(value).__name__}")


def decode(data: Any, wanted: type[T], classes: Classes | None = None) -> T:
    """The inverse of ``encode``. ``classes`` lists what a Protocol-typed field may hold.

    Raises ValueError for data that does not fit the types.
    """
    result: T = _decode(data, wanted, classes or {})
    return result


def _decode(data: Any, wanted: Any, classes: Classes) -> Any:
    origin = typing.get_origin(wanted)
    if origin in (typing.Union, types.UnionType):
        return _one_of(data, typing.get_args(wanted), classes)
    if origin is tuple:
        return _tuple(data, typing.get_args(wanted), classes)
    if origin is not None:  # a generic dataclass such as Choice[int]
        return _dataclass(
            data, origin, classes, dict(zip(origin.__parameters__, typing.get_args(wanted), strict=True))
        )
    if wanted in classes:
        return _one_of(data, classes[wanted], classes)
    if isinstance(wanted, type) and issubclass(wanted, Enum):
        return wanted(data)
    if dataclasses.is_dataclass(wanted):
        return _dataclass(data, wanted, classes, {})
    if wanted is float and isinstance(data, int) and not isinstance(data, bool):
        return float(data)
    if not isinstance(data, wanted) or (isinstance(data, bool) and wanted is not bool):
        raise ValueError(f"expected {wanted.__name__}, got {data!r}")
    return data


def _one_of(data: Any, options: tuple[Any, ...], classes: Classes) -> Any:
    if isinstance(data, dict):
        for option in options:
            if getattr(option, "__name__", None) == data.get(_TAG):
                return _decode(data, option, classes)
        raise ValueError(f"{data.get(_TAG)!r} is none of {[getattr(o, '__name__', o) for o in options]}")
    for option in options:
        if option is type(data) or (data is None and option is type(None)):
            return data
    raise ValueError(f"{data!r} is of none of the expected types")


def _tuple(data: Any, items: tuple[Any, ...], classes: Classes) -> tuple[Any, ...]:
    if not isinstance(data, list):
        raise ValueError(f"expected a list, got {data!r}")
    if len(items) == 2 and items[1] is Ellipsis:
        return tuple(_decode(v, items[0], classes) for v in data)
    return tuple(_decode(v, t, classes) for v, t in zip(data, items, strict=True))


def _dataclass(data: Any, wanted: Any, classes: Classes, parameters: Mapping[Any, Any]) -> Any:
    if not isinstance(data, dict) or data.get(_TAG) != wanted.__name__:
        raise ValueError(f"expected a {wanted.__name__}, got {data!r}"[:200])
    hints = _hints(wanted)
    values = {}
    for field in dataclasses.fields(wanted):
        if field.compare:
            if field.name not in data and field.default is not dataclasses.MISSING:
                continue  # written before there was such a field
            hint = parameters.get(hints[field.name], hints[field.name])
            values[field.name] = _decode(data[field.name], hint, classes)
    return wanted(**values)


@cache
def _hints(wanted: Any) -> dict[str, Any]:
    return typing.get_type_hints(wanted)

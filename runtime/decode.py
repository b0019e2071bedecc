"""Convert JSON values to frozen dataclasses, checking every field.

The types of the dataclass are the schema. Unknown, missing and wrongly typed fields are errors that name the field, so
that a misspelt key can't go unnoticed. Dictionaries have str keys and values of the declared type; ``Any`` is not
checked. Floats must be finite.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import types
import typing
from typing import Any, Iterable, NoReturn, Type, TypeVar, Union

from .errors import PackageError

T = TypeVar("T")

# Deeper than any of our files; Python can't write JSON nested deeper than its recursion limit.
MAX_DEPTH = 100

# From Python 3.10 on, `X | None` and Optional[X] have different types.
_UNIONS = (Union, getattr(types, "UnionType", Union))


def parse_json(data: bytes, where: str) -> Any:
    """Parse UTF-8 JSON without NaN and infinity, nested at most MAX_DEPTH deep. Raises PackageError."""
    try:
        value = json.loads(data.decode("utf-8"), parse_constant=_refuse_constant)
        _check_depth(value)
    except (ValueError, RecursionError) as error:
        raise PackageError(f"{where} is not readable JSON ({error})") from error
    return value


def decode(kind: Type[T], value: Any, where: str) -> T:
    """Build a dataclass from parsed JSON.

    Args:
        kind: the dataclass; its fields are str, int, float, bool, Any, dataclasses, or Optional, Tuple or Dict of them.
        value: what the JSON parser returned.
        where: name of the file, for messages.

    Raises:
        PackageError: the message names the field that is wrong.
    """
    if not isinstance(value, dict):
        raise PackageError(f"{where}: expected an object, got {type(value).__name__}")
    hints = typing.get_type_hints(kind)
    known = {f.name: f for f in dataclasses.fields(kind)}  # type: ignore[arg-type]
    unknown = sorted(str(name) for name in set(value) - set(known))
    if unknown:
        raise PackageError(f"{where}: unknown field {unknown[0]!r}")
    missing = [name for name, spec in known.items() if name not in value and _required(spec)]
    if missing:
        raise PackageError(f"{where}: field {missing[0]!r} is missing")
    return kind(**{name: _convert(hints[name], item, f"{where}: {name}") for name, item in value.items()})


def _required(spec: dataclasses.Field) -> bool:
    return spec.default is dataclasses.MISSING and spec.default_factory is dataclasses.MISSING


def _convert(hint: Any, value: Any, where: str) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return value
    if dataclasses.is_dataclass(hint):
        return decode(typing.cast(type, hint), value, where)
    if origin in _UNIONS:
        return None if value is None else _convert(arguments[0], value, where)
    if origin is tuple:
        return _convert_tuple(arguments, value, where)
    if origin is dict:
        if not isinstance(value, dict):
            raise PackageError(f"{where}: expected an object, got {type(value).__name__}")
        return {name: _convert(arguments[1], item, f"{where}[{name!r}]") for name, item in value.items()}
    return _convert_scalar(hint, value, where)


def _convert_tuple(arguments: typing.Tuple[Any, ...], value: Any, where: str) -> typing.Tuple[Any, ...]:
    if not isinstance(value, (list, tuple)):
        raise PackageError(f"{where}: expected a list, got {type(value).__name__}")
    if arguments[-1] is Ellipsis:
        arguments = arguments[:1] * len(value)
    if len(arguments) != len(value):
        raise PackageError(f"{where}: expected {len(arguments)} items, got {len(value)}")
    return tuple(_convert(hint, item, f"{where}[{i}]") for i, (hint, item) in enumerate(zip(arguments, value)))


def _convert_scalar(hint: Any, value: Any, where: str) -> Any:
    if isinstance(value, bool) != (hint is bool):
        raise PackageError(f"{where}: expected {hint.__name__}, got {value!r}")
    if hint is float and isinstance(value, (int, float)):
        if not -sys.float_info.max <= value <= sys.float_info.max:
            raise PackageError(f"{where}: expected a finite number, got {value!r:.40}")
        return float(value)
    if not isinstance(value, hint):
        raise PackageError(f"{where}: expected {hint.__name__}, got {value!r}")
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [item for each in level for item in _items(each)]
        if not level:
            return
    raise ValueError(f"nested more than {MAX_DEPTH} deep")


def _items(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()

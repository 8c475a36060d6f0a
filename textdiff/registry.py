"""Names, classes and their configurations.

A component is a frozen dataclass whose fields are its configuration. A *family* is an abstract base class; `register`
gives a member of it a name. `build` makes a component (or any plain dataclass) from plain data, `to_config` is its inverse.
"""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import pydantic

from textdiff.errors import ConfigError, nearest

T = TypeVar("T")

_FAMILIES: dict[type, dict[str, type]] = {}


def family(cls: type[T]) -> type[T]:
    """Marks an abstract base class as a family whose members have names."""
    _FAMILIES[cls] = {}
    return cls


def register(base: type, name: str) -> Callable[[type[T]], type[T]]:
    """Names a member of a family: ``@register(Accept, "margin")`` above a frozen dataclass."""

    def decorate(cls: type[T]) -> type[T]:
        members = _FAMILIES[base]
        if members.setdefault(name, cls) is not cls:
            raise ConfigError(
                f"two {base.__name__} classes are named {name!r}: {members[name].__name__} and {cls.__name__}"
            )
        return cls

    return decorate


def families() -> dict[str, type]:
    """All families by class name, sorted."""
    return {cls.__name__: cls for cls in sorted(_FAMILIES, key=lambda c: c.__name__)}


def names(base: type) -> list[str]:
    """The registered names of a family, sorted."""
    return sorted(_FAMILIES[base])


def member(base: type[T], name: str, path: str = "") -> type[T]:
    """The class of that name.

    Raises:
        ConfigError: no member has that name; the message gives the nearest one and all known names.
    """
    members = _FAMILIES[base]
    if name not in members:
        raise ConfigError(
            f"{_at(path)}no {base.__name__} is named {name!r}.{nearest(name, members)} Known: {', '.join(sorted(members))}"
        )
    return members[name]


def name_of(component: object) -> str:
    """The registered name of a component."""
    for members in _FAMILIES.values():
        for name, cls in members.items():
            if type(component) is cls:
                return name
    raise ConfigError(f"{type(component).__name__} is not a registered component")


def build(target: type[T], config: object, path: str = "", **context: Any) -> T:
    """Builds a component of a family, or a plain dataclass, from plain data.

    Args:
        target: a family or a dataclass.
        config: for a family its member's name, or a mapping with ``name`` and the member's fields; for a dataclass a mapping.
            An instance of ``target`` is returned as it is.
        path: where the configuration stands, for error messages.
        context: values for fields that are not configuration (declared with ``context_field()``).

    Raises:
        ConfigError: unknown names or keys, missing keys, wrong types; the message gives the path and the nearest name.
    """
    if isinstance(config, target):
        return config
    if target in _FAMILIES:
        cls, values = _choose(target, config, path)
    else:
        cls, values = target, _mapping(config, path)
    return _construct(cls, values, path, context)


def to_config(component: Any) -> Any:
    """Plain data from which `build` makes an equal component."""
    if dataclasses.is_dataclass(component) and not isinstance(component, type):
        named = {"name": name_of(component)} if isinstance(component, tuple(_FAMILIES)) else {}
        return named | {f.name: to_config(getattr(component, f.name)) for f in _config_fields(type(component))}
    if isinstance(component, (list, tuple)):
        return [to_config(item) for item in component]
    if isinstance(component, Mapping):
        return {key: to_config(value) for key, value in component.items()}
    return component


def context_field() -> Any:
    """A dataclass field that `build` takes from its context and `to_config` leaves out."""
    return dataclasses.field(metadata={"context": True})


def _at(path: str) -> str:
    return f"{path}: " if path else ""


def _join(path: str, key: object) -> str:
    return f"{path}.{key}" if path else str(key)


def _mapping(config: object, path: str) -> dict[str, Any]:
    if not isinstance(config, Mapping):
        raise ConfigError(f"{_at(path)}expected a mapping of keys to values, got {config!r}")
    return dict(config)


def _choose(base: type[T], config: object, path: str) -> tuple[type[T], dict[str, Any]]:
    values = {"name": config} if isinstance(config, str) else _mapping(config, path)
    name = values.pop("name", None)
    if not isinstance(name, str):
        raise ConfigError(f"{_at(path)}the key 'name' of a {base.__name__} is missing. Known: {', '.join(names(base))}")
    return member(base, name, path), values


def _config_fields(cls: type) -> list[dataclasses.Field[Any]]:
    return [f for f in dataclasses.fields(cls) if f.init and not f.metadata.get("context")]


def _construct(cls: type[T], values: dict[str, Any], path: str, context: dict[str, Any]) -> T:
    known = {f.name: f for f in _config_fields(cls)}
    for key in values:
        if key not in known:
            allowed = f"Known: {', '.join(known)}" if known else f"{cls.__name__} has no options"
            raise ConfigError(f"{_at(_join(path, key))}unknown key.{nearest(str(key), known)} {allowed}")
    for field in known.values():
        needed = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if needed and field.name not in values:
            raise ConfigError(f"{_at(_join(path, field.name))}this key of {cls.__name__} is required and missing")
    hints = typing.get_type_hints(cls)
    given = {key: _convert(hints[key], value, _join(path, key), context) for key, value in values.items()}
    wanted = {f.name for f in dataclasses.fields(cls) if f.metadata.get("context")}  # type: ignore[arg-type]
    given |= {key: value for key, value in context.items() if key in wanted}
    try:
        return cls(**given)
    except ConfigError as error:
        raise ConfigError(f"{_at(path)}{error}") from None


def _convert(hint: Any, value: Any, path: str, context: dict[str, Any]) -> Any:
    """Turns plain data into what the annotation asks for, families and dataclasses at any depth included."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType) and type(None) in arguments:
        rest = [a for a in arguments if a is not type(None)]
        if value is None:
            return None
        if len(rest) == 1:
            return _convert(rest[0], value, path, context)
    if isinstance(hint, type) and (hint in _FAMILIES or dataclasses.is_dataclass(hint)):
        return build(hint, value, path, **context)
    if origin is tuple and len(arguments) == 2 and arguments[1] is Ellipsis:
        if not isinstance(value, (list, tuple)):
            raise ConfigError(f"{_at(path)}expected a list, got {value!r}")
        return tuple(_convert(arguments[0], item, f"{path}[{i}]", context) for i, item in enumerate(value))
    return _plain(hint, value, path)


def _plain(hint: Any, value: Any, path: str) -> Any:
    union = typing.get_origin(hint) in (typing.Union, types.UnionType)
    kinds = typing.get_args(hint) if union else (hint,)
    if isinstance(value, bool) and bool not in kinds and (int in kinds or float in kinds):
        raise ConfigError(f"{_at(path)}expected a number, got {value!r}")
    try:
        found = pydantic.TypeAdapter(hint).validate_python(value)
    except pydantic.ValidationError as error:
        reason = " or ".join(part["msg"] for part in error.errors()) if union else error.errors()[0]["msg"]
        raise ConfigError(f"{_at(path)}{reason[0].lower()}{reason[1:]}, got {value!r}") from None
    if isinstance(found, float) and not math.isfinite(found):
        raise ConfigError(f"{_at(path)}expected a finite number, got {found}")
    return found

"""A method as data and back: its fields are its TOML, its `-o` options and its row in a result table."""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any, Literal, Union, cast, get_args, get_origin, get_type_hints

from ponder.core.errors import OptionError, nearest

Value = str | int | float | bool | list["Value"] | dict[str, "Value"]
Lookup = Callable[[str, str], type[object]]
"""Finds a class by its kind (`method`, `scorer`, `router`) and its name."""
KINDS = ("scorer", "router")
"""What a field may hold beside methods. The kind is the key of the name: `{scorer = "agreement"}`."""


def to_config(value: object, name_of: Callable[[type[object]], str], kind: str = "method") -> dict[str, Value]:
    """Return the TOML table of a method, scorer or router: its name, and each field that differs from its default."""
    config: dict[str, Value] = {kind: name_of(type(value))}
    hints = get_type_hints(type(value))
    for spec in fields(cast(Any, value)):
        current = getattr(value, spec.name)
        if current != _default(spec):
            # TOML has no null; `_decode_union` reads the word.
            config[spec.name] = "none" if current is None else _encode(current, name_of, _kind(hints[spec.name]))
    return config


def from_config(config: Mapping[str, Value], lookup: Lookup, kind: str = "method") -> object:
    """Build a method, scorer or router from its table. Raises `OptionError` for what does not exist or does not fit."""
    name = config.get(kind)
    if not isinstance(name, str):
        example = "sample" if kind == "method" else "..."
        raise OptionError(f'a {kind} table needs its name, as in {kind} = "{example}"')
    cls = lookup(kind, name)
    hints = get_type_hints(cls)
    known = [spec.name for spec in fields(cast(Any, cls))]
    arguments: dict[str, object] = {}
    for key, raw in config.items():
        if key == kind:
            continue
        if key not in known:
            listed = ", ".join(known) or "none"
            raise OptionError(f"{name} has no option {key!r}{nearest(key, known)}; its options: {listed}")
        arguments[key] = _decode(raw, hints[key], f"{name}: {key}", lookup)
    for spec in fields(cast(Any, cls)):
        if spec.name not in arguments and _default(spec) is MISSING:
            raise OptionError(f"{name} needs the option {spec.name!r}; add -o {spec.name}=VALUE")
    return cls(**arguments)


def options_of(cls: type[object]) -> dict[str, tuple[str, str]]:
    """Return the options of a method class: name to (type, default), both as text for help pages."""
    hints = get_type_hints(cls)
    found: dict[str, tuple[str, str]] = {}
    for spec in fields(cast(Any, cls)):
        default = _default(spec)
        found[spec.name] = (_type_name(hints[spec.name]), "required" if default is MISSING else repr(default))
    return found


def parts(value: object, where: str = "") -> Iterator[tuple[str, object]]:
    """Yield a method and all that is inside it: methods, scorers and routers, each with where it stands.

    `where` is what a TOML table calls the place: nothing for the method itself, `inner.router`, `rungs[1]`.
    """
    yield where, value
    for spec in fields(cast(Any, value)) if is_dataclass(value) else ():
        name = f"{where}.{spec.name}" if where else spec.name
        held = getattr(value, spec.name)
        for index, item in enumerate(held if isinstance(held, tuple) else (held,)):
            if is_dataclass(item) and not isinstance(item, type):
                yield from parts(item, f"{name}[{index}]" if isinstance(held, tuple) else name)


def beyond(method: object, max_tokens: int) -> str:
    """Return the first field that asks for more tokens than `max_tokens`, with its value, or nothing.

    Fields that hold a number of tokens say so: `field(metadata={"within": "max_tokens"})`, and with a further
    `"where": ("template", "token_limit")` those that do only where another field has a value. Of a tuple of words the
    numbers count. Inner methods count, too.
    """
    for where, part in parts(method):
        for spec in fields(cast(Any, part)):
            for asked in _asked(spec, part, getattr(part, spec.name)):
                if asked > max_tokens:
                    return f"{where}.{spec.name} = {asked}" if where else f"{spec.name} = {asked}"
    return ""


def _asked(spec: Field[Any], owner: object, value: object) -> list[int]:
    """Return the tokens that a field asks for; nothing where it asks for none."""
    name, wanted = spec.metadata.get("where", ("", None))
    if spec.metadata.get("within") != "max_tokens" or (name and getattr(owner, name) != wanted):
        return []
    held = value if isinstance(value, tuple) else (value,)
    return [int(item) for item in held if isinstance(item, int) or (isinstance(item, str) and item.isdecimal())]


def field_of(value: object, kind: str) -> str:
    """Return the first field of a method that holds a `scorer` or a `router`, or nothing."""
    hints = get_type_hints(type(value))
    return next((spec.name for spec in fields(cast(Any, value)) if _kind(hints[spec.name]) == kind), "")


def _default(spec: Field[Any]) -> object:
    if spec.default_factory is not MISSING:
        return spec.default_factory()
    return spec.default


def _type_name(hint: object) -> str:
    if get_origin(hint) is Literal:
        return " | ".join(map(str, get_args(hint)))
    if get_origin(hint) in (Union, types.UnionType):
        return " | ".join(_type_name(arm) for arm in get_args(hint) if arm is not type(None))
    if get_origin(hint) is tuple:
        return "list of " + _type_name(get_args(hint)[0])
    return hint.__name__.lower() if isinstance(hint, type) else str(hint)


def _kind(hint: object) -> str:
    """Return what a field holds: the protocol that its type names, also inside a tuple or a union."""
    name = hint.__name__.lower() if isinstance(hint, type) else ""
    kinds = [name] if name in KINDS else [_kind(arm) for arm in get_args(hint)]
    return next((kind for kind in kinds if kind != "method"), "method")


def _encode(value: object, name_of: Callable[[type[object]], str], kind: str) -> Value:
    if isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, tuple):
        return [_encode(item, name_of, kind) for item in value]
    if is_dataclass(value):
        return cast(Value, to_config(value, name_of, kind))
    raise OptionError(f"{value!r} cannot be written to a configuration")


def _decode(raw: Value, hint: object, where: str, lookup: Lookup) -> object:
    """Turn a TOML value, or the text of an `-o` option, into what the field's type asks for."""
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return _decode_union(raw, get_args(hint), where, lookup)
    if origin is Literal:
        for choice in get_args(hint):
            if str(raw) == str(choice):
                return choice
        choices = [str(choice) for choice in get_args(hint)]
        raise OptionError(f"{where} = {raw!r} must be one of {', '.join(choices)}{nearest(str(raw), choices)}")
    if origin is tuple:
        if not isinstance(raw, str | list):
            raise OptionError(f"{where} = {raw!r} must be a list")
        items = raw if isinstance(raw, list) else raw.split(",") if raw else []
        return tuple(_decode(item, get_args(hint)[0], where, lookup) for item in items)
    if hint in (bool, int, float, str):
        return _decode_plain(raw, cast(type, hint), where)
    kind = _kind(hint)
    if isinstance(raw, Mapping):
        return from_config(raw, lookup, kind)
    if isinstance(raw, str):
        return from_config({kind: raw}, lookup, kind)
    raise OptionError(f"{where} must name a {kind}, not {raw!r}")


def _decode_union(raw: Value, arms: tuple[object, ...], where: str, lookup: Lookup) -> object:
    if type(None) in arms and raw in ("none", ""):
        return None
    errors: list[OptionError] = []
    for arm in (arm for arm in arms if arm is not type(None)):
        try:
            return _decode(raw, arm, where, lookup)
        except OptionError as error:
            errors.append(error)
    raise errors[0]


def _decode_plain(raw: Value, kind: type, where: str) -> object:
    if kind is bool:
        words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
        if isinstance(raw, bool):
            return raw
        if str(raw).lower() in words:
            return words[str(raw).lower()]
        raise OptionError(f"{where} = {raw!r} must be true or false")
    fits = {int: str | int, float: str | int | float, str: str}
    try:
        if isinstance(raw, bool) or not isinstance(raw, fits[kind]):
            raise ValueError
        value = kind(raw)
    except (ValueError, OverflowError):
        raise OptionError(f"{where} = {raw!r} must be of type {kind.__name__}") from None
    if value != value:
        raise OptionError(f"{where} = {raw!r} must be a number")
    return value

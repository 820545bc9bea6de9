"""What is run, as the command line writes it: `gsm8k,arithmetic:level=3` and `sample,self_consistency:n=8`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass

from ponder.core.config import KINDS, Value, beyond
from ponder.core.errors import OptionError, nearest
from ponder.core.method import Method
from ponder.methods import Catalogue


def split_specs(text: str) -> list[str]:
    """Split a list at its commas, but not at those between the options of one entry."""
    specs: list[str] = []
    for part in (part.strip() for part in text.split(",")):
        name, _, _ = part.partition("=")
        if specs and "=" in part and ":" not in name and ":" in specs[-1]:
            specs[-1] += f",{part}"
        elif part:
            specs.append(part)
    return specs


def parse_options(pairs: Sequence[str]) -> dict[str, Value]:
    """Turn `key=value` texts into options; `inner.every=32` and `router.path=mine` reach into what a field holds."""
    options: dict[str, Value] = {}
    for pair in pairs:
        key, sign, value = pair.partition("=")
        if not sign or not key:
            raise OptionError(f"the option {pair!r} must have the form KEY=VALUE, such as n=8")
        table = options
        *outer, last = key.strip().split(".")
        for name in outer:
            inner = table.setdefault(name, {})
            if isinstance(inner, str):
                inner = table[name] = {name if name in KINDS else "method": inner}
            if not isinstance(inner, dict):
                raise OptionError(f"the option {pair!r} reaches into {name!r}, which has no options of its own")
            table = inner
        table[last] = value.strip()
    return options


def build_methods(text: str, catalogue: Catalogue, options: Sequence[str] = ()) -> dict[str, Method]:
    """Build the methods of a list, each with the `-o` options that it has. Returns them by label.

    An option that none of the methods has is refused, and so is a list that names one method twice.
    """
    common = parse_options(options)
    unused = set(common)
    methods: dict[str, Method] = {}
    for spec in split_specs(text):
        name, _, own = spec.partition(":")
        cls = catalogue.find(name)
        shared = {key: value for key, value in common.items() if key in _fields(cls)}
        unused -= set(shared)
        method = catalogue.build(name, {**shared, **parse_options(own.split(",") if own else ())})
        label = label_of(method, catalogue)
        if label in methods:
            raise OptionError(f"{label} is in the list of methods twice; name each once")
        methods[label] = method
    if not methods:
        raise OptionError("no method is named; try --methods sample,concise_cot")
    if unused:
        key = min(unused)
        known = {field for spec in split_specs(text) for field in _fields(catalogue.find(spec.partition(":")[0]))}
        raise OptionError(f"none of the methods has an option {key!r}{nearest(key, known)}")
    return methods


def check_limits(methods: Mapping[str, Method], max_tokens: int) -> None:
    """Raise `OptionError` where a method asks for more tokens than a reply may have."""
    for label, method in methods.items():
        if over := beyond(method, max_tokens):
            raise OptionError(
                f"{label}: {over} is more than a reply may have; lower it, or raise --max-tokens {max_tokens}"
            )


def _fields(cls: type[Method]) -> set[str]:
    return {field.name for field in fields(cls)} if is_dataclass(cls) else set()


def label_of(method: Method, catalogue: Catalogue) -> str:
    """Return the short name of a configured method: its name, and the options that are not the defaults."""
    return _label(catalogue.to_config(method))


def _label(config: dict[str, Value]) -> str:
    kind = next(key for key in ("method", *KINDS) if key in config)
    options = []
    for key, value in config.items():
        if key != kind:
            options.append(f"{key}={_plain(value)}")
    name = str(config[kind])
    return f"{name}({', '.join(options)})" if options else name


def _plain(value: Value) -> str:
    if isinstance(value, dict):
        return _label(value)
    if isinstance(value, list):
        return ",".join(map(_plain, value))
    return str(value).lower() if isinstance(value, bool) else str(value)

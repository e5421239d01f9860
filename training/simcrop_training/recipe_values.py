"""Fields of a recipe from what YAML or JSON reads, each checked: a slip of the pen is named, not met in mid-run."""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from typing import Any, Literal

# Whole numbers that may be 0; all others count something of which there has to be one.
_MAY_BE_ZERO = frozenset(
    {"ahead", "features_first", "hard_negatives", "patience", "places", "read_before", "seed", "steps", "validation"}
    | {"view_every", "warm_up"}
)
# Lists whose numbers may not be 0.
_SIZES = frozenset({"image", "patch"})


class WrongValue(ValueError):
    """What a recipe cannot say.

    Args:
        message: what was wrong.
        hint: what to write instead.
    """

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


def mapping_of(
    value: Any, name: str, *, hint: str = "Write `field: value`, one a line, or leave it out for its defaults."
) -> dict[str, Any]:
    """The fields of something that has to have fields; `hint` says what to write where it has none.

    Raises:
        WrongValue: it has none, or a field is not called by a word.
    """
    if not isinstance(value, dict):
        said = "nothing" if value is None else repr(value)
        raise WrongValue(f"{name} holds {said}, not fields.", hint=hint)
    if odd := [key for key in value if not isinstance(key, str)]:
        raise WrongValue(f"{name} has no field {odd[0]!r}.", hint="Fields are words, such as `seed: 1`.")
    return value


def changed(settings: Any, values: Any, name: str = "") -> Any:
    """A dataclass with some fields changed, nested ones from nested dictionaries; lists become tuples.

    Args:
        settings: the dataclass.
        values: its fields, as YAML or JSON reads them.
        name: of the dataclass in the recipe; empty for the recipe itself.

    Raises:
        ValueError: a field that the dataclass does not have, or a value that is none of those it may have; a
            `WrongValue` where there is a hint of what to write.
    """
    kind = type(settings)
    hints = typing.get_type_hints(kind)
    fields, known = mapping_of(values, name or "the recipe"), [field.name for field in dataclasses.fields(kind)]
    if unknown := sorted(fields.keys() - set(known)):
        raise WrongValue(f"{kind.__name__} has no field {', '.join(unknown)}.", hint=f"It has {', '.join(known)}.")
    new = {}
    for field, value in fields.items():
        now, full = getattr(settings, field), f"{name}.{field}".lstrip(".")
        if dataclasses.is_dataclass(now):
            new[field] = changed(now, value, full)
            continue
        new[field] = tuple(value) if isinstance(value, list) else value
        zero = field not in _SIZES if typing.get_origin(hints[field]) is tuple else field in _MAY_BE_ZERO
        _require(new[field], hints[field], full, least=0 if zero else 1)
    return dataclasses.replace(settings, **new)


def _require(value: Any, hint: Any, name: str, *, least: int) -> None:
    """Catch what YAML reads otherwise than meant, such as 1e-4, which it takes for a word, and numbers out of range."""
    origin = typing.get_origin(hint)
    if origin is Literal:
        if value not in typing.get_args(hint):
            choices = ", ".join(map(str, typing.get_args(hint)))
            raise WrongValue(f"{name} is one of {choices}, not {value!r}.", hint=f"Write {name}: and one of these.")
        return
    if origin is tuple:
        _require_tuple(value, typing.get_args(hint), name, least=least)
        return
    kinds = typing.get_args(hint) if origin in (typing.Union, types.UnionType) else (hint,)
    plain = [typing.get_origin(kind) or kind for kind in kinds]
    whole = isinstance(value, int) and not isinstance(value, bool) and float in plain
    if not whole and not (isinstance(value, tuple(plain)) and (bool in plain or not isinstance(value, bool))):
        raise WrongValue(f"{name} cannot be {value!r}.", hint=f"It is {_words(plain)}.")
    if isinstance(value, bool) or not isinstance(value, int | float):
        return
    smallest = least if int in plain else 0
    if math.isnan(value) or value < smallest:
        raise WrongValue(f"{name} cannot be {value!r}.", hint=f"It is {_words(plain)} from {smallest} on.")


def _require_tuple(value: Any, kinds: tuple[Any, ...], name: str, *, least: int) -> None:
    """So many items, or any number of one kind."""
    items = value if isinstance(value, tuple) else ()
    if kinds[-1] is Ellipsis:
        kinds = (kinds[0],) * len(items)
    if not isinstance(value, tuple) or len(items) != len(kinds):
        shown = list(value) if isinstance(value, tuple) else value
        raise WrongValue(f"{name} cannot be {shown!r}.", hint=f"It is a list{f' of {len(kinds)}' if kinds else ''}.")
    for item, kind in zip(items, kinds, strict=True):
        _require(item, kind, name, least=least)


_KINDS = {
    int: "a whole number",
    float: "a number (0.0001 or 1.0e-4; YAML takes 1e-4 for a word)",
    bool: "true or false",
    str: "a word",
    dict: "a mapping, `field: value`",
    type(None): "null",
}


def _words(kinds: list[Any]) -> str:
    return " or ".join(_KINDS.get(kind, str(kind)) for kind in kinds)

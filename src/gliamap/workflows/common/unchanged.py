"""Whether what a folder holds was made with the settings given now."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from gliamap.config import OF_THE_MACHINE
from gliamap.errors import ConfigError
from gliamap.recipes.recipe import Recipe


def check_unchanged(
    what: str, before: Mapping[str, Any], now: Mapping[str, Any], *, remedy: str, free: Collection[str] = ()
) -> None:
    """``ConfigError`` with the sentence ``what`` where nested settings differ, which names them with dots.

    Those in ``free`` may differ.
    """
    differing = {key: pair for key, pair in changes(before, now).items() if key not in free}
    if differing:
        raise ConfigError(
            what,
            found=", ".join(f"{key} {new}" for key, (_, new) in differing.items()),
            expected=", ".join(f"{key} {old}" for key, (old, _) in differing.items()),
            remedy=remedy,
        )


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The nested settings that differ, by their dotted names: what each was and is."""
    old, new = flatten(before), flatten(now)
    names = sorted(old.keys() | new.keys())
    return {name: (old.get(name), new.get(name)) for name in names if old.get(name) != new.get(name)}


def deciding(recipe: Recipe) -> dict[str, Any]:
    """What of a recipe decides over a result, as JSON holds it."""
    return recipe.model_dump(mode="json", exclude={"name", "description", "reasons"})


def of_the_machine(recipe: str) -> frozenset[str]:
    """The dotted names of what suits a machine in a recipe that is called ``recipe``, and in its base."""
    return frozenset(f"{recipe}.{of}config.{name}" for of in ("", "base.") for name in OF_THE_MACHINE)


def flatten(value: Any, name: str = "") -> dict[str, Any]:
    """Nested settings as one table with dotted names."""
    if not isinstance(value, Mapping):
        return {name: value}
    inner = (flatten(item, f"{name}.{key}".lstrip(".")) for key, item in value.items())
    return {key: item for part in inner for key, item in part.items()}

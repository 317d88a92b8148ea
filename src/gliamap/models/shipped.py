"""The models that come with gliamap, found by name. Each is a checkpoint folder beside this file."""

from __future__ import annotations

from pathlib import Path

from gliamap.errors import ConfigError

PHANTOM_DEMO = "phantom-demo"
"""Trained on phantoms alone, for the demonstration and the tests; refused on anything else."""


def shipped_names() -> tuple[str, ...]:
    """The names of all shipped models, sorted."""
    return tuple(sorted(path.parent.name for path in Path(__file__).parent.glob("*/model.json")))


def shipped_model(name: str) -> Path:
    """The checkpoint folder of the shipped model ``name``; ``ConfigError`` where there is none."""
    folder = Path(__file__).parent / name
    if name not in shipped_names():
        raise ConfigError(f"there is no shipped model called '{name}'", expected="one of " + ", ".join(shipped_names()))
    return folder

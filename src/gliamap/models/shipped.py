"""The models that come with gliamap, and what a model's name means. Knows no torch.

NAME/model.json    what inference needs, and what is known of the model (ModelSpec)
    /weights.safetensors
    /CARD.md       for people: data, licences, scores, what it is for and what not
"""

from __future__ import annotations

from pathlib import Path

from gliamap.config import ModelSpec
from gliamap.errors import ConfigError, FileError
from gliamap.io.model_spec import read_spec

SHIPPED = Path(__file__).parent
"""The folder that holds theirs."""

PHANTOM_DEMO = "phantom-demo"
"""Trained on phantoms alone, for the demonstration and the tests; refused on anything else."""


def shipped_names() -> tuple[str, ...]:
    """The names of all shipped models, sorted."""
    return tuple(sorted(path.parent.name for path in SHIPPED.glob("*/model.json")))


def shipped_model(name: str) -> Path:
    """The checkpoint folder of the shipped model ``name``; ``ConfigError`` where there is none."""
    if name not in shipped_names():
        raise ConfigError(f"there is no shipped model called '{name}'", expected="one of " + ", ".join(shipped_names()))
    return SHIPPED / name


def shipped_specs() -> dict[str, ModelSpec]:
    """What each shipped model says of itself, by name."""
    return {name: read_spec(SHIPPED / name) for name in shipped_names()}


def shipped_bytes(name: str) -> int:
    """The size of all files of a shipped model."""
    return sum(path.stat().st_size for path in shipped_model(name).iterdir())


def read_card(name: str) -> str:
    """The card of a shipped model, Markdown; ``ConfigError`` where there is no such model, ``FileError`` no card."""
    path = shipped_model(name) / "CARD.md"
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise FileError(
            f"the card of the model {name} cannot be read", found=error.strerror, remedy="install gliamap again"
        ) from error


def resolve_model(named: Path) -> Path:
    """The checkpoint folder that the user means: ``named`` itself, a run's ``best`` (else ``last``), a shipped model.

    A name means a model in the working directory before a shipped one, so that what comes with a new version of gliamap
    never takes the place of one's own. ``FileError`` where there is no model.
    """
    for folder in (named, named / "best", named / "last"):
        if (folder / "model.json").is_file():
            return folder
    if str(named) in shipped_names():
        return SHIPPED / named
    if not named.exists():
        raise FileError(
            f"there is no model at {named}",
            expected=f"a run, a model folder, or one of {', '.join(shipped_names())}",
            remedy="check what was given with --model or --init-from",
        )
    read_spec(named)
    raise AssertionError("read_spec refuses a folder without model.json")

"""What a comparison's folder says of itself (``settings.json``), and whether a comparison may go on there."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from gliamap.io.atomic import read_json, write_json
from gliamap.recipes.recipe import Recipe
from gliamap.workflows.common.folds import settle_splits
from gliamap.workflows.common.run_record import command_line, versions
from gliamap.workflows.common.unchanged import check_unchanged, deciding, of_the_machine
from gliamap.workflows.studies.compare_plan import CompareOptions, Place

SETTINGS = "settings.json"

_GROWING = ("arms", "data")
"""Settings by name: what was not there before may come, and what was may be left out this time."""


def settle(out: Path, places: Sequence[Place], arms: Mapping[str, Recipe], options: CompareOptions) -> None:
    """Write ``settings.json`` and the splits, or see that those there are of this very comparison.

    ``ConfigError`` where they are not: other settings, other data, cases divided in another way.
    """
    path = out / SETTINGS
    record = _record(places, arms, options)
    if path.is_file():
        before = read_json(path)
        _check_same(out, before, record["settings"])
        for part in _GROWING:
            record["settings"][part] = before["settings"][part] | record["settings"][part]
    settle_splits([place.task.fold for place in places])
    write_json(path, record)


def _record(places: Sequence[Place], arms: Mapping[str, Recipe], options: CompareOptions) -> dict[str, Any]:
    """What ``settings.json`` holds. ``settings`` must agree to go on; the rest informs."""
    data = {place.data.name: place.data.info for place in places}
    settings: dict[str, Any] = {
        "arms": {arm: deciding(recipe) for arm, recipe in arms.items()},
        "data": {name: {"fingerprint": info.fingerprint, "cases": len(info.cases)} for name, info in data.items()},
        "budget": options.budget and asdict(options.budget),
        "split": options.split,
        "closed_folds": list(options.closed_folds),
    }
    if options.budget and options.budget.kind == "minutes":  # more threads, more steps
        settings["threads"] = places[0].task.threads
    return {"format": 1, "settings": settings, "versions": versions(), "command": command_line()}


def _check_same(out: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    old = dict(before["settings"])
    new = dict(now)
    for part in _GROWING:
        both = old[part].keys() & new[part].keys()
        old[part], new[part] = ({name: each[part][name] for name in both} for each in (old, new))
    free = {name for arm in new["arms"] for name in of_the_machine(f"arms.{arm}")}
    remedy = f"repeat '{shlex.join(before.get('command', []))}', or take another --out"
    check_unchanged(f"this is not the comparison in {out}", old, new, free=free, remedy=remedy)

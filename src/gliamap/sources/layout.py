"""What all layouts share: the noun, the natural order of names, and a folder's visible content."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from gliamap.case import DataSet

_NOT_DATA = frozenset({"__MACOSX"})


@dataclass(frozen=True)
class Layout:
    """One way to lay out a data set: its name, what it looks like (for messages), and how to find its cases.

    ``scan`` looks at names only and answers ``None`` where the folder is laid out in some other way.
    """

    name: str
    looks_like: str
    scan: Callable[[Path], DataSet | None]


@dataclass(frozen=True)
class Listing:
    """The visible folders and files of a folder, in natural order."""

    folders: tuple[Path, ...]
    files: tuple[Path, ...]


def list_folder(folder: Path) -> Listing:
    """What ``folder`` shows; hidden names and what macOS leaves in archives (``._*``, ``__MACOSX``) are passed over."""
    folders: list[Path] = []
    files: list[Path] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(".") or entry.name in _NOT_DATA:
                continue
            (folders if entry.is_dir() else files).append(folder / entry.name)
    return Listing(_sorted(folders), _sorted(files))


def natural_key(name: str) -> tuple[tuple[int, int | str], ...]:
    """Sorts ``case2`` before ``case10``: runs of digits compare as numbers."""
    return tuple((0, int(part)) if part.isdecimal() else (1, part) for part in re.split(r"(\d+)", name) if part)


def summarise(names: Iterable[str], shown: int = 3) -> str:
    """The first few names, and how many more there are."""
    every = list(names)
    rest = len(every) - shown
    return ", ".join(every[:shown]) + (f" and {rest} more" if rest > 0 else "")


def _sorted(paths: list[Path]) -> tuple[Path, ...]:
    return tuple(sorted(paths, key=lambda path: (natural_key(path.name), path.name)))

"""What all layouts share: the noun, the natural order of names, and a folder's visible content."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from gliamap.case import DataSet
from gliamap.io.archive import is_archive, list_members
from gliamap.io.images import IMAGE_SUFFIXES
from gliamap.io.mgz import MGZ_SUFFIXES
from gliamap.io.nifti_header import NIFTI_SUFFIXES

SUFFIXES = (*NIFTI_SUFFIXES, *MGZ_SUFFIXES, *IMAGE_SUFFIXES)
"""How the files end that images and masks may be in."""

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
    """What ``folder``, an archive or a folder in one shows.

    Hidden names and what macOS leaves in archives (``._*``, ``__MACOSX``) are passed over. ``OSError`` where the folder
    cannot be read, ``FileError`` where the archive is damaged or refused.
    """
    inside = list_members(folder)
    if inside is None:
        with os.scandir(folder) as entries:
            inside = {entry.name: _is_folder(entry) for entry in entries}
    shown = [(folder / n, is_dir) for n, is_dir in inside.items() if not n.startswith(".") and n not in _NOT_DATA]
    return Listing(
        _sorted([path for path, is_dir in shown if is_dir]), _sorted([path for path, is_dir in shown if not is_dir])
    )


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link in a circle: whoever opens it hears of it
        return False


def unwrapped(root: Path) -> Path:
    """The folder that an archive wraps its content in, else ``root`` itself: ``Task01.tar/Task01_BrainTumour``."""
    if not is_archive(root):
        return root
    listing = list_folder(root)
    return listing.folders[0] if len(listing.folders) == 1 and not listing.files else root


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

"""Which modality a file is, by its name; and what keeps a case from being segmented."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from gliamap.config import ModelSpec
from gliamap.server.nouns import BUSY, CaseRecord, FileRecord, GridRecord, ToldBy
from gliamap.sources.modalities import canonical_modality, is_mask_name
from gliamap.volume import Grid

_SUFFIX = re.compile(r"(\.(nii|mgz|png|jpe?g|tiff?|gz))+$", re.IGNORECASE)
_CONTRAST = re.compile(r"(^|_)ce-(?!no|pre)", re.IGNORECASE)  # as BIDS says it
_WORDS = 3  # of a name that a modality may be made of: 't1', 'post', 'contrast'


@dataclass(frozen=True)
class Problem:
    """What is wrong or worth knowing before a case is segmented; ``blocking`` where it cannot be."""

    code: str
    text: str
    blocking: bool = True

    def as_json(self) -> dict[str, Any]:
        """As the interface shows it."""
        return {"code": self.code, "text": self.text, "blocking": self.blocking}


def recognised(name: str, *, image: bool) -> tuple[str | None, ToldBy]:
    """The modality that a file's name tells, and how it was told.

    The last words that are a modality count: ``BraTS_post_t1`` is a T1 of a visit called 'post'. An ``image`` (PNG,
    JPEG, TIFF) without one is a contrast-enhanced T1, as everywhere in gliamap.
    """
    stem = _SUFFIX.sub("", name.rsplit("/", 1)[-1])
    words = [word for word in re.split(r"[^A-Za-z0-9]+", stem) if word]
    for last in range(len(words), 0, -1):
        if is_mask_name(words[last - 1]):
            return None, "mask-name"
        for first in range(max(0, last - _WORDS), last):
            modality = canonical_modality("".join(words[first:last]))
            if modality is not None:
                enhanced = modality == "t1" and _CONTRAST.search(stem)
                return ("t1c" if enhanced else modality), "name"
    return ("t1c", "name") if image else (None, "unknown")


def problems_of(record: CaseRecord, models: Mapping[str, ModelSpec], *, choosing: bool = False) -> list[Problem]:
    """What keeps the case from being segmented, and what the user should know; in the order of importance.

    ``choosing``: the job chooses a model where none is said.
    """
    if not record.files:
        return [Problem("no-files", "There are no scans yet.")]
    used = [one for one in record.files if one.modality is not None]
    found = [*_twice(used), *_of_model(used, record, models, choosing=choosing), *_grids(used, record)]
    unused = sum(one.modality is None and one.told_by != "mask-name" for one in record.files)  # masks say so themselves
    if unused:
        text = f"{unused} of {len(record.files)} files {'is' if unused == 1 else 'are'} not used."
        found.append(Problem("unused-files", text, blocking=False))
    return found


def is_ready(record: CaseRecord, problems: list[Problem]) -> bool:
    """Whether the case can be started."""
    return record.state not in BUSY and not any(one.blocking for one in problems)


_NO_MODEL = Problem("no-model", "Choose a model.")


def _twice(used: list[FileRecord]) -> list[Problem]:
    count = Counter(one.modality for one in used)
    names = [str(name) for name, times in count.items() if times > 1]
    return [Problem("twice", f"Several files are taken for {name}: leave all but one out.") for name in names]


def _of_model(
    used: list[FileRecord], record: CaseRecord, models: Mapping[str, ModelSpec], *, choosing: bool
) -> list[Problem]:
    if record.model is None and choosing:
        return [] if used else [Problem("missing-modality", "Say what the files show.")]
    spec = models.get(record.model or "")
    return _against_model(used, spec) if spec else [_NO_MODEL]


def _against_model(used: list[FileRecord], spec: ModelSpec) -> list[Problem]:
    there = {one.modality for one in used}
    wanted = spec.prep.modalities
    missing = [name for name in wanted if name not in there]
    needed = [name for name in missing if name not in spec.may_be_missing]
    extra = sorted(str(name) for name in there - set(wanted))
    found = []
    if needed or len(missing) == len(wanted):
        lacks = ", ".join(needed or missing)
        found.append(Problem("missing-modality", f"The model needs {lacks}: add the scan, or say which file it is."))
    elif missing:
        text = f"Without {', '.join(missing)} the result may be worse."
        found.append(Problem("without-modality", text, blocking=False))
    if extra:
        text = f"The model does not look at {', '.join(extra)}."
        found.append(Problem("not-looked-at", text, blocking=False))
    return found


def _grids(used: list[FileRecord], record: CaseRecord) -> list[Problem]:
    """Files whose voxels do not lie in the same places."""
    grids = [_grid(one.grid) for one in used]
    onto = record.options.resample_to
    if onto is not None and onto not in {one.modality for one in used}:
        return [Problem("no-target", f"There is no {onto} whose grid the others could be brought onto.")]
    if all(one.same_as(grids[0]) for one in grids[1:]):
        return []
    if len({one.unit for one in grids}) > 1 or any(one.unit == "px" for one in grids):
        return [Problem("grids-differ", "The images have different sizes: they are not of the same slice.")]
    if onto is None:
        text = "The scans lie on different grids: choose one that the others are brought onto, or register them first."
        return [Problem("grids-differ", text)]
    return [Problem("not-registered", f"The others are brought onto the grid of {onto}, unregistered.", blocking=False)]


def _grid(record: GridRecord) -> Grid:
    return Grid(record.shape, np.array(record.affine), record.unit)

"""Whether the images of a data set are skull-stripped brains or whole heads: what the layout says, else the voxels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from gliamap.case import CaseFiles, DataSet
from gliamap.checks.anatomy import Foreground, stripped_or_head
from gliamap.errors import GliamapError
from gliamap.io.cases import read_image_file
from gliamap.io.nifti import replace_nonfinite
from gliamap.workflows.common.conventions import evenly

_BEST_TO_TELL = ("t1", "t1c", "t2", "flair")  # fat under the skin is bright in T1


def settle_foreground(data: DataSet, sample: int = 3) -> tuple[Foreground | None, str]:
    """``brain``, ``head`` or, where neither the layout nor ``sample`` cases tell, ``None``; and why, in words."""
    if data.foreground is not None:
        return data.foreground, "the layout says so"
    sampled = evenly(data.cases, sample)
    seen = [look for look in _looks(sampled) if look is not None]
    if seen and len(set(seen)) == 1:
        return seen[0], f"seen in {len(seen)} of {len(sampled)} cases"
    if seen:
        return None, f"of {len(sampled)} cases {seen.count('brain')} look skull-stripped and {seen.count('head')} whole"
    return None, f"{len(sampled)} cases do not tell"


def telling_modality(case: CaseFiles) -> str | None:
    """The modality of a case that shows its skull state best; ``None`` where it has none."""
    return next((name for name in (*_BEST_TO_TELL, *case.modalities) if name in case.modalities), None)


def _looks(cases: Iterable[CaseFiles]) -> Iterator[Foreground | None]:
    """What one modality of each case shows."""
    for case in cases:
        name = telling_modality(case)
        if name is None:
            continue
        try:
            volume, _ = read_image_file(case.modalities[name], case.channels.get(name))
        except GliamapError:
            continue
        replace_nonfinite(volume)
        yield stripped_or_head(volume[None])

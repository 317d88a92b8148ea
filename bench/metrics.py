"""What scoring costs beside MONAI and surface-distance, equal values asserted. JSON for a table:

    OMP_NUM_THREADS=1 python bench/metrics.py > metrics.json && mv metrics.json docs/results/metrics.json && make tables

Every pair of ``golden/brats2023.json`` beside the folder named by ``GLIAMAP_DATA``, and the largest tumours there
against themselves, moved by 5 mm and mirrored: the surfaces lie close, apart and far apart. Seconds are processor time
of one thread, the best of two runs, of all regions that both masks have; those of the official script are what the
golden file says, wall time on a busy machine.
"""

from __future__ import annotations

import json
import math
import os
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from run import commit, machine

from gliamap.io.nifti import read_labels
from gliamap.labels import LabelMap, Region, get_convention, region_mask, to_tissue
from gliamap.metrics import surface, voxel_surface
from gliamap.metrics.surface import TOLERANCE
from gliamap.scoring.protocols import LEGACY, PROTOCOLS
from gliamap.scoring.score import score_case
from gliamap.volume import Grid

REPEATS = 2
PROTOCOL_OF = {"BraTS-GLI": "brats2023-gli", "BraTS-MET": "brats2023-met"}
LARGEST = ("BraTS2021_01478", "BraTS2021_01479")
WORST = 374.0

Mask = NDArray[np.bool_]
Masks = tuple[Mask, Mask]
Figures = Mapping[str, float]
Side = Callable[[Masks, tuple[float, float, float]], Figures]
T = TypeVar("T")
Pair = tuple[str, LabelMap, LabelMap, Grid, str, float | None]
"""Name, prediction, reference, their grid, the protocol, and the seconds of the official script where it was run."""


def pairs(data: Path) -> Iterator[Pair]:
    """The golden pairs, then the made ones."""
    golden = data.parent / "golden"
    for entry in json.loads((golden / "brats2023.json").read_text(encoding="utf-8")):
        reference, grid = tissues(*reference_of(entry["reference"], data))
        prediction, _ = tissues(golden / entry["prediction"], "brats2023")
        name = f"{entry['prediction'].removesuffix('.nii.gz')}, {entry['protocol']}"
        yield name, prediction, reference, grid, PROTOCOL_OF[entry["protocol"]], entry["seconds"]
    for name in LARGEST:
        reference, grid = tissues(*reference_of(name, data))
        yield f"{name}, moved", np.roll(reference, (4, 3, 0), (0, 1, 2)), reference, grid, "brats2023-gli", None
        yield f"{name}, mirrored", np.ascontiguousarray(reference[::-1]), reference, grid, "brats2023-gli", None


def reference_of(name: str, data: Path) -> tuple[Path, str]:
    """The reference mask called ``name`` and its convention."""
    if name.endswith(".nii.gz"):
        return data.parent / "golden" / name, "brats2023"
    if name.startswith("BraTS2021"):
        return data / "brats21" / name / f"{name}_seg.nii.gz", "brats2021"
    return data / "brats23" / name / f"{name}-seg.nii.gz", "brats2023"


def tissues(path: Path, convention: str) -> tuple[LabelMap, Grid]:
    """A mask file's tissues and grid."""
    values, grid = read_labels(path)
    return to_tissue(values, get_convention(convention)), grid


def areas_here(masks: Masks, spacing: tuple[float, float, float]) -> Figures:
    """The area-weighted figures, ours."""
    found = surface.surface_distances(*masks, spacing)
    return {"hd95": surface.hd95(found, worst=WORST), **others_here(found)}


def areas_there(masks: Masks, spacing: tuple[float, float, float]) -> Figures:
    """The same by surface-distance, whose averages of both directions are joined by area."""
    import surface_distance as other

    found = other.compute_surface_distances(masks[1], masks[0], spacing)
    sizes = [float(found[f"surfel_areas_{side}"].sum()) for side in ("gt", "pred")]
    means = other.compute_average_surface_distance(found)
    return {
        "hd95": float(other.compute_robust_hausdorff(found, 95)),
        "hd": float(other.compute_robust_hausdorff(found, 100)),
        "surface_dice": float(other.compute_surface_dice_at_tolerance(found, TOLERANCE)),
        "assd": float(np.average(means, weights=sizes)),
    }


def voxels_here(masks: Masks, spacing: tuple[float, float, float]) -> Figures:
    """The figures of border voxels, ours."""
    found = voxel_surface.voxel_distances(*masks, spacing)
    return {"hd95": voxel_surface.hd95_voxels(found, worst=WORST), **others_here(found)}


def others_here(found: surface.SurfaceDistances) -> Figures:
    """The figures that both kinds of surface share."""
    return {
        "hd": surface.hd(found, worst=WORST),
        "surface_dice": surface.surface_dice(found),
        "assd": surface.assd(found, worst=WORST),
    }


def voxels_there(masks: Masks, spacing: tuple[float, float, float]) -> Figures:
    """The same by MONAI."""
    from monai.metrics.hausdorff_distance import compute_hausdorff_distance
    from monai.metrics.surface_dice import compute_surface_dice
    from monai.metrics.surface_distance import compute_average_surface_distance

    one, other = (torch.from_numpy(mask)[None, None].float() for mask in masks)
    how: dict[str, Any] = {"include_background": True, "spacing": list(spacing)}
    return {
        "hd95": compute_hausdorff_distance(one, other, percentile=95, **how).item(),
        "hd": compute_hausdorff_distance(one, other, **how).item(),
        "surface_dice": compute_surface_dice(one, other, [TOLERANCE * (1 + surface.ROUNDING)], **how).item(),
        "assd": compute_average_surface_distance(one, other, symmetric=True, **how).item(),
    }


def timed(work: Callable[[], T]) -> tuple[T, float]:
    """What ``work`` gives, and its processor seconds, the best of several."""
    seconds = []
    for _ in range(REPEATS):
        started = time.process_time()
        result = work()
        seconds.append(time.process_time() - started)
    return result, float(f"{min(seconds):.3g}")


def each(side: Side, masks: Sequence[Masks], spacing: tuple[float, float, float]) -> list[Figures]:
    """The figures of every region."""
    return [side(both, spacing) for both in masks]


def compare(masks: Sequence[Masks], spacing: tuple[float, float, float]) -> dict[str, float]:
    """Seconds of ours and theirs over the masks of all regions; ``AssertionError`` where a value differs."""
    sides = {"areas": areas_here, "surface_distance": areas_there, "voxels": voxels_here, "monai": voxels_there}
    done = {name: timed(partial(each, side, masks, spacing)) for name, side in sides.items()}
    # MONAI's percentile has single precision
    for ours, theirs, slack in (("areas", "surface_distance", 1e-6), ("voxels", "monai", 1e-5)):
        for here, there in zip(done[ours][0], done[theirs][0], strict=True):
            for name, value in here.items():
                assert math.isclose(value, there[name], rel_tol=1e-6, abs_tol=slack), (name, value, there[name])
    return {name: seconds for name, (_, seconds) in done.items()}


def measure(pair: Pair) -> dict[str, Any]:
    """One row: seconds of every way to score ``pair``."""
    name, prediction, reference, grid, protocol, official = pair
    every = [(region_mask(prediction, region), region_mask(reference, region)) for region in Region]
    both = [masks for masks in every if masks[0].any() and masks[1].any()]
    seconds = compare(both, grid.spacing)
    score = partial(score_case, prediction, reference, grid, tuple(Region))
    _, seconds["everything"] = timed(partial(score, protocol=LEGACY))
    _, seconds["with_lesions"] = timed(partial(score, protocol=PROTOCOLS[protocol]))
    return {"pair": name, "regions": len(both), "seconds": seconds | {"official": official}}


def main() -> None:
    """Measure everything and print it."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # of scipy's and MONAI's own old names, called by the others
    rows = [measure(pair) for pair in pairs(Path(os.environ["GLIAMAP_DATA"]))]
    print(json.dumps({"commit": commit(), "machine": machine(), "pairs": rows}, indent=1))


if __name__ == "__main__":
    main()

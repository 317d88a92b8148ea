"""How often the preflight notices damage, and how often it cries wolf: JSON on standard output.

Every case of ``brats21`` and ``brats23`` in the folder named by ``GLIAMAP_DATA`` is damaged in each of the ways of
``DAMAGES`` and checked; so are the undamaged cases, for the false alarms of each rule. What concerns several cases
is tried on copies saved in another way, and on the visits of ``msd-t1gd-2d`` that belong to one patient. ``heads`` in
place of that: whole heads where brains are expected, and copies on both sides of a split. For the table:

    python bench/detection.py > detection.json && mv detection.json docs/results/detection.json
    python bench/detection.py heads > heads.json && mv heads.json docs/results/detection-heads.json
    make tables
"""

from __future__ import annotations

import csv
import json
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from itertools import combinations
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from run import commit, machine
from scipy import ndimage

from gliamap.case import CaseFiles
from gliamap.checks.anatomy import Foreground
from gliamap.checks.case import CheckedCase, Expected, check_case
from gliamap.checks.duplicates import Entry, Kind, find_duplicates
from gliamap.checks.leaks import find_leaks
from gliamap.sources.detect import scan

_NIFTI: Any = nib.Nifti1Image

CLOSED_MSD_FOLD = 4
CLOSED_FIGSHARE_FOLD = 3
"""Nothing is measured on these folds of ``msd-t1gd-2d`` and ``figshare-t1c``."""

Array = NDArray[Any]
Change = Callable[[CaseFiles, Path, np.random.Generator], CaseFiles]
"""Gives the files of a damaged case; writes what it changes into the folder."""


@dataclass(frozen=True)
class Damage:
    """What is done to a case, and the rule that should notice it."""

    title: str
    rule: str
    change: Change


def load(path: Path) -> tuple[Array, Any]:
    """The voxels as float64, and the image."""
    image: Any = nib.load(path)
    return np.asarray(image.dataobj, np.float64), image


def save(data: Array, image: Any, path: Path, *, affine: Array | None = None) -> Path:
    """Save voxels with the header's geometry, or another affine, as float32."""
    out: Any = _NIFTI(data.astype(np.float32), image.affine if affine is None else affine)
    out.to_filename(path)
    return path


def on_image(name: str, act: Callable[[Array, np.random.Generator], Array]) -> Change:
    """Change the voxels of a modality; of ``mask``, those of the mask."""

    def change(files: CaseFiles, folder: Path, rng: np.random.Generator) -> CaseFiles:
        path = files.labels if name == "mask" else files.modalities[name]
        assert path is not None
        data, image = load(path)
        return with_file(files, name, save(act(data, rng), image, folder / path.name))

    return change


def with_file(files: CaseFiles, name: str, path: Path) -> CaseFiles:
    """The case with another file for a modality, or for the mask."""
    if name == "mask":
        return replace(files, labels=path)
    return replace(files, modalities={**files.modalities, name: path})


def spaced(factor: float) -> Change:
    """Every header says voxels ``factor`` times as large."""

    def change(files: CaseFiles, folder: Path, rng: np.random.Generator) -> CaseFiles:
        for name, path in [*files.modalities.items(), ("mask", files.labels)]:
            assert path is not None
            data, image = load(path)
            affine = image.affine @ np.diag([factor, factor, factor, 1.0])
            files = with_file(files, name, save(data, image, folder / path.name, affine=affine))
        return files

    return change


def thick(files: CaseFiles, folder: Path, rng: np.random.Generator) -> CaseFiles:
    """Every fifth slice is kept, and the headers still say 1 mm."""
    for name, path in [*files.modalities.items(), ("mask", files.labels)]:
        assert path is not None
        data, image = load(path)
        files = with_file(files, name, save(data[..., ::5], image, folder / path.name))
    return files


def moved_header(files: CaseFiles, folder: Path, rng: np.random.Generator) -> CaseFiles:
    """The affine of FLAIR lies 5 mm off."""
    data, image = load(files.modalities["flair"])
    affine = image.affine.copy()
    affine[0, 3] += 5
    return with_file(files, "flair", save(data, image, folder / "flair.nii.gz", affine=affine))


def fewer_slices(files: CaseFiles, folder: Path, rng: np.random.Generator) -> CaseFiles:
    """T2 lacks its last two slices."""
    data, image = load(files.modalities["t2"])
    return with_file(files, "t2", save(data[..., :-2], image, folder / "t2.nii.gz"))


def two_affines(files: CaseFiles, folder: Path, rng: np.random.Generator) -> CaseFiles:
    """The qform of T1 is flipped left to right; the sform is right."""
    data, image = load(files.modalities["t1"])
    out: Any = _NIFTI(data.astype(np.float32), image.affine)
    out.set_qform(np.diag([-1.0, 1.0, 1.0, 1.0]) @ image.affine, code=1)
    out.set_sform(image.affine, code=1)
    out.to_filename(folder / "t1.nii.gz")
    return with_file(files, "t1", folder / "t1.nii.gz")


def no_codes(files: CaseFiles, folder: Path, rng: np.random.Generator) -> CaseFiles:
    """The header of every file gives no affine."""
    for name, path in [*files.modalities.items(), ("mask", files.labels)]:
        assert path is not None
        data, image = load(path)
        out: Any = _NIFTI(data.astype(np.float32), image.affine)
        out.set_qform(None, code=0)
        out.set_sform(None, code=0)
        out.to_filename(folder / path.name)
        files = with_file(files, name, folder / path.name)
    return files


def truncated(files: CaseFiles, folder: Path, rng: np.random.Generator) -> CaseFiles:
    """The second half of T1c's file is missing."""
    content = files.modalities["t1c"].read_bytes()
    (folder / "t1c.nii.gz").write_bytes(content[: len(content) // 2])
    return with_file(files, "t1c", folder / "t1c.nii.gz")


def without_flair(files: CaseFiles, folder: Path, rng: np.random.Generator) -> CaseFiles:
    """FLAIR is not there."""
    return replace(files, modalities={k: v for k, v in files.modalities.items() if k != "flair"})


def not_numbers(data: Array, rng: np.random.Generator) -> Array:
    """NaN in a hundred voxels of the brain."""
    out = data.copy()
    inside = np.flatnonzero(data)
    out.ravel()[rng.choice(inside, 100, replace=False)] = np.nan
    return out


def cut_off(data: Array, rng: np.random.Generator) -> Array:
    """The brightest tenth of the brain at one value."""
    return np.asarray(np.minimum(data, np.percentile(data[data != 0], 90)))


def copied(scale: float) -> Change:
    """T1c is a copy of T1, scaled."""

    def change(files: CaseFiles, folder: Path, rng: np.random.Generator) -> CaseFiles:
        data, image = load(files.modalities["t1"])
        return with_file(files, "t1c", save(np.rint(data * scale), image, folder / "t1c.nii.gz"))

    return change


def swapped(one: str, other: str) -> Change:
    """Two modalities under each other's names."""

    def change(files: CaseFiles, folder: Path, rng: np.random.Generator) -> CaseFiles:
        names = {one: other, other: one}
        return replace(files, modalities={k: files.modalities[names.get(k, k)] for k in files.modalities})

    return change


def wrong_value(data: Array, rng: np.random.Generator) -> Array:
    """Label 1 becomes 7."""
    return np.where(data == 1, 7.0, data)


def interpolated(data: Array, rng: np.random.Generator) -> Array:
    """The mask resampled linearly by half a voxel."""
    return np.asarray(ndimage.shift(data, (0.5, 0.3, 0), order=1))


def flipped(data: Array, rng: np.random.Generator) -> Array:
    """The mask mirrored left to right."""
    return data[::-1]


def shifted(data: Array, rng: np.random.Generator) -> Array:
    """The mask 15 voxels off along a random axis."""
    return np.roll(data, int(rng.choice([-15, 15])), int(rng.integers(3)))


def speckled(count: int) -> Callable[[Array, np.random.Generator], Array]:
    """Single voxels of edema anywhere away from the tumour."""

    def change(data: Array, rng: np.random.Generator) -> Array:
        out = data.copy()
        free = ndimage.binary_erosion(data == 0, iterations=3)
        out.ravel()[rng.choice(np.flatnonzero(free), count, replace=False)] = 2
        return out

    return change


DAMAGES = (
    Damage("file cut in half", "unreadable", truncated),
    Damage("FLAIR missing", "missing-modality", without_flair),
    Damage("header of one file 5 mm off", "grids-differ", moved_header),
    Damage("two slices missing in one file", "grids-differ", fewer_slices),
    Damage("voxels said to be 4 times as large", "spacing-implausible", spaced(4)),
    Damage("voxels said to be a quarter as large", "spacing-implausible", spaced(0.25)),
    Damage("every fifth slice kept, spacing not changed", "spacing-implausible", thick),
    Damage("qform mirrored against sform", "qform-sform-differ", two_affines),
    Damage("no affine in the header", "no-affine", no_codes),
    Damage("NaN in 100 voxels", "not-finite", on_image("t2", not_numbers)),
    Damage("T2 all zero", "empty-image", on_image("t2", lambda data, rng: data * 0)),
    Damage("FLAIR all one value", "constant-image", on_image("flair", lambda data, rng: data * 0 + 100)),
    Damage("brightest tenth cut off", "saturated", on_image("t1c", cut_off)),
    Damage("T1c is a copy of T1", "copied-channel", copied(1)),
    Damage("T1c is a copy of T1, scaled and rounded", "copied-channel", copied(0.37)),
    *(
        Damage(f"{one} and {other} swapped", "modalities-swapped", swapped(one, other))
        for one, other in combinations(("t1", "t1c", "t2", "flair"), 2)
    ),
    Damage("label 1 written as 7", "labels-outside-convention", on_image("mask", wrong_value)),
    Damage("mask interpolated", "labels-not-whole", on_image("mask", interpolated)),
    Damage("mask mirrored left to right", "mask-does-not-fit", on_image("mask", flipped)),
    Damage("mask 15 voxels off", "mask-does-not-fit", on_image("mask", shifted)),
    Damage("10 specks in the mask (true masks have up to 20)", "tiny-components", on_image("mask", speckled(10))),
    Damage("40 specks in the mask", "tiny-components", on_image("mask", speckled(40))),
)

MASK_TROUBLE = frozenset({"mask-does-not-fit", "tumour-outside-brain"})
"""Either of these tells the user to look at the mask."""

EXPECTED = Expected(modalities=("t1", "t1c", "t2", "flair"), foreground="brain")


def check_damaged(job: tuple[int, CaseFiles]) -> tuple[int, frozenset[str]]:
    """The rules that a case breaks once it is damaged in the way of that number; undamaged for -1."""
    number, files = job
    rng = np.random.default_rng((number + 1, sum(files.case_id.encode())))
    with tempfile.TemporaryDirectory() as folder:
        changed = files if number < 0 else DAMAGES[number].change(files, Path(folder), rng)
        return number, codes(check_case(changed, EXPECTED))


def codes(checked: CheckedCase) -> frozenset[str]:
    """The rules that a case breaks."""
    return frozenset(finding.code for finding in checked.report.findings)


def other_mask(job: tuple[CaseFiles, CaseFiles]) -> frozenset[str]:
    """The rules that a case breaks with the mask of another one, centred on its grid."""
    files, other = job
    assert files.labels is not None and other.labels is not None
    (mask, _), (own, image) = load(other.labels), load(files.labels)
    placed = np.zeros_like(own)
    here, there = zip(*(_overlap(a, b) for a, b in zip(own.shape, mask.shape, strict=True)), strict=True)
    placed[here] = mask[there]
    with tempfile.TemporaryDirectory() as folder:
        path = save(placed, image, Path(folder) / "mask.nii.gz")
        return codes(check_case(replace(files, labels=path), EXPECTED))


def _overlap(size: int, other: int) -> tuple[slice, slice]:
    """Where the middles of two axes lie on each other."""
    length = min(size, other)
    own, its = (size - length) // 2, (other - length) // 2
    return slice(own, own + length), slice(its, its + length)


def resaved(files: CaseFiles) -> tuple[Entry, Entry]:
    """A case, and the same one saved as 16-bit integers of other scale, with turned and mirrored axes, cropped."""
    with tempfile.TemporaryDirectory() as folder:
        changed = files
        for name, path in [*files.modalities.items(), ("mask", files.labels)]:
            assert path is not None
            data, image = load(path)
            if name != "mask":
                data = np.rint(data * 20000 / max(1.0, float(data.max())))
            turned: Any = _NIFTI(data.astype(np.int16), image.affine).as_reoriented(
                np.array([[1, -1], [0, 1], [2, -1]])
            )
            turned.slicer[1:, :, 1:].to_filename(Path(folder) / f"{name}.nii")
            changed = with_file(changed, name, Path(folder) / f"{name}.nii")
        return entry("first", files, files.case_id), entry("second", changed, f"copy of {files.case_id}")


def entry(data_set: str, files: CaseFiles, patient: str, *, patients_known: bool = True) -> Entry:
    """A case as it is compared with others."""
    found = check_case(files, EXPECTED).fingerprint
    assert found is not None
    return Entry(data_set, files.case_id, patient, found, patients_known)


def slice_entry(files: CaseFiles) -> Entry:
    """A slice of ``msd-t1gd-2d``; its case id passes for the patient, as it does with those who do not know better."""
    return entry("msd-t1gd-2d", files, files.case_id.rsplit("_z", 1)[0])


def figure(damage: str, rule: str, noticed: Sequence[bool], alarms: Sequence[bool]) -> dict[str, Any]:
    """One row of the table."""
    return {
        "damage": damage,
        "rule": rule,
        "noticed": sum(noticed),
        "damaged": len(noticed),
        "false_alarms": sum(alarms),
        "sound": len(alarms),
    }


def of_single_cases(cases: Sequence[CaseFiles], pool: ProcessPoolExecutor) -> list[dict[str, Any]]:
    """The figures of ``DAMAGES`` and of exchanged masks."""
    jobs = [(number, files) for number in range(-1, len(DAMAGES)) for files in cases]
    broken: dict[int, list[frozenset[str]]] = {}
    for number, found in pool.map(check_damaged, jobs):
        broken.setdefault(number, []).append(found)
    sound = broken[-1]
    figures = [
        figure(
            damage.title,
            damage.rule,
            [_noticed(damage.rule, found) for found in broken[number]],
            [_noticed(damage.rule, found) for found in sound],
        )
        for number, damage in enumerate(DAMAGES)
    ]
    others = [(one, cases[(at + step) % len(cases)]) for at, one in enumerate(cases) for step in (1, 2, 3)]
    exchanged = list(pool.map(other_mask, others))
    rule = "mask-does-not-fit"
    figures.append(
        figure("mask of another case", rule, [_noticed(rule, f) for f in exchanged], [_noticed(rule, f) for f in sound])
    )
    alarms = Counter(code for found in sound for code in found)
    print(f"undamaged cases break: {dict(alarms)}", file=sys.stderr)
    return figures


def _noticed(rule: str, found: frozenset[str]) -> bool:
    return bool(found & MASK_TROUBLE) if rule in MASK_TROUBLE else rule in found


def of_several_cases(cases: Sequence[CaseFiles], pool: ProcessPoolExecutor) -> list[dict[str, Any]]:
    """The figures of what is found by comparing cases: copies under other names."""
    pairs = list(pool.map(resaved, cases))
    entries = [one for pair in pairs for one in pair]
    found = find_duplicates(entries)
    copies = {(p.first, p.second) for p in found if p.kind == Kind.DUPLICATE}
    others = {(p.first, p.second) for p in found} - {(2 * n, 2 * n + 1) for n in range(len(cases))}
    different = list(combinations(range(len(cases)), 2))
    wrong = {(a // 2, b // 2) for a, b in others}
    return [
        figure(
            "case saved again: other numbers, axes, borders",
            "duplicate",
            [(2 * n, 2 * n + 1) in copies for n in range(len(cases))],
            [pair in wrong for pair in different],
        )
    ]


def unexpected(job: tuple[CaseFiles, Foreground]) -> bool:
    """Whether a case is told to look otherwise than expected."""
    files, foreground = job
    return "foreground-unexpected" in codes(check_case(files, Expected(foreground=foreground)))


def of_heads(data: Path, brains: Sequence[CaseFiles], pool: ProcessPoolExecutor) -> list[dict[str, Any]]:
    """Whole heads where skull-stripped brains are expected, in volumes and in slices."""
    volumes = list(scan(data / "btp-t1post", "{case}/{case}_{modality}.nii.gz").cases)
    slices = [f for f in scan(data / "figshare-t1c").cases if f.identity.fold != CLOSED_FIGSHARE_FOLD]
    stripped = [f for f in scan(data / "msd-t1gd-2d").cases if f.identity.fold != CLOSED_MSD_FOLD]
    figures = []
    for kind, heads, others in (("volume", volumes, brains), ("slice", slices, stripped)):
        noticed, alarms = (
            list(pool.map(unexpected, [(f, "brain") for f in cases], chunksize=8)) for cases in (heads, others)
        )
        title = f"whole head for a skull-stripped brain, {kind}"
        figures.append(figure(title, "foreground-unexpected", noticed, alarms))
    return figures


def of_leaks(cases: Sequence[CaseFiles], pool: ProcessPoolExecutor) -> list[dict[str, Any]]:
    """Every case in training, and its copy, saved again under another name, in the test part."""
    entries = [one for pair in pool.map(resaved, cases) for one in pair]
    names, patients = [one.case_id for one in entries], [one.patient for one in entries]
    pairs = find_duplicates(entries)
    both = {number: ("train", "test")[number % 2] for number in range(len(entries))}
    found = find_leaks(both, names, patients, pairs)
    # Sound: of each case, only the original or only the copy, on either side.
    alone = {number: part for number, part in both.items() if number % 4 in (0, 3)}
    wrong = find_leaks(alone, names, patients, pairs)
    title = "patient in training and, saved again under another name, in the test part"
    return [figure(title, "leak", [number in found for number in both], [number in wrong for number in alone])]


def of_visits(root: Path, pool: ProcessPoolExecutor) -> list[dict[str, Any]]:
    """Two visits of one patient under two names, slice against slice at the same height; and slices of strangers."""
    rows = {row["file"].removesuffix(".png"): row for row in _manifest(root / "manifest.csv")}
    folds: Mapping[str, int] = json.loads((root.parent / "folds.json").read_text())[_section(root)]
    files = [f for f in scan(root).cases if folds[rows[f.case_id]["patient_group"]] != CLOSED_MSD_FOLD]
    entries = list(pool.map(slice_entry, files, chunksize=32))
    by_place: dict[tuple[str, str], list[int]] = {}
    for number, one in enumerate(entries):
        by_place.setdefault((rows[one.case_id]["patient_group"], rows[one.case_id]["z"]), []).append(number)
    same = {pair for numbers in by_place.values() for pair in combinations(numbers, 2)}
    found = {(p.first, p.second) for p in find_duplicates(entries)}
    group = [rows[one.case_id]["patient_group"] for one in entries]
    strangers = len(entries) * (len(entries) - 1) // 2 - sum(n * (n - 1) // 2 for n in Counter(group).values())
    wrong = [pair for pair in found if group[pair[0]] != group[pair[1]]]
    row = figure("two visits of one patient, slices of one height", "same-patient", [p in found for p in same], [])
    return [row | {"false_alarms": len(wrong), "sound": strangers}]


def _section(root: Path) -> str:
    sections: dict[str, Any] = json.loads((root.parent / "folds.json").read_text())
    return next(name for name in sections if name.startswith(root.name))


def _manifest(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as stream:
        return list(csv.DictReader(stream))


def main() -> None:
    """Print the figures."""
    data = Path(os.environ["GLIAMAP_DATA"])
    cases = [files for name in ("brats21", "brats23") for files in scan(data / name).cases]
    with ProcessPoolExecutor(len(os.sched_getaffinity(0)), mp_context=get_context("spawn")) as pool:
        if sys.argv[1:] == ["heads"]:
            figures = of_heads(data, cases, pool) + of_leaks(cases, pool)
        else:
            figures = of_single_cases(cases, pool)
            figures += of_several_cases(cases, pool)
            figures += of_visits(data / "msd-t1gd-2d", pool)
    print(json.dumps({"commit": commit(), "machine": machine(), "figures": figures}, indent=2))


if __name__ == "__main__":
    main()

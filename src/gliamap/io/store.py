"""The prepared data set on disk: one folder a case, arrays that are read through memory maps, by patch.

STORE/store.json                 what every case shares, and one line a case
STORE/cases/CASE_ID/image.npy    (C, X, Y, Z) float16
                   /labels.npy   (X, Y, Z) uint8 tissues
                   /samples.npz  (N, 3) int32 positions of each region
                   /case.json    grid record, lesions, origin; written last, so its presence means complete
                   /distances-REGION.npy  (X, Y, Z) float16, where asked for; written after all that
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from gliamap.boxes import Box, Shape
from gliamap.case import CaseFiles, CaseIdentity, GridRecord, Lesion, PreparedCase, TumourIndex
from gliamap.config import PrepConfig, Settings
from gliamap.errors import FileError
from gliamap.io.archive import origin_of
from gliamap.io.atomic import atomic_path, read_json, write_json
from gliamap.labels import Region
from gliamap.volume import Grid

_MAX_FLOAT16 = float(np.finfo(np.float16).max)


class StoreEntry(Settings):
    """One case in ``store.json``: enough to split and to choose a case, without opening it."""

    case_id: str
    patient_id: str
    fold: int | None
    exclude_when_test_fold: tuple[int, ...]
    convention: str
    shape: Shape
    voxels: dict[Region, int]
    aliases: tuple[str, ...] = ()

    @property
    def identity(self) -> CaseIdentity:
        """The part that a split needs."""
        excluded, aliases = frozenset(self.exclude_when_test_fold), frozenset(self.aliases)
        return CaseIdentity(self.case_id, self.patient_id, self.fold, excluded, aliases)


class StoreInfo(Settings):
    """``store.json``: how the cases were prepared, which label convention they came with, and the cases.

    ``sources`` are the names of the files or folders they came from, without the path; empty where not known.
    """

    format: Literal[1] = 1
    prep: PrepConfig
    convention: str
    layouts: tuple[str, ...]
    sources: tuple[str, ...] = ()
    patients_known: bool
    fingerprint: str = ""
    cases: tuple[StoreEntry, ...] = ()


def case_origin(files: CaseFiles, prep: PrepConfig, convention: str | None = None) -> dict[str, Any]:
    """What a prepared case was made from: settings, and name, size and modification time (ns) of each source file.

    For a file in an archive the time is the archive's.

    ``convention`` is the label convention that the user named, if any. A changed source is noticed without reading
    it. Files are listed by their role: an image and its mask often share a name.
    """
    paths = dict(files.modalities) | ({"labels": files.labels} if files.labels else {})
    return {
        "prep": prep.model_dump(mode="json"),
        "convention": convention,
        "files": {role: [path.name, *origin_of(path)] for role, path in paths.items()},
    }


def write_case(store: Path, prepared: PreparedCase, *, origin: Mapping[str, Any], convention: str) -> None:
    """Write one prepared case with labels and index. An interruption leaves no complete case behind.

    ``origin`` is that of :func:`case_origin`, ``convention`` what its label file used.
    """
    if prepared.labels is None or prepared.index is None:
        raise ValueError(f"case {prepared.case_id} has no labels: only labelled cases are stored")
    folder = case_folder(store, prepared.case_id)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "case.json").unlink(missing_ok=True)
    for region in Region:  # those of other labels, perhaps
        _distances_path(folder, region).unlink(missing_ok=True)
    # A z-score beyond float16 (a speck outside a nearly flat foreground) is cut rather than made infinite.
    _save(folder / "image.npy", np.clip(prepared.image, -_MAX_FLOAT16, _MAX_FLOAT16).astype(np.float16))
    _save(folder / "labels.npy", prepared.labels)
    with atomic_path(folder / "samples.npz") as path:
        np.savez(path, **{str(region): points for region, points in prepared.index.samples.items()})  # type: ignore[arg-type]
    record = asdict(prepared.record)
    record["native"]["affine"] = prepared.record.native.affine.tolist()
    content = {
        "case_id": prepared.case_id,
        "patient_id": prepared.patient_id,
        "record": record,
        "voxels": dict(prepared.index.voxels),
        "lesions": [asdict(lesion) for lesion in prepared.index.lesions],
        "convention": convention,
        "origin": dict(origin),
    }
    write_json(folder / "case.json", content)


def read_case(store: Path, case_id: str) -> PreparedCase:
    """Open one case: image and labels are memory maps, read as they are sliced; the index is read whole."""
    folder = case_folder(store, case_id)
    content = read_json(folder / "case.json")
    try:
        with (folder / "samples.npz").open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            samples = {Region(name): arrays[name] for name in arrays.files}
        index = TumourIndex(
            samples,
            {Region(name): int(count) for name, count in content["voxels"].items()},
            tuple(Lesion(_box(x["box"]), x["voxels"], x["size"]) for x in content["lesions"]),
        )
        image, labels = _open(folder / "image.npy"), _open(folder / "labels.npy")
        record = _record(content["record"])
        if not image.shape[1:] == labels.shape == record.shape:
            raise ValueError(f"image {image.shape} and labels {labels.shape} are not on the grid {record.shape}")
    except (KeyError, TypeError, ValueError, AttributeError, OSError, EOFError, BadZipFile) as error:
        raise FileError(
            f"the prepared case {folder.name} in {store} is damaged",
            found=str(error).partition(". ")[0],  # numpy goes on with how to unpickle it
            remedy="run gliamap prepare again: it redoes this case alone",
        ) from error
    return PreparedCase(content["case_id"], content["patient_id"], image, record, labels, index)


def write_distances(store: Path, case_id: str, distances: Mapping[Region, NDArray[np.float16]]) -> None:
    """Write signed distances to the surfaces of a stored case's regions, each ``(X, Y, Z)`` on its prepared grid."""
    for region, array in distances.items():
        _save(_distances_path(case_folder(store, case_id), region), array)


def open_distances(store: Path, case_id: str, region: Region) -> NDArray[np.float16]:
    """The signed distances to a region's surface as a memory map ``(X, Y, Z)``.

    ``FileError`` where they are missing or damaged.
    """
    path = _distances_path(case_folder(store, case_id), region)
    try:
        array = _open(path)
        if array.dtype != np.float16 or array.ndim != 3:
            raise ValueError(f"{array.dtype} values with {array.ndim} axes")
    except (OSError, ValueError, EOFError) as error:
        raise FileError(
            f"the distances to the surface of {region} of the case {case_id} in {store} are missing or damaged",
            found=str(error).partition(". ")[0],
            remedy="run gliamap prepare again with --distances: it makes what is missing",
        ) from error
    return array


def has_distances(store: Path, case_id: str, regions: Iterable[Region]) -> bool:
    """Distances to the surfaces of all these regions are there for the case, and can be opened."""
    try:
        for region in regions:
            open_distances(store, case_id, region)
    except FileError:
        return False
    return True


def is_complete(store: Path, case_id: str, origin: Mapping[str, Any]) -> bool:
    """The case was written to its end, from this origin, and can be opened."""
    path = case_folder(store, case_id) / "case.json"
    if not path.is_file():
        return False
    try:
        read_case(store, case_id)
        return bool(read_json(path)["origin"] == dict(origin))
    except (FileError, KeyError):
        return False


def entry_of(store: Path, files: CaseFiles) -> StoreEntry:
    """The ``store.json`` line of a case that is already written."""
    case = read_case(store, files.case_id)
    assert case.labels is not None and case.index is not None
    x, y, z = case.labels.shape
    convention = read_json(case_folder(store, files.case_id) / "case.json")["convention"]
    return StoreEntry(
        case_id=files.case_id,
        patient_id=files.identity.patient_id,
        fold=files.identity.fold,
        exclude_when_test_fold=tuple(sorted(files.identity.exclude_when_test_fold)),
        convention=convention,
        shape=(x, y, z),
        voxels=dict(case.index.voxels),
        aliases=tuple(sorted(files.identity.aliases)),
    )


def write_store(store: Path, info: StoreInfo) -> StoreInfo:
    """Write ``store.json`` with a fingerprint of settings and cases; returns what was written.

    The fingerprint covers names, shapes and voxel counts, no file times: a copied data set keeps it. Nor does it cover
    aliases, of which no training knows.
    """
    digest = hashlib.sha256(info.prep.model_dump_json().encode())
    for entry in info.cases:
        digest.update(entry.model_dump_json(exclude={"aliases"}).encode())
    sealed = info.model_copy(update={"fingerprint": digest.hexdigest()[:16]})
    write_json(store / "store.json", sealed.model_dump(mode="json"))
    return sealed


def read_store(store: Path) -> StoreInfo:
    """Read ``store.json``; ``FileError`` where the folder is no store or was left unfinished."""
    path = store / "store.json"
    if not path.is_file():
        raise FileError(
            f"{store} is not a prepared data set", expected="a store.json in it", remedy="make one with gliamap prepare"
        )
    try:
        return StoreInfo.model_validate(read_json(path))
    except ValueError as error:
        raise FileError(f"{path} is not a store of this version", remedy="run gliamap prepare again") from error


def case_folder(store: Path, case_id: str) -> Path:
    """Where a case's arrays lie."""
    return store / "cases" / case_id


def _distances_path(folder: Path, region: Region) -> Path:
    return folder / f"distances-{region}.npy"


def _save(path: Path, array: NDArray[np.generic]) -> None:
    with atomic_path(path) as part:
        np.save(part, array, allow_pickle=False)


def _open(path: Path) -> NDArray[Any]:
    array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    return array


def _box(value: Mapping[str, Any]) -> Box:
    return Box(_shape(value["start"]), _shape(value["stop"]))


def _shape(values: list[int]) -> Shape:
    x, y, z = (int(v) for v in values)
    return (x, y, z)


def _record(value: Mapping[str, Any]) -> GridRecord:
    native = value["native"]
    grid = Grid(_shape(native["shape"]), np.array(native["affine"], np.float64), native["unit"])
    fx, fy, fz = (bool(f) for f in value["flips"])
    sx, sy, sz = (float(s) for s in value["spacing"])
    return GridRecord(
        grid, _shape(value["axes"]), (fx, fy, fz), _box(value["crop"]), _shape(value["shape"]), (sx, sy, sz)
    )

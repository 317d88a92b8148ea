"""The store: what is written comes back, through memory maps; what is damaged or out of date is noticed."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gliamap.case import CaseFiles, CaseIdentity, PreparedCase
from gliamap.config import PrepConfig
from gliamap.errors import FileError
from gliamap.io import store as store_module
from gliamap.io.store import (
    StoreInfo,
    case_folder,
    case_origin,
    entry_of,
    has_distances,
    is_complete,
    open_distances,
    read_case,
    read_store,
    write_case,
    write_distances,
    write_store,
)
from gliamap.labels import Region
from gliamap.prep.pipeline import prepare
from make import KINDS, MODALITIES, case, grid, slice_case

CONFIG = PrepConfig(modalities=MODALITIES)
ORIGIN = {"prep": {"a": 1}, "files": {"t1": ["x.nii", 5, 7]}}


def prepared(kind: str = "oblique") -> PreparedCase:
    return prepare(case(kind, case_id="one"), CONFIG)


def stored(store: Path, kind: str = "oblique") -> Path:
    """A store with one case; returns the case's folder."""
    write_case(store, prepared(kind), origin=ORIGIN, convention="brats2021")
    return case_folder(store, "one")


def files_of(root: Path) -> CaseFiles:
    """An image and a mask that share their name, as in 2D pairs."""
    paths = [root / "images" / "1.png", root / "masks" / "1.png"]
    for path in paths:
        path.parent.mkdir(parents=True)
        path.write_bytes(b"abc")
    identity = CaseIdentity("one", "p1", fold=3, exclude_when_test_fold=frozenset({2, 1}))
    return CaseFiles(identity, {"t1c": paths[0]}, paths[1])


@pytest.mark.parametrize("kind", KINDS)
def test_a_case_comes_back(tmp_path: Path, kind: str) -> None:
    one = prepare(case(kind, case_id="one"), PrepConfig(modalities=MODALITIES, spacing=(1.3, 1.3, 1.3)))
    write_case(tmp_path, one, origin=ORIGIN, convention="brats2021")
    back = read_case(tmp_path, "one")
    assert (back.case_id, back.patient_id) == ("one", "one")
    assert np.array_equal(back.image, one.image.astype(np.float16))
    assert one.labels is not None
    assert back.labels is not None
    assert np.array_equal(back.labels, one.labels)
    assert back.record.native.same_as(one.record.native)
    assert np.array_equal(back.record.native.affine, one.record.native.affine)
    assert replace(back.record, native=one.record.native).__dict__ == one.record.__dict__
    assert back.index is not None
    assert one.index is not None
    assert back.index.voxels == one.index.voxels
    assert back.index.lesions == one.index.lesions
    assert back.index.samples.keys() == one.index.samples.keys()
    for region, points in one.index.samples.items():
        assert np.array_equal(back.index.samples[region], points)


def test_arrays_are_memory_mapped(tmp_path: Path) -> None:
    stored(tmp_path)
    back = read_case(tmp_path, "one")
    assert isinstance(back.image, np.memmap)
    assert isinstance(back.labels, np.memmap)
    assert back.image.dtype == np.float16
    assert not back.image.flags.writeable


def test_a_case_without_tumour_comes_back(tmp_path: Path) -> None:
    empty = replace(case(case_id="one"), labels=np.zeros(grid().shape, np.uint8))
    write_case(tmp_path, prepare(empty, CONFIG), origin=ORIGIN, convention="brats2021")
    index = read_case(tmp_path, "one").index
    assert index is not None
    assert not index.samples
    assert index.lesions == ()
    assert index.voxels[Region.WT] == 0


def test_a_unit_of_pixels_comes_back(tmp_path: Path) -> None:
    one = prepare(slice_case(), PrepConfig(modalities=("t1c",), foreground="head"))
    write_case(tmp_path, one, origin=ORIGIN, convention="binary")
    assert read_case(tmp_path, one.case_id).record.native.unit == "px"


def test_a_score_beyond_float16_is_cut_not_infinite(tmp_path: Path) -> None:
    one = prepared()
    one.image[0, 0, 0, 0], one.image[1, 0, 0, 0] = 1e6, -1e6
    write_case(tmp_path, one, origin=ORIGIN, convention="brats2021")
    back = read_case(tmp_path, "one").image
    assert np.isfinite(back).all()
    assert (back[0, 0, 0, 0], back[1, 0, 0, 0]) == (65504, -65504)


def test_only_labelled_cases_are_stored(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="only labelled cases"):
        write_case(tmp_path, prepare(replace(case(), labels=None), CONFIG), origin=ORIGIN, convention="msd")


def test_a_written_case_is_complete_for_its_origin_alone(tmp_path: Path) -> None:
    assert not is_complete(tmp_path, "one", ORIGIN)
    stored(tmp_path)
    assert is_complete(tmp_path, "one", ORIGIN)
    assert not is_complete(tmp_path, "one", ORIGIN | {"prep": {"a": 2}})
    assert not is_complete(tmp_path, "two", ORIGIN)


@pytest.mark.parametrize("step", ["image.npy", "labels.npy", "samples.npz", "case.json"])
def test_an_interrupted_case_is_not_complete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    stored(tmp_path)  # an earlier, complete state must not survive half overwritten either
    whole_path = store_module.atomic_path

    def interrupted(target: Path):  # type: ignore[no-untyped-def]
        if target.name == step:
            raise KeyboardInterrupt
        return whole_path(target)

    def no_json(path: Path, data: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(store_module, "atomic_path", interrupted)
    if step == "case.json":
        monkeypatch.setattr(store_module, "write_json", no_json)
    with pytest.raises(KeyboardInterrupt):
        stored(tmp_path)
    monkeypatch.undo()
    assert not is_complete(tmp_path, "one", ORIGIN)
    with pytest.raises(FileError, match=r"case\.json"):
        read_case(tmp_path, "one")
    stored(tmp_path)
    assert is_complete(tmp_path, "one", ORIGIN)


@pytest.mark.parametrize("name", ["image.npy", "labels.npy", "samples.npz", "case.json"])
@pytest.mark.parametrize("damage", ["missing", "empty", "half", "garbage"])
def test_damage_is_a_file_error_and_makes_the_case_incomplete(tmp_path: Path, name: str, damage: str) -> None:
    path = stored(tmp_path) / name
    content = path.read_bytes()
    path.unlink()
    if damage != "missing":
        path.write_bytes({"empty": b"", "half": content[: len(content) // 2], "garbage": b"garbage"}[damage])
    with pytest.raises(FileError):
        read_case(tmp_path, "one")
    assert not is_complete(tmp_path, "one", ORIGIN)  # so that prepare makes it again


def test_arrays_of_another_case_are_noticed(tmp_path: Path) -> None:
    folder = stored(tmp_path)
    np.save(folder / "labels.npy", np.zeros((2, 3, 4), np.uint8))
    with pytest.raises(FileError, match=r"case one .* is damaged.*not on the grid"):
        read_case(tmp_path, "one")


@pytest.mark.parametrize(
    "content", ["[]", "{}", '{"voxels": []}', '{"case_id": 1, "voxels": {"XX": 1}, "lesions": []}']
)
def test_a_case_file_of_another_shape_is_noticed(tmp_path: Path, content: str) -> None:
    folder = stored(tmp_path)
    (folder / "case.json").write_text(content)
    with pytest.raises(FileError, match="is damaged"):
        read_case(tmp_path, "one")
    assert not is_complete(tmp_path, "one", ORIGIN)


class Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.target),)


@pytest.mark.parametrize("name", ["image.npy", "labels.npy"])
def test_nothing_is_unpickled(tmp_path: Path, name: str) -> None:
    folder = stored(tmp_path)
    np.save(folder / name, np.array([Bomb(tmp_path / "boom")], object), allow_pickle=True)
    with pytest.raises(FileError):
        read_case(tmp_path, "one")
    assert not (tmp_path / "boom").exists()


def test_nothing_is_unpickled_from_the_samples(tmp_path: Path) -> None:
    folder = stored(tmp_path)
    np.savez(folder / "samples.npz", WT=np.array([Bomb(tmp_path / "boom")], object))
    with pytest.raises(FileError):
        read_case(tmp_path, "one")
    assert not (tmp_path / "boom").exists()


def test_distances_come_back_as_memory_maps(tmp_path: Path) -> None:
    stored(tmp_path)
    shape = prepared().record.shape
    near, far = np.full(shape, -1.5, np.float16), np.full(shape, 200, np.float16)
    assert not has_distances(tmp_path, "one", [Region.WT])
    write_distances(tmp_path, "one", {Region.WT: near, Region.TC: far})
    found = open_distances(tmp_path, "one", Region.WT)
    assert isinstance(found, np.memmap) and not found.flags.writeable
    assert np.array_equal(found, near) and np.array_equal(open_distances(tmp_path, "one", Region.TC), far)
    assert has_distances(tmp_path, "one", [Region.WT, Region.TC])
    assert not has_distances(tmp_path, "one", [Region.WT, Region.ET])
    assert is_complete(tmp_path, "one", ORIGIN)  # as it is without


@pytest.mark.parametrize("content", [None, b"", b"garbage", "half", "float64"])
def test_distances_that_are_damaged_are_made_again(tmp_path: Path, content: object) -> None:
    path = stored(tmp_path) / "distances-WT.npy"
    write_distances(tmp_path, "one", {Region.WT: np.zeros((3, 4, 5), np.float16)})
    if content is None:
        path.unlink()
    elif content == "float64":
        np.save(path, np.zeros((3, 4, 5)))
    else:
        path.write_bytes(path.read_bytes()[:-20] if content == "half" else bytes(content))  # type: ignore[call-overload]
    with pytest.raises(FileError, match=r"distances to the surface of WT of the case one.*gliamap prepare"):
        open_distances(tmp_path, "one", Region.WT)
    assert not has_distances(tmp_path, "one", [Region.WT])


def test_a_case_that_is_written_anew_loses_the_distances_of_its_old_labels(tmp_path: Path) -> None:
    stored(tmp_path)
    write_distances(tmp_path, "one", {Region.WT: np.zeros((3, 4, 5), np.float16)})
    stored(tmp_path)
    assert not has_distances(tmp_path, "one", [Region.WT])


def test_origin_notices_settings_convention_and_every_file(tmp_path: Path) -> None:
    files = files_of(tmp_path)
    config = PrepConfig(modalities=("t1c",))
    before = case_origin(files, config)
    assert case_origin(files, config) == before
    assert json.loads(json.dumps(before)) == before
    assert case_origin(files, PrepConfig(modalities=("t1c",), crop_margin=3)) != before
    assert case_origin(files, config, "msd") != before
    assert files.labels is not None
    for path in (files.modalities["t1c"], files.labels):
        content, stat = path.read_bytes(), path.stat()
        path.write_bytes(b"abcd")
        assert case_origin(files, config) != before  # another size
        path.write_bytes(content)
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
        assert case_origin(files, config) != before  # another time
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        assert case_origin(files, config) == before


def test_entries_and_the_list_of_cases_come_back(tmp_path: Path) -> None:
    stored(tmp_path)
    entry = entry_of(tmp_path, files_of(tmp_path))
    assert (entry.case_id, entry.patient_id, entry.fold, entry.exclude_when_test_fold) == ("one", "p1", 3, (1, 2))
    assert entry.convention == "brats2021"
    assert entry.shape == prepared().record.shape
    assert entry.voxels[Region.ET] > 0
    info = StoreInfo(prep=CONFIG, convention="brats2021", layouts=("a",), patients_known=True, cases=(entry,))
    info = info.model_copy(update={"sources": ("brats21",)})
    sealed = write_store(tmp_path, info)
    assert read_store(tmp_path) == sealed and sealed.sources == ("brats21",)
    assert sealed.cases == info.cases
    assert sealed.cases[0].identity == CaseIdentity("one", "p1", 3, frozenset({1, 2}))


def test_the_fingerprint_follows_settings_and_cases(tmp_path: Path) -> None:
    stored(tmp_path)
    entry = entry_of(tmp_path, files_of(tmp_path))
    info = StoreInfo(prep=CONFIG, convention="brats2021", layouts=("a",), patients_known=True, cases=(entry,))
    marks = [
        write_store(tmp_path, one).fingerprint
        for one in (
            info,
            info,
            info.model_copy(update={"prep": PrepConfig(modalities=MODALITIES, crop_margin=9)}),
            info.model_copy(update={"cases": (entry.model_copy(update={"voxels": {Region.WT: 1}}),)}),
            info.model_copy(update={"cases": ()}),
        )
    ]
    assert marks[0] == marks[1]
    assert len(set(marks)) == 4


def test_names_in_other_data_sets_are_kept_and_change_no_fingerprint(tmp_path: Path) -> None:
    stored(tmp_path)
    files = files_of(tmp_path)
    named = replace(files, identity=replace(files.identity, aliases=frozenset({"b", "a"})))
    info = StoreInfo(prep=CONFIG, convention="brats2021", layouts=("a",), patients_known=True)
    plain = write_store(tmp_path, info.model_copy(update={"cases": (entry_of(tmp_path, files),)}))
    known = write_store(tmp_path, info.model_copy(update={"cases": (entry_of(tmp_path, named),)}))
    assert read_store(tmp_path).cases[0].identity == named.identity and known.cases[0].aliases == ("a", "b")
    assert known.fingerprint == plain.fingerprint
    content = json.loads((tmp_path / "store.json").read_text())
    del content["cases"][0]["aliases"]  # as earlier versions wrote it
    (tmp_path / "store.json").write_text(json.dumps(content))
    assert read_store(tmp_path).cases == plain.cases


def test_a_store_from_before_sources_were_named_is_read(tmp_path: Path) -> None:
    write_store(tmp_path, StoreInfo(prep=CONFIG, convention="msd", layouts=("a",), patients_known=True))
    path = tmp_path / "store.json"
    content = json.loads(path.read_text())
    del content["sources"]
    path.write_text(json.dumps(content))
    assert read_store(tmp_path).sources == ()


def test_a_folder_that_is_no_store_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"is not a prepared data set.*gliamap prepare"):
        read_store(tmp_path)


@pytest.mark.parametrize("change", [{"format": 2}, {"prep": 3}, {"unheard_of": 1}])
def test_a_store_of_another_version_is_refused(tmp_path: Path, change: dict[str, object]) -> None:
    write_store(tmp_path, StoreInfo(prep=CONFIG, convention="msd", layouts=("a",), patients_known=True))
    path = tmp_path / "store.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(FileError, match="not a store of this version"):
        read_store(tmp_path)

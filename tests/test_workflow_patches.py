"""The verb 'patches': a table of a store, its balance and its sheet, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import gliamap
import make
from gliamap.errors import ConfigError, FileError, OutputError
from gliamap.io.patch_table import read_columns, read_info
from gliamap.io.store import case_folder, read_case, read_store
from gliamap.labels import Tissue
from gliamap.prep.steps import foreground_mask
from gliamap.sampling.patches import patch_rows
from gliamap.workflows.data import patches as module
from gliamap.workflows.data.patch_show import count_balance
from gliamap.workflows.data.patches import PatchOptions, make_patch_table, patches
from gliamap.workflows.data.prepare import PrepareOptions, prepare

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three volumes, plain, flipped and oblique; the first has no enhancing tumour."""
    root = tmp_path_factory.mktemp("volumes")
    make.write_brats_set(root / "scans")
    prepare([root / "scans"], root / "store")
    return root / "store"


@pytest.fixture(scope="module")
def slices(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four whole heads in pixels, of patients who are not known."""
    root = tmp_path_factory.mktemp("slices")
    prepare([make.write_pairs(root / "pairs", 4)], root / "store", options=PrepareOptions(foreground="head"))
    return root / "store"


@pytest.mark.parametrize("volume", [False, True])
def test_the_rows_of_all_cases_one_after_another(store: Path, tmp_path: Path, volume: bool) -> None:
    done = gliamap.patches(store, tmp_path / "t.parquet", options=PatchOptions(size=6, stride=4, volume=volume))
    info, size = read_info(tmp_path / "t.parquet"), (6, 6, 6 if volume else 1)
    assert info == done.info and (info.size, info.stride, info.convention) == (size, 4, "brats2021")
    prepared = read_store(store)
    assert info.fingerprint == prepared.fingerprint
    table = read_columns(tmp_path / "t.parquet", ["number", "case_id", "patient_id", "x", "voxels_et", "tumour"])
    first = 0
    for entry in prepared.cases:
        case = read_case(store, entry.case_id)
        rows = patch_rows(case, info, inside=(case.image != 0).any(axis=0))
        part = slice(first, first + len(rows["x"]))
        assert set(table["case_id"][part]) == {entry.case_id} and set(table["patient_id"][part]) == {entry.patient_id}
        assert np.array_equal(table["x"][part], rows["x"])
        assert np.array_equal(table["voxels_et"][part], rows["voxels_et"])
        first = part.stop
    assert table["number"].tolist() == list(range(first))
    assert (done.cases, done.patches) == (3, first)
    assert done.tumour == np.count_nonzero(table["tumour"]) and done.healthy == first - done.tumour


def test_equal_stores_give_equal_bytes(store: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        patches(store, tmp_path / f"{name}.parquet", options=PatchOptions(size=8, show=True))
    for ending in (".parquet", ".png"):
        assert (tmp_path / f"a{ending}").read_bytes() == (tmp_path / f"b{ending}").read_bytes()
    assert read_info(tmp_path / "a.parquet").stride == 4  # half the size


def test_some_of_the_cases(store: Path, tmp_path: Path) -> None:
    names = [entry.case_id for entry in read_store(store).cases]
    seen: list[tuple[int, int, str]] = []
    done = make_patch_table(
        store,
        tmp_path / "t",
        size=(6, 6, 1),
        stride=6,
        cases=[names[2], names[0]],
        progress=lambda *one: seen.append(one),
    )
    table = read_columns(tmp_path / "t", ["number", "case_id"])
    assert list(dict.fromkeys(table["case_id"])) == [names[0], names[2]]
    assert table["number"].tolist() == list(range(done.patches))
    assert seen == [(0, 2, names[0]), (1, 2, names[2]), (2, 2, "")]


def test_what_shows_the_patient_is_the_foreground_of_the_preparation(store: Path, slices: Path, tmp_path: Path) -> None:
    image = np.array([[[[-1.5, -0.0, 0.0, 6e-8]]], [[[0.0, 0.0, 0.0, 0.0]]]], np.float16)
    assert module._inside(image, "brain").ravel().tolist() == [True, False, False, True]
    for folder, kind in ((store, "brain"), (slices, "head")):
        entry = read_store(folder).cases[0]
        make_patch_table(folder, tmp_path / kind, size=(64, 64, 1), stride=64, cases=[entry.case_id])
        inside = foreground_mask(read_case(folder, entry.case_id).image.astype(np.float32), kind)
        share = read_columns(tmp_path / kind, ["brain_fraction"])["brain_fraction"]
        assert share * 64 * 64 == pytest.approx(np.count_nonzero(inside, axis=(0, 1)))
        assert share.max() > 0.02


def test_the_balance(store: Path, slices: Path, tmp_path: Path) -> None:
    done = make_patch_table(store, tmp_path / "t", size=(6, 6, 1), stride=3)
    table = read_columns(tmp_path / "t", ["patient_id", "tumour", "brain_fraction", "voxels_et"])
    balance = count_balance(store, done.path, done.info)
    assert (balance.patches, balance.tumour, balance.patients, balance.unit) == (done.patches, done.tumour, 3, "mm")
    assert balance.mostly == np.count_nonzero(~table["tumour"] & (table["brain_fraction"] >= 0.5)) > 0
    assert balance.tissues[Tissue.ET] == np.count_nonzero(table["voxels_et"]) > 0
    counts = sorted(
        np.count_nonzero(table["tumour"] & (table["patient_id"] == name)) for name in set(table["patient_id"])
    )
    assert balance.per_patient == tuple(counts)
    indices = [read_case(store, entry.case_id).index for entry in read_store(store).cases]
    sizes = [lesion.size for index in indices if index for lesion in index.lesions]
    assert balance.lesions[0] == pytest.approx(min(sizes), abs=1e-4)
    assert balance.lesions[-1] == pytest.approx(max(sizes), abs=1e-4)
    done = make_patch_table(slices, tmp_path / "s", size=(8, 8, 1), stride=8)
    balance = count_balance(slices, done.path, done.info)
    assert (balance.patients, balance.unit) == (None, "px")


def test_a_table_that_is_there_is_kept(store: Path, tmp_path: Path) -> None:
    out = tmp_path / "t.parquet"
    patches(store, out, options=PatchOptions(size=8))
    with pytest.raises(OutputError, match="--overwrite"):
        patches(store, out, options=PatchOptions(size=6))
    assert read_info(out).size == (8, 8, 1)
    patches(store, out, options=PatchOptions(size=6, overwrite=True))
    assert read_info(out).size == (6, 6, 1)
    out.unlink()
    (tmp_path / "t.png").write_text("a picture of something else")
    with pytest.raises(OutputError, match=r"t\.png exists already"):
        patches(store, out, options=PatchOptions(size=6, show=True))
    assert not out.exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (PatchOptions(size=4, stride=5), "patches of 4 voxels that start 5 apart would leave gaps"),
        (PatchOptions(size=4, volume=True), "4 of 4 cases are slices, 1 the first. To do: leave out --3d"),
    ],
)
def test_what_does_not_fit_is_refused(slices: Path, tmp_path: Path, options: PatchOptions, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        patches(slices, tmp_path / "t.parquet", options=options)
    assert list(tmp_path.iterdir()) == []


def test_too_many_patches_are_refused_before_any_work(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_ROWS", 100)
    with pytest.raises(ConfigError, match=r"100 at most\. To do: choose a larger --stride"):
        patches(store, tmp_path / "t.parquet", options=PatchOptions(size=6, stride=1))


def test_another_file_s_name_is_refused(store: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"ends in \.parquet"):
        patches(store, tmp_path / "t.png")
    with pytest.raises(FileError, match="is not a prepared data set"):
        patches(tmp_path, tmp_path / "t.parquet")


def test_a_damaged_case_ends_it_and_leaves_nothing(store: Path, tmp_path: Path) -> None:
    last = read_store(store).cases[-1].case_id
    path = case_folder(store, last) / "image.npy"
    sound = path.read_bytes()
    try:
        path.write_bytes(sound[: len(sound) // 2])
        with pytest.raises(FileError, match=f"{last} .* is damaged.*gliamap prepare"):
            patches(store, tmp_path / "t.parquet")
    finally:
        path.write_bytes(sound)
    assert list(tmp_path.iterdir()) == []


def test_the_command_in_words(store: Path, slices: Path, command: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    code, out, err = command("patches", str(store), "-o", "t.parquet", "--size", "6", "--stride", "4")
    assert code == 0 and "patches of 6x6 voxels, 4 apart" in out and "table in t.parquet" in out
    assert err.startswith("next: gliamap train") and "--patches t.parquet --ratio 1:1" in err
    code, out, err = command("patches", str(slices), "-o", "s.parquet", "--size", "8", "--show")
    assert code == 0 and "examples in s.png" in out and "tumour : healthy = 1 : " in out
    assert "patients  not known" in out and " px, quartiles" in out
    assert max(map(len, out.splitlines())) <= 100
    code, out, err = command("patches", str(slices), "-o", "s.parquet", "--3d", "--overwrite")
    assert code == 2 and "to do     leave out --3d" in err
    assert command("patches", str(store), "-o", "u.parquet", "--size", "0")[0] == 2


def test_the_command_as_json(store: Path, command: Run) -> None:
    code, out, _ = command("patches", str(store), "-o", "t.parquet", "--3d", "--size", "8", "--show", "--json")
    found = json.loads(out)
    assert code == 0 and found["size"] == [8, 8, 8] and found["stride"] == 4 and found["sheet"] == "t.png"
    assert found["tumour"] + found["healthy"] == found["patches"] == found["balance"]["patches"]
    assert set(found["balance"]["tissues"]) == {"ncr", "ed", "et"}


def test_a_store_without_tumour_is_shown_too(tmp_path: Path, command: Run) -> None:
    one = make.case("plain", case_id="BraTS2021_00001")
    assert one.labels is not None
    make.write_brats(tmp_path / "scans", replace(one, labels=np.zeros_like(one.labels)))
    prepare([tmp_path / "scans"], tmp_path / "store")
    code, out, err = command("patches", "store", "-o", "t.parquet", "--size", "6", "--show")
    assert code == 0 and "0 with tumour" in out and "ratio" not in out
    assert err == "next: gliamap train store -o run --patches t.parquet\n"  # a ratio would be refused
    assert (tmp_path / "t.png").is_file()


def test_a_real_case_in_one_patch(data_root: Path, tmp_path: Path) -> None:
    (tmp_path / "scans").mkdir()
    (tmp_path / "scans" / "BraTS2021_01485").symlink_to(data_root / "brats21" / "BraTS2021_01485")
    prepare([tmp_path / "scans"], tmp_path / "store", options=PrepareOptions(modalities=("t1c", "flair")))
    make_patch_table(tmp_path / "store", tmp_path / "t", size=(256, 256, 256), stride=256)
    names = ["voxels_ncr", "voxels_ed", "voxels_et", "native_x", "native_to_x"]
    table = {name: values.tolist() for name, values in read_columns(tmp_path / "t", names).items()}
    # Voxels of label 1, 2 and 4 as the data set's own description says.
    assert (table["voxels_ncr"], table["voxels_ed"], table["voxels_et"]) == ([135], [38411], [691])
    record = read_case(tmp_path / "store", "BraTS2021_01485").record
    assert table["native_to_x"][0] - table["native_x"][0] == record.shape[0]

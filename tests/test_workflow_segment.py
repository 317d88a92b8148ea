"""The verb 'segment': masks on the input's own grid and in its own labels, and nothing half-written."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, Literal

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

import make
import tiny
from gliamap.config import CleanUpConfig, OutputConfig, Seen
from gliamap.errors import (
    ConfigError,
    FileError,
    FitError,
    GliamapError,
    GridError,
    LabelError,
    LayoutError,
    OutputError,
)
from gliamap.io.images import read_mask
from gliamap.io.nifti import read_volume
from gliamap.io.regrid import onto_grid
from gliamap.labels import Tissue, get_convention
from gliamap.sources.splits import Split, write_split
from gliamap.workflows.data.prepare import prepare
from gliamap.workflows.prediction import segment_case as work
from gliamap.workflows.prediction.segment import SegmentOptions, segment

PLAIN = SegmentOptions(pictures=False)
TABLES = ("labels.ctbl", "labels.label")  # beside masks of volumes
MANIFEST = "segment.json"
ALWAYS, NEVER = 50.0, -50.0


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    """Three BraTS 2021 cases on three kinds of grid; they are no phantoms."""
    make.write_brats_set(tmp_path / "scans")
    return tmp_path / "scans"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model for real cases with random weights."""
    return tiny.write_model(tmp_path / "model")


def name(number: int) -> str:
    return f"BraTS2021_{number:05d}"


def sidecar(out: Path, case_id: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((out / f"{case_id}.json").read_text())
    return content


def codes(summary: dict[str, Any]) -> set[str]:
    """Of what it warns, the tumour apart: weights that were drawn see it anywhere."""
    return {one["code"] for one in summary["warnings"]} - {"tumour-at-border", "empty-mask", "enhancing-without-t1c"}


def values_in(path: Path) -> set[int]:
    """The labels in a mask, background apart."""
    return set(np.unique(np.asarray(nib.Nifti1Image.from_filename(path).dataobj)).tolist()) - {0}


def test_each_case_gets_a_mask_numbers_and_a_picture(scans: Path, model: Path, tmp_path: Path) -> None:
    done = segment(scans, tmp_path / "out", model=model)
    of_cases = (name(n) + suffix for n in range(3) for suffix in (".json", ".nii.gz", "_mosaic.png"))
    assert tiny.files_in(tmp_path / "out") == sorted([*of_cases, *TABLES, MANIFEST])
    assert "enhancing" in (tmp_path / "out" / "labels.ctbl").read_text()
    assert [summary["case_id"] for summary in done.cases] == [name(0), name(1), name(2)]
    assert done.failed == {} and done.cases[1] == sidecar(tmp_path / "out", name(1))
    with Image.open(tmp_path / "out" / f"{name(0)}_mosaic.png") as picture:
        assert picture.format == "PNG" and picture.width > 500


def test_a_page_of_each_case_on_request(scans: Path, model: Path, tmp_path: Path) -> None:
    options = SegmentOptions(pictures=False, report=True, uncertainty=True, cases=(name(0),))
    done = segment(scans, tmp_path / "out", model=model, options=options)
    page = tmp_path / "out" / f"{name(0)}_report.html"
    html = page.read_text()
    assert page.name in done.cases[0]["files"]
    assert "uncertainty (entropy)" in html and "How the mask was made" in html
    assert str(tmp_path) not in html
    again = segment(scans, tmp_path / "out", model=model, options=options.model_copy(update={"resume": True}))
    assert again.manifest["kept"] == [name(0)]


def with_codes(folder: Path, *, qform: int, sform: int, units: tuple[str, str]) -> None:
    for path in folder.iterdir():
        image = nib.Nifti1Image.from_filename(path)
        copy = nib.Nifti1Image(np.asarray(image.dataobj).copy(), None, image.header)
        copy.set_qform(image.affine, qform)
        copy.set_sform(image.affine, sform)
        copy.header.set_xyzt_units(*units)
        copy.to_filename(path)


@pytest.mark.parametrize("kind", make.KINDS)
@pytest.mark.parametrize(
    ("qform", "sform", "units"), [(1, 1, ("mm", "sec")), (2, 0, ("mm", "unknown")), (0, 4, ("mm", "msec"))]
)
def test_the_mask_has_exactly_the_grid_and_header_of_the_scan(
    tmp_path: Path, model: Path, kind: str, qform: int, sform: int, units: tuple[str, str]
) -> None:
    folder = make.write_brats(tmp_path / "scans", tiny.phantom(kind=kind))
    with_codes(folder, qform=qform, sform=sform, units=units)
    out = tmp_path / "out"
    segment(folder, out, model=model, options=SegmentOptions(pictures=False, probabilities=True))
    scan = nib.Nifti1Image.from_filename(folder / f"{folder.name}_t1.nii.gz")
    mask = nib.Nifti1Image.from_filename(out / f"{folder.name}.nii.gz")
    probabilities = nib.Nifti1Image.from_filename(out / f"{folder.name}_probabilities.nii.gz")
    assert mask.shape == scan.shape and mask.get_data_dtype() == np.uint8
    assert probabilities.shape == (*scan.shape, 3) and probabilities.get_data_dtype() == np.float32
    for made in (mask, probabilities):
        assert np.array_equal(made.affine, scan.affine)
        for field in ("qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d", "qoffset_x", "srow_x"):
            assert np.array_equal(made.header[field], scan.header[field]), field
        assert made.header["xyzt_units"] == scan.header["xyzt_units"]
        assert np.array_equal(made.header["pixdim"][:4], scan.header["pixdim"][:4])


def test_probabilities_agree_with_the_mask(tmp_path: Path, model: Path) -> None:
    folder = make.write_brats(tmp_path / "scans", tiny.phantom(kind="flipped"))
    segment(folder, tmp_path / "out", model=model, options=SegmentOptions(pictures=False, probabilities=True))
    mask = np.asarray(nib.Nifti1Image.from_filename(tmp_path / "out" / f"{folder.name}.nii.gz").dataobj)
    probabilities = np.asarray(
        nib.Nifti1Image.from_filename(tmp_path / "out" / f"{folder.name}_probabilities.nii.gz").dataobj
    )
    assert probabilities.min() >= 0 and probabilities.max() <= 1
    assert np.array_equal(mask > 0, (probabilities > 0.5).any(axis=-1))


@pytest.mark.parametrize(
    ("layout", "own", "expected"),
    [
        ("brats2021", "brats2021", "brats2021"),
        ("brats2021", "brats2023", "brats2021"),
        ("brats2023", "brats2021", "brats2023"),
        ("brats2023", "brats2024", "brats2024"),
        ("brats2021", "msd", "brats2021"),
    ],
)
def test_the_mask_speaks_as_the_input_does(tmp_path: Path, layout: str, own: str, expected: str) -> None:
    spec = tiny.spec(output=OutputConfig(kind="regions", convention=own))
    model = tiny.write_model(tmp_path / "model", spec, bias=(ALWAYS, ALWAYS, ALWAYS))
    folder = tiny.write_set(tmp_path / "scans", 1, convention=layout) / next((tmp_path / "scans").iterdir()).name
    (summary,) = segment(folder, tmp_path / "out", model=model, options=PLAIN).cases
    assert (summary["label_convention"], summary["label_convention_from"]) == (expected, "the input's layout")
    (enhancing,) = get_convention(expected).region_values(get_convention(expected).regions[-1])
    assert values_in(tmp_path / "out" / f"{folder.name}.nii.gz") == {enhancing}
    assert enhancing == {"brats2021": 4, "brats2023": 3, "brats2024": 3}[expected]


def test_a_binary_model_is_not_made_to_speak_brats(scans: Path, tmp_path: Path) -> None:
    net = tiny.spec().network.model_copy(update={"out_channels": 1})
    spec = tiny.spec(network=net, output=OutputConfig(kind="regions", convention="binary"))
    model = tiny.write_model(tmp_path / "model", spec, bias=(ALWAYS,))
    (summary,) = segment(scans / name(0), tmp_path / "out", model=model, options=PLAIN).cases
    assert (summary["label_convention"], summary["label_convention_from"]) == ("binary", "the model's own")
    assert summary["regions"].keys() == {"WT"}


def test_labels_asked_for_are_written(scans: Path, model: Path, tmp_path: Path) -> None:
    options = SegmentOptions(pictures=False, labels="msd")
    model = tiny.write_model(tmp_path / "edema", bias=(ALWAYS, NEVER, NEVER))
    done = segment(scans, tmp_path / "out", model=model, options=options)
    assert {s["label_convention_from"] for s in done.cases} == {"asked for"} and done.notes == ()
    assert values_in(tmp_path / "out" / f"{name(0)}.nii.gz") == {1}
    assert done.cases[0]["labels"]["1"]["name"] == "ED" and done.cases[0]["labels"]["1"]["size"] > 0


def test_labels_that_would_merge_are_refused_before_any_work(scans: Path, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(LabelError, match=r"has no value in the label convention binary.*--lossy"):
        segment(scans, out, model=model, options=SegmentOptions(labels="binary"))
    with pytest.raises(LabelError, match="no label convention called 'brats'"):
        segment(scans, out, model=model, options=SegmentOptions(labels="brats"))
    assert not out.exists()


def test_lossy_merges_and_says_so(scans: Path, tmp_path: Path) -> None:
    model = tiny.write_model(tmp_path / "model", bias=(ALWAYS, ALWAYS, NEVER))
    options = SegmentOptions(pictures=False, labels="brats2012", lossy=True)
    done = segment(scans, tmp_path / "out", model=model, options=options)
    assert values_in(tmp_path / "out" / f"{name(0)}.nii.gz") == {2}
    assert done.notes == (
        "'necrotic / non-enhancing core' is written as 'tumour core' (brats2012 has no label for it)",
        "'enhancing tumour' is written as 'tumour core' (brats2012 has no label for it)",
    )
    assert done.cases[0]["labels"].keys() == {"1", "2"}


def test_a_model_that_never_says_rc_may_write_for_those_who_know_none(scans: Path, tmp_path: Path) -> None:
    spec = tiny.spec(output=OutputConfig(kind="regions", convention="brats2024"))
    model = tiny.write_model(tmp_path / "model", spec)
    assert segment(scans, tmp_path / "a", model=model, options=SegmentOptions(labels="brats2021")).failed == {}
    classes = tiny.spec(
        network=spec.network.model_copy(update={"out_channels": 5}),
        output=OutputConfig(kind="classes", convention="brats2024"),
    )
    model = tiny.write_model(tmp_path / "classes", classes)
    with pytest.raises(LabelError, match="resection cavity"):
        segment(scans, tmp_path / "b", model=model, options=SegmentOptions(labels="brats2021"))


def test_volumes_by_eye(scans: Path, tmp_path: Path) -> None:
    model = tiny.write_model(tmp_path / "model", bias=(ALWAYS, ALWAYS, NEVER))
    (summary,) = segment(scans / name(0), tmp_path / "out", model=model, options=PLAIN).cases
    mask = np.asarray(nib.Nifti1Image.from_filename(tmp_path / "out" / f"{name(0)}.nii.gz").dataobj)
    millilitres = round(int((mask == 1).sum()) * 1.0 * 1.5 * 2.0 / 1000, 4)
    assert summary["unit"] == "mL"
    assert summary["regions"] == {"WT": millilitres, "TC": millilitres, "ET": 0}
    assert {value: label["size"] for value, label in summary["labels"].items()} == {"1": millilitres, "2": 0, "4": 0}
    assert codes(summary) == set() and summary["seconds"] > 0 and "medical device" in summary["notice"]
    assert summary["model"]["name"] == "tiny" and len(summary["model"]["weights_sha256"]) == 64
    assert summary["mask"] == f"{name(0)}.nii.gz"
    assert str(tmp_path) not in json.dumps(summary)


def test_no_tumour_is_a_warning(scans: Path, tmp_path: Path) -> None:
    model = tiny.write_model(tmp_path / "model", bias=(NEVER, NEVER, NEVER))
    (summary,) = segment(scans / name(1), tmp_path / "out", model=model).cases
    assert summary["warnings"][0] == {"code": "empty-mask", "text": "no tumour found"}
    assert values_in(tmp_path / "out" / f"{name(1)}.nii.gz") == set()
    assert (tmp_path / "out" / f"{name(1)}_mosaic.png").is_file()


def test_a_part_is_removed_where_it_is_smaller_than_asked(scans: Path, tmp_path: Path) -> None:
    model = tiny.write_model(tmp_path / "model", bias=(ALWAYS, NEVER, NEVER))
    (whole,) = segment(scans / name(0), tmp_path / "a", model=model, options=PLAIN).cases
    size = whole["regions"]["WT"]
    for limit, expected in ((size, size), (size + 0.01, 0)):
        options = SegmentOptions(pictures=False, min_size=limit, overwrite=True)
        (summary,) = segment(scans / name(0), tmp_path / "b", model=model, options=options).cases
        assert summary["regions"]["WT"] == expected and summary["clean_up"] == {"min_size": limit}


def test_what_a_model_of_images_removes_is_left_in_volumes(scans: Path, tmp_path: Path) -> None:
    seen = Seen(cases=1, unit="px", spacing=((1.0, 1.0),) * 3, extent=((9.0, 9.0),) * 3)
    spec = tiny.spec(seen=seen, clean_up=CleanUpConfig(min_size=1e6))
    model = tiny.write_model(tmp_path / "model", spec, bias=(ALWAYS, NEVER, NEVER))
    (whole,) = segment(scans / name(0), tmp_path / "a", model=model, options=PLAIN).cases
    assert whole["regions"]["WT"] > 0 and whole["clean_up"] == {"min_size": 0}
    asked = SegmentOptions(pictures=False, min_size=1e6)  # in mL, as the user says it
    (none,) = segment(scans / name(0), tmp_path / "b", model=model, options=asked).cases
    assert none["regions"]["WT"] == 0 and none["clean_up"] == {"min_size": 1e6}


def test_windows_may_overlap_as_asked(scans: Path, model: Path, tmp_path: Path) -> None:
    options = SegmentOptions(pictures=False, overlap=0.25, precision="fp32")
    (summary,) = segment(scans / name(0), tmp_path / "out", model=model, options=options).cases
    assert summary["window"] == {"mode": "windows", "patch": [16, 16, 16], "overlap": 0.25, "batch": 1}
    for option in ({"overlap": 1.5}, {"min_size": -1.0}):
        with pytest.raises(ConfigError, match=f"'{next(iter(option))}' does not fit"):
            segment(scans, tmp_path / "x", model=model, options=SegmentOptions.model_validate(option))


def test_existing_outputs_are_kept(scans: Path, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    segment(scans / name(1), out, model=model)
    before = {path: path.read_bytes() for path in out.iterdir()}
    with pytest.raises(OutputError, match=rf"3 files are there already, such as .*{name(1)}.*--overwrite"):
        segment(scans, out, model=model, options=PLAIN)
    assert before == {path: path.read_bytes() for path in out.iterdir()}
    (out / f"{name(1)}.nii.gz").unlink()
    with pytest.raises(OutputError, match=r"2 files .*\.json"):
        segment(scans, out, model=model)


def test_overwriting_leaves_no_picture_of_the_old_mask(scans: Path, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    segment(scans, out, model=model, options=SegmentOptions(probabilities=True))
    (out / "notes.txt").write_text("mine")
    segment(scans / name(1), out, model=model, options=SegmentOptions(pictures=False, overwrite=True))
    left = [path for path in tiny.files_in(out) if path.startswith(name(1))]
    assert left == [f"{name(1)}.json", f"{name(1)}.nii.gz"]
    assert len(tiny.files_in(out)) == 2 * 4 + 2 + 1 + len(TABLES) + 1


BROKEN = ["truncated", "not NIfTI", "missing", "other grid", "only the mask", "empty file"]


def break_case(folder: Path, how: str) -> str:
    """Break a case; returns what the message should name."""
    t2 = folder / f"{folder.name}_t2.nii.gz"
    if how == "truncated":
        t2.write_bytes(t2.read_bytes()[:-200])
    elif how == "not NIfTI":
        t2.write_bytes(b"DICM" * 500)
    elif how == "empty file":
        t2.write_bytes(b"")
    elif how == "missing":
        t2.unlink()
        return "lacks t2"
    elif how == "other grid":
        nib.Nifti1Image(np.ones((5, 6, 7), np.int16), np.eye(4)).to_filename(t2)
    elif how == "only the mask":
        for path in folder.iterdir():
            if not path.name.endswith("_seg.nii.gz"):
                path.unlink()
        return "lacks"
    return t2.name


@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_case_does_not_stop_the_others(scans: Path, model: Path, tmp_path: Path, how: str) -> None:
    expected = break_case(scans / name(0), how)
    done = segment(scans, tmp_path / "out", model=model, options=PLAIN)
    assert list(done.failed) == [name(0)] and expected in done.failed[name(0)]
    assert "To do:" in done.failed[name(0)]
    assert [summary["case_id"] for summary in done.cases] == [name(1), name(2)]
    masks = [f"{name(n)}{suffix}" for n in (1, 2) for suffix in (".json", ".nii.gz")]
    assert tiny.files_in(tmp_path / "out") == [*masks, *TABLES, MANIFEST]


@pytest.mark.parametrize("how", [how for how in BROKEN if how != "only the mask"])
def test_a_single_broken_case_is_an_error_that_leaves_nothing(
    scans: Path, model: Path, tmp_path: Path, how: str
) -> None:
    expected = break_case(scans / name(1), how)
    with pytest.raises(GliamapError, match=expected) as caught:
        segment(scans / name(1), tmp_path / "out", model=model)
    assert caught.value.remedy and caught.value.exit_code == 2
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("error", [ValueError("odd"), MemoryError("no room"), RuntimeError("torch")])
def test_what_nobody_foresaw_in_one_case_does_not_stop_the_others(
    scans: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    honest = work.draw_mosaic

    def odd(case: Any, *args: Any, **options: Any) -> None:
        honest(case, *args, **options)
        if case.case_id == name(1):
            raise error

    monkeypatch.setattr(work, "draw_mosaic", odd)
    done = segment(scans, tmp_path / "out", model=model)
    assert done.failed == {name(1): f"unexpected {type(error).__name__}: {error}"}
    assert len(done.cases) == 2
    assert not [path for path in tiny.files_in(tmp_path / "out") if name(1) in path or ".part-" in path]
    with pytest.raises(type(error)):  # alone, it is shown in full
        segment(scans / name(1), tmp_path / "alone", model=model)
    assert tiny.files_in(tmp_path / "alone") == []


def test_an_interruption_leaves_whole_cases_only(
    scans: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = work.write_json

    def stop(path: Path, data: Any) -> None:
        if name(1) in path.name:
            raise KeyboardInterrupt
        honest(path, data)

    monkeypatch.setattr(work, "write_json", stop)
    with pytest.raises(KeyboardInterrupt):
        segment(scans, tmp_path / "out", model=model, options=PLAIN)
    assert tiny.files_in(tmp_path / "out") == [f"{name(0)}.json", f"{name(0)}.nii.gz", MANIFEST]
    manifest = json.loads((tmp_path / "out" / MANIFEST).read_text())
    assert list(manifest["cases"]) == [name(0)] and not manifest["finished"]


def test_a_full_disk_stops_at_once(scans: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OutputError("the mask cannot be written", found="No space left on device")

    monkeypatch.setattr(work, "write_mask", full)
    with pytest.raises(OutputError, match="No space left"):
        segment(scans, tmp_path / "out", model=model)
    assert tiny.files_in(tmp_path / "out") == []


def test_a_model_of_phantoms_is_refused_on_anything_else(scans: Path, tmp_path: Path) -> None:
    model = tiny.write_model(tmp_path / "model", tiny.spec(phantom_only=True))
    for source in (scans, scans / name(1)):
        with pytest.raises(ConfigError, match=r"trained on phantoms.*no phantom of gliamap.*--model"):
            segment(source, tmp_path / "out", model=model)
    assert not (tmp_path / "out").exists()
    phantoms = tiny.write_set(tmp_path / "phantoms", 1)
    (summary,) = segment(phantoms, tmp_path / "out", model=model, options=PLAIN).cases
    assert summary["model"]["phantom_only"]


def test_slices_get_png_masks_of_their_own_size(tmp_path: Path) -> None:
    pairs = make.write_pairs(tmp_path / "pairs")
    model = tiny.write_model(tmp_path / "model", tiny.slice_spec(), bias=(ALWAYS,))
    options = SegmentOptions(probabilities=True)
    done = segment(pairs / "images", tmp_path / "out", model=model, options=options)
    of_cases = (f"{n}{end}" for n in (1, 2, 3) for end in (".json", ".png", "_mosaic.png", "_probabilities.nii.gz"))
    assert tiny.files_in(tmp_path / "out") == sorted([*of_cases, MANIFEST])
    with Image.open(tmp_path / "out" / "1.png") as mask:
        assert (mask.size, mask.mode) == ((33, 26), "L")
    values, _ = read_mask(tmp_path / "out" / "1.png")
    summary = done.cases[0]
    assert set(np.unique(values)) <= {0, 1}
    assert (summary["unit"], summary["regions"]["WT"]) == ("pixels", int((values == 1).sum()))
    assert (summary["label_convention"], summary["label_convention_from"]) == ("binary", "the model's own")


@pytest.mark.parametrize("own", ["binary", "binary255"])
def test_a_data_set_that_allows_both_binary_conventions_gets_the_models(tmp_path: Path, own: str) -> None:
    pairs = make.write_pairs(tmp_path / "pairs", 1)
    model = tiny.write_model(tmp_path / "model", tiny.slice_spec(convention=own), bias=(ALWAYS,))
    (summary,) = segment(pairs, tmp_path / "out", model=model).cases
    assert (summary["label_convention"], summary["label_convention_from"]) == (own, "the input's layout")


def test_a_single_image_is_segmented(tmp_path: Path) -> None:
    pairs = make.write_pairs(tmp_path / "pairs", 2)
    model = tiny.write_model(tmp_path / "model", tiny.slice_spec())
    done = segment(pairs / "images" / "2.png", tmp_path / "out", model=model)
    assert [summary["case_id"] for summary in done.cases] == ["2"]
    assert (tmp_path / "out" / "2.png").is_file()


def test_no_case_takes_the_name_of_the_runs_own_file(tmp_path: Path) -> None:
    pairs = make.write_pairs(tmp_path / "pairs", 2)
    (pairs / "images" / "2.png").rename(pairs / "images" / "segment.png")
    model = tiny.write_model(tmp_path / "model", tiny.slice_spec())
    with pytest.raises(OutputError, match=r"called 'segment'.*segment\.json.*rename the case"):
        segment(pairs / "images", tmp_path / "out", model=model)
    options = SegmentOptions(pictures=False, manifest=False)
    assert len(segment(pairs / "images", tmp_path / "out", model=model, options=options).cases) == 2


def test_a_broken_image_does_not_stop_the_others(tmp_path: Path) -> None:
    pairs = make.write_pairs(tmp_path / "pairs")
    (pairs / "images" / "2.png").write_bytes(b"\x89PNG but no more")
    model = tiny.write_model(tmp_path / "model", tiny.slice_spec())
    done = segment(pairs / "images", tmp_path / "out", model=model)
    assert list(done.failed) == ["2"] and "2.png" in done.failed["2"] and len(done.cases) == 2


def test_a_network_for_slices_goes_through_a_volume_slice_by_slice(scans: Path, tmp_path: Path) -> None:
    spec = tiny.slice_spec(modalities=make.MODALITIES, convention="brats2021")
    model = tiny.write_model(tmp_path / "model", spec)
    seen: list[tuple[float, int, str]] = []
    (summary,) = segment(
        scans / name(2), tmp_path / "out", model=model, options=PLAIN, progress=lambda *step: seen.append(step)
    ).cases
    mask = nib.Nifti1Image.from_filename(tmp_path / "out" / f"{name(2)}.nii.gz")
    assert mask.shape == make.SHAPES["oblique"] and summary["unit"] == "mL"
    assert len(seen) > 15  # one window a slice at least


def test_a_network_for_volumes_is_refused_on_slices(tmp_path: Path) -> None:
    pairs = make.write_pairs(tmp_path / "pairs")
    net = tiny.spec().network.model_copy(update={"in_channels": 1})
    prep = tiny.slice_spec().prep
    model = tiny.write_model(tmp_path / "model", tiny.spec(network=net, prep=prep))
    with pytest.raises(ConfigError, match=r"takes volumes, .*1\.png is a single slice"):
        segment(pairs / "images", tmp_path / "out", model=model)
    assert not (tmp_path / "out").exists()


def test_progress_moves_within_a_case(scans: Path, model: Path, tmp_path: Path) -> None:
    seen: list[tuple[float, int, str]] = []
    segment(scans, tmp_path / "out", model=model, options=PLAIN, progress=lambda *step: seen.append(step))
    assert seen[0] == (0, 3, name(0)) and seen[-1] == (3, 3, "")
    done = [step[0] for step in seen]
    assert done == sorted(done) and any(0 < step < 1 for step in done)


def write_run(run: Path, model: Path, split: Split) -> Path:
    shutil.copytree(model, run / "best")
    write_split(run / "split.json", split)
    return run


@pytest.mark.parametrize("inner", ["", "best"])
def test_a_part_of_the_runs_split(scans: Path, model: Path, tmp_path: Path, inner: str) -> None:
    split = Split(train=(name(0), "Elsewhere"), val=(), test=(name(2),), seed=0)
    run = write_run(tmp_path / "run", model, split)
    options = SegmentOptions(pictures=False, part="test")
    done = segment(scans, tmp_path / "out", model=run / inner, options=options)
    assert [summary["case_id"] for summary in done.cases] == [name(2)]
    with pytest.raises(LayoutError, match="no case here belongs to the part 'val'"):
        segment(scans, tmp_path / "out", model=run / inner, options=SegmentOptions(part="val"))


def test_only_the_cases_asked_for(scans: Path, model: Path, tmp_path: Path) -> None:
    options = SegmentOptions(pictures=False, cases=(name(2), "Elsewhere"))
    done = segment(scans, tmp_path / "out", model=model, options=options)
    assert [summary["case_id"] for summary in done.cases] == [name(2)]
    run = write_run(tmp_path / "run", model, Split(train=(name(0),), val=(), test=(name(1),), seed=0))
    with pytest.raises(LayoutError, match="none of the cases asked for"):
        segment(scans, tmp_path / "out", model=model, options=SegmentOptions(cases=("Elsewhere",)))
    with pytest.raises(LayoutError, match="no case here belongs to the part 'test'"):
        segment(scans, tmp_path / "out", model=run, options=options.model_copy(update={"part": "test"}))


def test_a_part_needs_a_split(scans: Path, model: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"has no split\.json"):
        segment(scans, tmp_path / "out", model=model, options=SegmentOptions(part="test"))


def test_a_part_may_leave_one_case(scans: Path, model: Path, tmp_path: Path) -> None:
    break_case(scans / name(2), "truncated")
    run = write_run(tmp_path / "run", model, Split(train=(), val=(), test=(name(2),), seed=0))
    with pytest.raises(FileError, match=r"_t2\.nii\.gz is damaged"):
        segment(scans, tmp_path / "out", model=run, options=SegmentOptions(part="test"))


def test_what_gliamap_made_is_not_taken_for_scans(scans: Path, model: Path, tmp_path: Path) -> None:
    prepare([scans], tmp_path / "store")
    segment(scans, tmp_path / "masks", model=model)
    run = write_run(tmp_path / "run", model, Split(train=(), val=(), test=(), seed=0))
    (run / "run.json").write_text("{}")
    Image.new("L", (30, 30)).save(run / "curves.png")
    for source, what in (
        (tmp_path / "store", "a prepared data set"),
        (tmp_path / "masks", "an output of gliamap segment"),
        (run, "a run of gliamap train"),
        (model, "a model"),
    ):
        with pytest.raises(LayoutError, match=f"{source} is {what}"):
            segment(source, tmp_path / "out", model=model)


def test_the_scans_are_never_in_danger(tmp_path: Path) -> None:
    images = make.write_pairs(tmp_path / "pairs") / "images"
    before = {path: path.read_bytes() for path in images.iterdir()}
    model = tiny.write_model(tmp_path / "model", tiny.slice_spec())
    for source in (images, images / "1.png", tmp_path / "pairs"):
        with pytest.raises(OutputError, match="holds the scans or their masks"):
            segment(source, images, model=model, options=SegmentOptions(overwrite=True))
    assert before == {path: path.read_bytes() for path in images.iterdir()}


@pytest.mark.parametrize("kind", ["empty", "missing", "other files"])
def test_what_is_no_scan_is_refused(model: Path, tmp_path: Path, kind: str) -> None:
    source = tmp_path / "scans"
    if kind != "missing":
        source.mkdir()
    if kind == "other files":
        (source / "report.pdf").write_bytes(b"%PDF")
    with pytest.raises(LayoutError, match=str(source)) as caught:
        segment(source, tmp_path / "out", model=model)
    assert caught.value.remedy or caught.value.expected
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", ["missing", "no model", "no weights", "other weights", "damaged spec"])
def test_a_model_that_is_none_is_refused(scans: Path, model: Path, tmp_path: Path, kind: str) -> None:
    if kind == "missing":
        model = tmp_path / "nowhere"
    elif kind == "no model":
        model = scans
    elif kind == "no weights":
        (model / "weights.safetensors").unlink()
    elif kind == "other weights":
        (model / "weights.safetensors").write_bytes(b"0" * 100)
    else:
        (model / "model.json").write_text('{"name": "tiny"}')
    with pytest.raises(FileError, match=str(model)):
        segment(scans, tmp_path / "out", model=model)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("below", [False, True])
def test_an_output_that_is_a_file_is_refused(scans: Path, model: Path, tmp_path: Path, below: bool) -> None:
    (tmp_path / "out").write_text("mine")
    out = tmp_path / "out" / "masks" if below else tmp_path / "out"
    with pytest.raises(OutputError, match="out"):
        segment(scans, out, model=model)
    assert (tmp_path / "out").read_text() == "mine"


def test_voxels_that_are_not_finite_are_a_warning(scans: Path, model: Path, tmp_path: Path) -> None:
    path = scans / name(1) / f"{name(1)}_t2.nii.gz"
    image = nib.Nifti1Image.from_filename(path)
    data = np.asarray(image.dataobj, np.float32).copy()
    data[0, 0, :2] = np.nan
    nib.Nifti1Image(data, image.affine).to_filename(path)
    (summary,) = segment(scans / name(1), tmp_path / "out", model=model, options=PLAIN).cases
    (warning,) = (one for one in summary["warnings"] if one["code"] == "read-with-remarks")
    assert f"{path.name}: 2 voxels that are not finite were read as 0" in warning["text"]


def test_edema_alone_is_edema(scans: Path, tmp_path: Path) -> None:
    model = tiny.write_model(tmp_path / "model", bias=(ALWAYS, NEVER, NEVER))
    segment(scans / name(0), tmp_path / "out", model=model, options=PLAIN)
    (edema,) = (v for v, tissue in get_convention("brats2021").values.items() if tissue == Tissue.ED)
    assert values_in(tmp_path / "out" / f"{name(0)}.nii.gz") == {edema}


def test_the_picture_shows_what_the_mask_holds(scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[set[int]] = []
    monkeypatch.setattr(work, "draw_mosaic", lambda _case, labels, *_, **__: drawn.append(set(np.unique(labels))))
    model = tiny.write_model(tmp_path / "model", bias=(ALWAYS, ALWAYS, NEVER))
    segment(scans / name(0), tmp_path / "a", model=model)
    segment(scans / name(0), tmp_path / "b", model=model, options=SegmentOptions(labels="brats2012", lossy=True))
    assert [found - {0} for found in drawn] == [{Tissue.NCR}, {Tissue.CORE}]


def test_where_every_case_fails_the_first_reason_is_told(scans: Path, model: Path, tmp_path: Path) -> None:
    for number in range(3):
        break_case(scans / name(number), "missing")
    with pytest.raises(LayoutError, match=rf"none of the 3 cases.*{name(0)}: .*lacks t2"):
        segment(scans, tmp_path / "out", model=model)
    assert not (tmp_path / "out").exists()


def test_the_mask_lies_on_a_scan_that_the_model_read(tmp_path: Path) -> None:
    scans = tiny.write_set(tmp_path / "scans", 1)
    (folder,) = scans.iterdir()
    unread = folder / f"{folder.name}_t1.nii.gz"  # the first modality, moved: nobody reads it
    image = nib.load(unread)
    moved = image.affine + np.array([[0, 0, 0, 40], [0] * 4, [0] * 4, [0] * 4])
    nib.save(nib.Nifti1Image(np.asarray(image.dataobj), moved), unread)
    model = tiny.write_model(tmp_path / "model", tiny.slice_spec(modalities=("t1c",)))
    segment(folder, tmp_path / "out", model=model, options=SegmentOptions(pictures=False, force=True))
    mask, read = (
        nib.load(p) for p in (tmp_path / "out" / f"{folder.name}.nii.gz", folder / f"{folder.name}_t1ce.nii.gz")
    )
    np.testing.assert_array_equal(mask.affine, read.affine)


def give_other_grid(path: Path) -> None:
    """Keep every second slice of a volume, as if it had been scanned so."""
    image = nib.Nifti1Image.from_filename(path)
    data = np.asarray(image.dataobj)[..., ::2]
    nib.Nifti1Image(data, image.affine @ np.diag([1, 1, 2, 1])).to_filename(path)


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """A case whose t1, the first modality, and flair lie on other grids than t1c and t2."""
    folder = make.write_brats(tmp_path / "scans", tiny.phantom(kind="oblique"))
    for part in ("t1", "flair"):
        give_other_grid(folder / f"{folder.name}_{part}.nii.gz")
    return folder


def test_differing_grids_are_refused_with_the_way_out(mixed: Path, model: Path, tmp_path: Path) -> None:
    with pytest.raises(GridError, match=r"24x28x13 voxels.* and 24x28x26 voxels.*To do: .*--resample-to"):
        segment(mixed, tmp_path / "out", model=model)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("asked", "part", "shape"), [("T1ce", "t1ce", (24, 28, 26)), ("flair", "flair", (24, 28, 13))])
def test_the_others_are_brought_onto_the_grid_of_one(
    mixed: Path, model: Path, tmp_path: Path, asked: str, part: str, shape: tuple[int, ...]
) -> None:
    options = SegmentOptions(resample_to=asked, probabilities=True)
    (summary,) = segment(mixed, tmp_path / "out", model=model, options=options).cases
    assert summary["not_registered"] is True
    assert "not-registered" in codes(summary)
    scan = nib.Nifti1Image.from_filename(mixed / f"{mixed.name}_{part}.nii.gz")
    for name_ in (f"{mixed.name}.nii.gz", f"{mixed.name}_probabilities.nii.gz"):
        mask = nib.Nifti1Image.from_filename(tmp_path / "out" / name_)
        assert mask.shape[:3] == scan.shape == shape
        np.testing.assert_array_equal(mask.affine, scan.affine)


def test_resampling_is_what_the_network_would_see_of_resampled_files(mixed: Path, model: Path, tmp_path: Path) -> None:
    options = SegmentOptions(pictures=False, resample_to="t1c", probabilities=True)
    segment(mixed, tmp_path / "a", model=model, options=options)
    t1c = mixed / f"{mixed.name}_t1ce.nii.gz"
    for part in ("t1", "flair"):
        path = mixed / f"{mixed.name}_{part}.nii.gz"
        volume = onto_grid(*read_volume(path), read_volume(t1c)[1])
        nib.Nifti1Image(volume, nib.Nifti1Image.from_filename(t1c).affine).to_filename(path)
    (summary,) = segment(mixed, tmp_path / "b", model=model, options=options).cases
    assert summary["not_registered"] is False and "not-registered" not in codes(summary)  # the grids are one now
    a, b = (
        np.asarray(nib.Nifti1Image.from_filename(tmp_path / out / f"{mixed.name}_probabilities.nii.gz").dataobj)
        for out in "ab"
    )
    np.testing.assert_allclose(a, b, atol=1e-6)


def test_the_picture_says_not_registered(
    mixed: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(work, "draw_mosaic", lambda *_, options: said.append(options.notice))
    segment(mixed, tmp_path / "out", model=model, options=SegmentOptions(resample_to="t1c"))
    segment(tiny.write_set(tmp_path / "plain", 1), tmp_path / "b", model=model)
    assert said == ["modalities not registered", ""]


def test_a_modality_to_resample_to_that_nobody_has(mixed: Path, model: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no modality 'dwi'.*Found: flair, t1, t1c, t2"):
        segment(mixed, tmp_path / "out", model=model, options=SegmentOptions(resample_to="dwi"))
    (mixed / f"{mixed.name}_t1ce.nii.gz").unlink()
    make.write_brats(mixed.parent, tiny.phantom(2))
    done = segment(mixed.parent, tmp_path / "out", model=model, options=SegmentOptions(resample_to="t1c"))
    assert list(done.failed) == [mixed.name] and "lacks t1c" in done.failed[mixed.name]


def model_of(kind: Literal["brain", "head"], folder: Path) -> Path:
    return tiny.write_model(folder, tiny.spec(prep=tiny.spec().prep.model_copy(update={"foreground": kind})))


def test_a_model_of_brains_is_refused_on_a_head_and_the_reverse(tmp_path: Path) -> None:
    scans = tmp_path / "scans"
    make.write_brats(scans, tiny.phantom(1, case_id="brain"))
    make.write_brats(scans, tiny.with_skull(tiny.phantom(2, case_id="head")))
    for kind, other in (("brain", "head"), ("head", "brain")):
        model = model_of(kind, tmp_path / f"of-{kind}")
        done = segment(scans, tmp_path / kind, model=model, options=PLAIN)  # the others go on
        assert list(done.failed) == [other] and [summary["case_id"] for summary in done.cases] == [kind]
        assert f"case {other} is not one" in done.failed[other] and "--force" in done.failed[other]
        assert codes(done.cases[0]) == set()
        with pytest.raises(FitError, match="--force"):
            segment(scans / other, tmp_path / "alone", model=model)
        assert not (tmp_path / "alone").exists()


def test_force_lets_it_through_with_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(work, "draw_mosaic", lambda *_, options: said.append(options.notice))
    folder = make.write_brats(tmp_path / "scans", tiny.with_skull(tiny.phantom()))
    options = SegmentOptions(force=True)
    (summary,) = segment(folder, tmp_path / "out", model=model_of("brain", tmp_path / "m"), options=options).cases
    (warning,) = (one for one in summary["warnings"] if one["code"] == "foreground-unlike-training")
    assert all(words in warning["text"] for words in ("skull-stripped brains", "a whole head", "--force"))
    assert warning in sidecar(tmp_path / "out", folder.name)["warnings"]
    assert said == ["model does not fit"]


def test_force_does_not_make_a_model_of_phantoms_one_for_patients(scans: Path, tmp_path: Path) -> None:
    model = tiny.write_model(tmp_path / "model", tiny.spec(phantom_only=True))
    with pytest.raises(ConfigError, match="trained on phantoms"):
        segment(scans, tmp_path / "out", model=model, options=SegmentOptions(force=True))
    assert not (tmp_path / "out").exists()


def test_masks_of_the_data_set_are_not_replaced(tmp_path: Path) -> None:
    pairs = make.write_pairs(tmp_path / "pairs")
    model = tiny.write_model(tmp_path / "model", tiny.slice_spec())
    with pytest.raises(OutputError, match="their masks"):
        segment(pairs, pairs / "masks", model=model, options=SegmentOptions(overwrite=True))

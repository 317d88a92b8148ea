"""The report of a case: what stands in it, what never does, and what is refused."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import make
import tiny
from gliamap.errors import ConfigError, FileError, GridError, LayoutError, OutputError
from gliamap.io.atomic import write_json
from gliamap.io.cases import write_map, write_mask, write_probabilities
from gliamap.labels import Region, from_tissue, get_convention
from gliamap.models.shipped import PHANTOM_DEMO, shipped_model
from gliamap.sources.detect import scan
from gliamap.workflows.common.hashes import sha256_of
from gliamap.workflows.reports.report import ReportOptions, report, write_report

CASE = "Phantom_00001"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A case folder with its own mask, axes to other sides than the viewer's."""
    return make.write_brats(tmp_path / "scans", tiny.phantom(kind="flipped"))


@pytest.fixture
def mask(folder: Path) -> Path:
    """A prediction: the truth without its first plane of tumour."""
    labels = tiny.phantom(kind="flipped").labels
    assert labels is not None
    cut = labels.copy()
    cut[: np.flatnonzero(labels.any(axis=(1, 2)))[0] + 1] = 0
    return put_mask(folder, cut)


def put_mask(folder: Path, labels: np.ndarray, name: str = CASE) -> Path:
    """Write tissues as a BraTS 2021 mask into the folder ``masks``."""
    out = folder.parent.parent / "masks" / f"{name}.nii.gz"
    out.parent.mkdir(exist_ok=True)
    write_mask(out, from_tissue(labels, get_convention("brats2021")), folder / f"{CASE}_t1.nii.gz")
    return out


def put_record(mask: Path, **more: Any) -> None:
    """A ``CASE.json`` beside the mask, as gliamap segment writes it."""
    said = {
        "case_id": CASE,
        "unit": "mL",
        "label_convention": "brats2021",
        "modalities": ["t1", "t1c", "t2", "flair"],
        "warnings": [{"code": "low-confidence", "text": "low confidence: Dice of ET perhaps 0.31"}],
        "predicted_dice": {"WT": {"estimate": 0.91, "low": 0.85, "high": 0.95}},
        "uncertainty": {"WT": {"entropy": 0.123}},
        "probability_channels": ["WT", "TC", "ET"],
        "model": {"name": "a model", "weights_sha256": "ab" * 32},
        "engine": {"name": "openvino", "precision": "bf16", "version": "2026.0"},
        "window": {"mode": "windows", "patch": [48, 56, 48], "overlap": 0.5, "batch": 1},
        "versions": {"gliamap": "0.1.0"},
        "made_from": {"inputs": {}, "models": ["ab" * 32], "settings": "x"},
        "files": {mask.name: sha256_of(mask)},
        "a field of later versions": 1,
    }
    write_json(mask.with_name(f"{CASE}.json"), said | more)


def words_of(page: Path) -> str:
    """What the page says to readers, without elements, data and code."""
    html = re.sub(r"<(script|style)\b.*?</\1>", " ", page.read_text(), flags=re.S)
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


def shown_in(page: Path) -> dict[str, Any]:
    """What the page's viewer is given."""
    found = re.search(r'<script type="application/json" id="case">(.*?)</script>', page.read_text())
    assert found
    shown: dict[str, Any] = json.loads(found[1])
    return shown


def test_a_report_says_what_was_found(folder: Path, mask: Path, tmp_path: Path) -> None:
    put_record(mask)
    own = folder / f"{CASE}_seg.nii.gz"
    done = report(folder, mask, tmp_path / "report.html", options=ReportOptions(reference=own))
    words = words_of(done.page)
    for said in (
        "Research use only; not a medical device.",
        "1 warning ! Low confidence: Dice of ET perhaps 0.31 low-confidence Correct the mask by hand",
        "expected Dice 0.91 [0.85, 0.95]",
        "openvino 2026.0, bf16",
        "in windows of 48 × 56 × 48 voxels, 50 % overlap",
        f"mask, SHA-256 {sha256_of(mask)}",
        "Against the reference",
    ):
        assert said in words
    assert done.facts.score is not None
    assert 0.8 < done.facts.score.regions[Region.WT].dice < 1
    json.dumps(done.facts.as_json(), allow_nan=False)


def test_nothing_is_made_up_where_nothing_is_known(folder: Path, mask: Path, tmp_path: Path) -> None:
    done = report(folder, mask, tmp_path / "report.html")
    words = words_of(done.page)
    assert "Nothing is known of how this mask was made." in words and "No warnings" not in words
    assert "expected Dice" not in words.partition("What the figures mean")[0] and "The model" not in words
    assert done.facts.score is None and done.facts.reference is None


def test_no_path_of_the_machine_stands_in_a_report(folder: Path, mask: Path, tmp_path: Path) -> None:
    put_record(mask)
    options = ReportOptions(reference=folder / f"{CASE}_seg.nii.gz", pdf=tmp_path / "sheet.pdf")
    done = report(folder, mask, tmp_path / "report.html", options=options)
    assert done.pdf is not None
    for file in (done.page, done.pdf):
        content = file.read_bytes()
        for path in (tmp_path, Path.cwd(), Path.home()):
            assert len(str(path)) < 4 or str(path).encode() not in content


def test_a_sheet_holds_its_letters(folder: Path, mask: Path, tmp_path: Path) -> None:
    put_record(mask)
    pdfs = []
    for name in ("one", "two"):
        done = report(folder, mask, tmp_path / f"{name}.html", options=ReportOptions(pdf=tmp_path / f"{name}.pdf"))
        assert done.pdf is not None
        pdfs.append(done.pdf.read_bytes())
    assert pdfs[0] == pdfs[1]  # no date
    assert pdfs[0].startswith(b"%PDF") and b"/FontFile2" in pdfs[0] and pdfs[0].count(b"/Type /Page\n") <= 1
    assert b"/MediaBox [ 0 0 595" in pdfs[0]


HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(1)>\"'&\u202egnp\u2028\x07" + 10_000 * "x"


def test_hostile_words_stay_words(folder: Path, mask: Path, tmp_path: Path) -> None:
    put_record(
        mask,
        warnings=[{"code": HOSTILE, "text": HOSTILE}],
        model={"name": HOSTILE, "weights_sha256": HOSTILE},
        engine={"name": HOSTILE, "precision": HOSTILE, "version": HOSTILE},
        versions={HOSTILE: HOSTILE},
        missing_modalities=[HOSTILE],
    )
    page = report(folder, mask, tmp_path / "report.html", options=ReportOptions(pdf=tmp_path / "sheet.pdf")).page
    html = page.read_text()
    assert "<script>alert" not in html and "<img" not in html
    assert not set(html) & set("\u202e\u2028\x07")
    assert html.count("<script>") == 1 and html.count("</script>") == html.count("<script")
    assert "x" * 2000 not in html  # shortened


def test_a_mask_changed_by_hand_is_told_and_expects_nothing(folder: Path, mask: Path, tmp_path: Path) -> None:
    put_record(mask, files={mask.name: "0" * 64})
    done = report(folder, mask, tmp_path / "report.html")
    assert [one.code for one in done.facts.warnings] == ["mask-changed", "low-confidence"]
    assert not done.facts.sureness


def test_a_mask_beside_the_record_of_another_is_no_more_than_a_changed_one(
    folder: Path, mask: Path, tmp_path: Path
) -> None:
    put_record(mask, files={mask.name: "0" * 64})
    drawn = mask.with_name(f"{CASE}_seg.nii.gz")
    drawn.write_bytes(mask.read_bytes())
    assert report(folder, drawn, tmp_path / "one.html").facts.warnings[0].code == "mask-changed"
    put_record(mask, files={mask.name: sha256_of(drawn)})  # the same under another name
    assert report(folder, drawn, tmp_path / "two.html").facts.warnings[0].code == "low-confidence"


def test_another_scan_than_the_mask_was_made_from_is_told(folder: Path, mask: Path, tmp_path: Path) -> None:
    t1 = folder / f"{CASE}_t1.nii.gz"
    put_record(mask, warnings=[], made_from={"inputs": {"t1": sha256_of(t1), "flair": "0" * 64}})
    done = report(folder, mask, tmp_path / "report.html")
    assert [(one.code, one.text) for one in done.facts.warnings] == [
        ("other-scan", "FLAIR is not the file that the mask was made from")
    ]


def test_maps_beside_the_mask_are_shown(folder: Path, mask: Path, tmp_path: Path) -> None:
    put_record(mask)
    t1, shape = folder / f"{CASE}_t1.nii.gz", tiny.SHAPE
    write_map(mask.with_name(f"{CASE}_entropy.nii.gz"), np.full(shape, 0.5, np.float32), t1)
    write_probabilities(mask.with_name(f"{CASE}_probabilities.nii.gz"), np.full((3, *shape), 0.2, np.float32), t1)
    maps = shown_in(report(folder, mask, tmp_path / "report.html").page)["maps"]
    assert [one["name"] for one in maps] == ["entropy", "probability-WT", "probability-TC", "probability-ET"]


@pytest.mark.parametrize("modalities", [("t1",), ("flair", "t2")])
def test_a_case_of_few_modalities(modalities: tuple[str, ...], folder: Path, mask: Path, tmp_path: Path) -> None:
    (files,) = scan(folder).cases
    few = type(files)(files.identity, {name: files.modalities[name] for name in modalities})
    page = write_report(few, mask, tmp_path / "report.html", options=ReportOptions(labels="brats2021")).page
    assert {one["name"] for one in shown_in(page)["images"]} == set(modalities)


def test_an_empty_mask_is_reported_as_such(folder: Path, tmp_path: Path) -> None:
    empty = put_mask(folder, np.zeros(tiny.SHAPE, np.uint8))
    own = folder / f"{CASE}_seg.nii.gz"
    done = report(folder, empty, tmp_path / "r.html", options=ReportOptions(reference=own, pdf=tmp_path / "r.pdf"))
    assert done.facts.measures.lesion_count == 0
    words = words_of(done.page)
    assert "no tumour found" in words.lower() and "Nothing is known" not in words and "whole tumour 0.00 mL" in words


def test_an_image_is_reported_in_pixels(tmp_path: Path) -> None:
    (files, *_) = scan(make.write_pairs(tmp_path / "slices")).cases
    assert files.labels is not None
    options = ReportOptions(pdf=tmp_path / "sheet.pdf")
    done = write_report(files, files.labels, tmp_path / "report.html", options=options)
    words = words_of(done.page)
    assert " px" in words and " mL" not in words and "33 × 26 pixels" in words
    assert (
        shown_in(done.page)["surfaces"] == [] and "case-surfaces" not in done.page.read_text().partition("<script>")[0]
    )


def test_of_a_data_set_the_case_called_like_the_mask(folder: Path, mask: Path, tmp_path: Path) -> None:
    make.write_brats(folder.parent, tiny.phantom(2))
    assert report(folder.parent, mask, tmp_path / "report.html").facts.case_id == CASE
    other = mask.with_name("Elsewhere.nii.gz")
    other.write_bytes(mask.read_bytes())
    with pytest.raises(LayoutError, match="holds 2 cases"):
        report(folder.parent, other, tmp_path / "other.html")


def test_a_mask_of_another_grid_is_refused(folder: Path, tmp_path: Path) -> None:
    other = make.write_brats(tmp_path / "other", make.case(case_id=CASE)) / f"{CASE}_seg.nii.gz"
    with pytest.raises(GridError, match="lies on the grid of no image"):
        report(folder, other, tmp_path / "report.html")


def test_images_on_another_grid_are_left_out_and_named(folder: Path, mask: Path, tmp_path: Path) -> None:
    other = make.write_brats(tmp_path / "other", make.case(case_id=CASE))
    (folder / f"{CASE}_t2.nii.gz").write_bytes((other / f"{CASE}_t2.nii.gz").read_bytes())
    done = report(folder, mask, tmp_path / "report.html")
    assert done.facts.notes == ("not shown, because on another grid: t2",)
    assert "T2" not in done.facts.images


def test_another_model_than_the_masks_is_refused(folder: Path, mask: Path, tmp_path: Path) -> None:
    put_record(mask, made_from={"models": ["0" * 64]})
    with pytest.raises(ConfigError, match="not made by the model phantom-demo"):
        report(folder, mask, tmp_path / "r.html", options=ReportOptions(model=shipped_model(PHANTOM_DEMO)))


def test_what_is_there_is_not_replaced_unasked(folder: Path, mask: Path, tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    out.write_text("mine")
    with pytest.raises(OutputError, match="there already"):
        report(folder, mask, out)
    assert out.read_text() == "mine"
    report(folder, mask, out, options=ReportOptions(overwrite=True))
    (tmp_path / "folder.html").mkdir()
    with pytest.raises(OutputError, match="is a folder"):
        report(folder, mask, tmp_path / "folder.html", options=ReportOptions(overwrite=True))


def test_a_page_is_never_written_over_a_mask(folder: Path, mask: Path, tmp_path: Path) -> None:
    before = mask.read_bytes()
    for out, pdf in ((mask, None), (tmp_path / "report.html", mask), (tmp_path / "report.html", tmp_path / "r.html")):
        with pytest.raises(OutputError, match="a name that ends in"):
            report(folder, mask, out, options=ReportOptions(pdf=pdf, overwrite=True))
    assert mask.read_bytes() == before and not (tmp_path / "report.html").exists()


def test_a_scan_is_no_map_of_uncertainty(folder: Path, mask: Path, tmp_path: Path) -> None:
    options = ReportOptions(uncertainty=folder / f"{CASE}_t1.nii.gz")
    with pytest.raises(FileError, match="is no map of uncertainty"):
        report(folder, mask, tmp_path / "report.html", options=options)


def test_images_that_were_not_registered_are_brought_together_as_they_were(
    folder: Path, mask: Path, tmp_path: Path
) -> None:
    """The T2 lies on another grid; the record says that the model was shown all on the grid of the mask."""
    other = make.write_brats(tmp_path / "other", make.case(case_id=CASE))
    (folder / f"{CASE}_t2.nii.gz").write_bytes((other / f"{CASE}_t2.nii.gz").read_bytes())
    put_record(mask, not_registered=True)
    done = report(folder, mask, tmp_path / "report.html")
    assert "T2" in done.facts.images
    assert [one["name"] for one in shown_in(done.page)["images"]] == ["t1c", "flair", "t1", "t2"]
    assert any(said.startswith("not registered") for said in done.facts.notes)


@pytest.mark.parametrize(
    "wrong",
    [
        {"predicted_dice": {"WT": "high"}},
        {"predicted_dice": {"WT": {"estimate": -1, "low": 0, "high": 1}}},
        {"warnings": [3]},
        {"warnings": [{"code": "x", "text": "x"}] * 1000},
        {"probability_channels": ["nonsense"]},
    ],
    ids=lambda wrong: str(wrong)[:40],
)
def test_a_damaged_record_is_refused(wrong: dict[str, Any], folder: Path, mask: Path, tmp_path: Path) -> None:
    put_record(mask, **wrong)
    with pytest.raises(FileError, match="is not what gliamap writes"):
        report(folder, mask, tmp_path / "report.html")

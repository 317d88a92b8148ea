"""Which shipped model is taken for which scans, and why."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

import make
import shipped as made
import tiny
from gliamap.case import CaseFiles, CaseIdentity, DataSet
from gliamap.checks.anatomy import Foreground
from gliamap.config import Seen
from gliamap.errors import FitError, GliamapError
from gliamap.io.cases import read_case
from gliamap.labels import Region
from gliamap.models.shipped import shipped_specs
from gliamap.sources.detect import scan
from gliamap.workflows.prediction import choose_model
from gliamap.workflows.prediction.choose_model import Scans, choose, look_at
from gliamap.workflows.prediction.segment import SegmentOptions, segment

ALL = make.MODALITIES
MODELS = made.specs()


def scans(*modalities: str, slices: bool = False, foreground: Foreground | None = "brain") -> Scans:
    return Scans(modalities, slices, foreground, phantoms=False)


def refused(given: Scans) -> str:
    with pytest.raises(FitError) as error:
        choose(MODELS, given)
    return str(error.value)


def test_slices_and_volumes_of_heads_go_to_the_model_of_heads() -> None:
    choice = choose(MODELS, scans("t1c", slices=True, foreground="head"))
    assert choice.model == "heads-2d"
    assert choice.reason == "the only one for slices of whole heads with t1c"
    assert choice.others == {
        "brains-2d": "for skull-stripped brains",
        "brains-3d": "for volumes",
        "drawn": "for phantoms alone",
    }
    assert choose(MODELS, scans(*ALL, foreground="head")).model == "heads-2d"


def test_slices_of_brains_go_to_the_model_of_slices() -> None:
    assert choose(MODELS, scans("t1c", slices=True)).model == "brains-2d"


def test_of_two_the_better_validated_one_for_these_very_modalities_is_taken() -> None:
    four, alone = choose(MODELS, scans(*ALL)), choose(MODELS, scans("t1c"))
    assert (four.model, alone.model) == ("brains-3d", "brains-2d")
    words = "for volumes of skull-stripped brains with"
    assert four.reason == f"{words} t1, t1c, t2, flair: Dice 0.80 (WT, TC, ET), brains-2d Dice 0.67 (WT, TC, ET)"
    assert alone.reason == f"{words} t1c: Dice 0.67 (WT, TC, ET), brains-3d Dice 0.63 (WT, TC, ET)"
    assert alone.others["brains-3d"] == "Dice 0.63 (WT, TC, ET)"


def test_models_are_compared_over_the_regions_that_all_tell() -> None:
    whole = {Region.WT: made.validated(WT=0.79)[Region.WT]}
    models = {"a": MODELS["brains-2d"].model_copy(update={"validated": whole}), "b": MODELS["brains-2d"]}
    choice = choose(models, scans("t1c"))
    assert (choice.model, choice.others) == ("b", {"a": "Dice 0.79 (WT)"})  # though b's ET and TC are lower


def test_a_dice_of_slices_in_pixels_says_little_of_volumes_in_mm() -> None:
    in_pixels = Seen(cases=2, unit="px", spacing=((1, 1),) * 3, extent=((9, 9),) * 3)
    in_mm = in_pixels.model_copy(update={"unit": "mm"})
    models = {
        "images": MODELS["brains-2d"].model_copy(update={"seen": in_pixels}),
        "volumes": MODELS["brains-3d"].model_copy(update={"seen": in_mm}),
    }
    volumes = replace(scans("t1c"), unit="mm")
    choice = choose(models, volumes)
    assert choice.model == "volumes"
    assert choice.others == {"images": "Dice 0.67 (WT, TC, ET, on scans in px)"}
    assert choose(models, scans("t1c")).model == "images"  # some in mm and some in pixels
    assert choose({"images": models["images"]}, volumes).model == "images"


def test_what_was_not_measured_comes_last() -> None:
    models = {"a": MODELS["brains-2d"].model_copy(update={"validated": {}}), "b": MODELS["brains-2d"]}
    assert choose(models, scans("t1c")).others == {"a": "not validated"}
    assert choose({"a": models["a"], "c": models["a"]}, scans("t1c")).model == "a"
    # T2 alone was never measured, yet one model can do without the others.
    assert choose(MODELS, scans("t2")).reason == "the only one for volumes of skull-stripped brains with t2"


def test_phantoms_go_to_the_model_of_phantoms_and_nothing_else_does() -> None:
    drawn = Scans(ALL, False, "brain", phantoms=True)
    choice = choose(MODELS, drawn)
    assert choice.model == "drawn" and choice.reason == "the only one for volumes of phantoms with t1, t1c, t2, flair"
    assert choice.others["brains-3d"] == choice.others["brains-2d"] == "for real scans"
    assert choose(MODELS, replace(drawn, modalities=("flair",))).model == "brains-3d"


def test_where_none_fits_each_model_says_why() -> None:
    text = refused(scans("t2", slices=True))
    assert "for these scans: slices of skull-stripped brains with t2." in text
    assert "heads-2d: for whole heads; brains-2d: needs t1c; brains-3d: for volumes; drawn: for phantoms alone." in text
    assert "--model" in text
    assert "brains-3d: needs one of t1, t1c, t2, flair;" in refused(scans("dwi"))
    assert "brains with no modality." in refused(scans())
    assert "brains with none of t1, t2." in refused(replace(scans(), asked=("t1", "t2")))


def test_a_skull_that_cannot_be_told_is_not_guessed() -> None:
    text = refused(scans("t1c", foreground=None))
    assert "volumes of brains or heads" in text
    assert "heads-2d: for whole heads, and it cannot be told whether these are" in text


def test_the_modalities_asked_for_alone_count(tmp_path: Path) -> None:
    make.write_brats_set(tmp_path)
    data = scan(tmp_path)
    asked = look_at(data, data.cases, ("t2w", "t1ce"))
    assert (asked.modalities, asked.asked) == (("t1c", "t2"), ("t2", "t1c"))
    assert choose(MODELS, replace(asked, foreground="brain")).model == "brains-3d"
    unknown = look_at(data, data.cases, ("t1c", "dwi"))
    with pytest.raises(FitError, match="brains-2d: knows no dwi"):
        choose(MODELS, replace(unknown, foreground="brain"))


@pytest.mark.parametrize(("skull", "told"), [(False, "brain"), (True, "head")])
def test_the_voxels_count_before_the_layout(tmp_path: Path, skull: bool, told: str) -> None:
    one = tiny.phantom(1, case_id="BraTS2021_00001")
    make.write_brats(tmp_path, tiny.with_skull(one) if skull else one)
    data = replace(scan(tmp_path), foreground="brain" if skull else "head")
    seen = look_at(data, data.cases)
    assert (seen.foreground, seen.slices, seen.phantoms) == (told, False, not skull)


def test_brains_among_heads_cannot_be_told(tmp_path: Path) -> None:
    make.write_brats(tmp_path, tiny.phantom(1, case_id="BraTS2021_00001"))
    make.write_brats(tmp_path, tiny.with_skull(tiny.phantom(2, case_id="BraTS2021_00002")))
    data = scan(tmp_path)
    seen = look_at(data, data.cases)
    assert seen.foreground is None and not seen.phantoms


def test_a_damaged_case_does_not_keep_the_others_from_being_looked_at(tmp_path: Path) -> None:
    make.write_brats_set(tmp_path)
    data = scan(tmp_path)
    for path in data.cases[0].modalities.values():
        path.write_bytes(b"damaged")
    assert look_at(data, data.cases).modalities == ALL
    with pytest.raises(GliamapError, match="BraTS2021_00000"):
        look_at(data, data.cases[:1])
    empty = CaseFiles(CaseIdentity("a", "a"), {})
    with pytest.raises(GliamapError, match="lacks every modality"):
        look_at(DataSet(tmp_path, "images", (empty,), None), [empty])


def test_segment_chooses_says_so_and_writes_it_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made.ship(tmp_path / "models", monkeypatch)
    folder = tiny.write_set(tmp_path / "scans", 1)
    done = segment(folder, tmp_path / "out", options=SegmentOptions(pictures=False, engine="torch"))
    assert done.choice == choose_model.choose_model(scan(folder), scan(folder).cases)
    assert done.choice.model == "drawn"
    manifest = json.loads((tmp_path / "out" / "segment.json").read_text())
    assert manifest["choice"] == asdict(done.choice)
    numbers = json.loads((tmp_path / "out" / "Phantom_00001.json").read_text())
    assert numbers["model"]["name"] == "drawn" and numbers["model"]["chosen"] == done.choice.reason
    again = segment(
        folder,
        tmp_path / "named",
        model=tmp_path / "models" / "drawn",
        options=SegmentOptions(pictures=False, engine="torch"),
    )
    assert again.choice is None and again.manifest["choice"] is None and again.cases[0]["model"]["chosen"] is None


REAL = {
    "figshare-t1c/images": ("t1c-2d", "slices of whole heads with t1c"),
    "msd-t1gd-2d": ("t1gd-2d", "slices of skull-stripped brains with t1c"),
    "msd-t1gd-2d/training_images": ("t1gd-2d", "slices of skull-stripped brains with t1c"),
    "brats21": ("glioma-3d", "volumes of skull-stripped brains with t1, t1c, t2, flair"),
    "brats23": ("glioma-3d", "volumes of skull-stripped brains with t1, t1c, t2, flair"),
    "clinical-raw": ("glioma-3d", "volumes of skull-stripped brains with t1, t1c, t2, flair"),
    "btp-t1post": ("t1c-2d", "volumes of whole heads with t1c"),
}
"""Which model each real data set is for, and what it is told to be."""


@pytest.mark.parametrize("name", REAL)
def test_every_real_data_set_is_told_for_what_it_is(data_root: Path, name: str) -> None:
    data = scan(data_root / name, "{case}/{case}_{modality}.nii.gz" if name.startswith("btp") else None)
    seen = look_at(data, data.cases)
    assert seen.words == REAL[name][1]
    alike = {"t1c-2d": "heads-2d", "t1gd-2d": "brains-2d", "glioma-3d": "brains-3d"}
    assert choose(MODELS, seen).model == alike[REAL[name][0]]
    if REAL[name][0] in shipped_specs():
        assert choose(shipped_specs(), seen).model == REAL[name][0]


def test_one_look_reads_one_modality_of_a_few_cases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make.write_brats_set(tmp_path)
    data = scan(tmp_path)
    asked: list[tuple[str, ...] | None] = []

    def watched(files: CaseFiles, **how: object) -> object:
        asked.append(how["modalities"])  # type: ignore[arg-type]
        return read_case(files, modalities=("t1",), with_labels=False)

    monkeypatch.setattr(choose_model, "read_case", watched)
    look_at(data, list(data.cases) * 40)
    assert asked == [("t1",)] * 3

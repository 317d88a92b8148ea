"""How the models that come along are made: each stage once, nothing fitted on what is reported, cards from results."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import make as made
import make_model
import model_final
import model_making
import model_plan
import model_stages
import tiny
from gliamap.config import ModelSpec
from gliamap.errors import ConfigError, OutputError
from gliamap.io.atomic import read_json, write_json
from gliamap.io.checkpoint import read_spec, save_checkpoint
from gliamap.io.store import read_store
from gliamap.labels import Region, Tissue
from gliamap.nets.zoo import build_network, load_network
from gliamap.recipes.named import RECIPES
from gliamap.scoring.score import score_case
from gliamap.scoring.summary import ScoredCase
from gliamap.sources.splits import Split
from gliamap.workflows.common.auxiliary import read_auxiliary
from gliamap.workflows.common.folds import Fold
from gliamap.workflows.prediction.segment import SegmentOptions, segment
from gliamap.workflows.studies.fold_work import FoldTask
from gliamap.workflows.training.train_settings import TrainOptions, full_settings
from model_card import card_text
from model_clean_up import Tried, best_size, others
from model_facts import by_class, classes_in, enhancing_rule, false_volume, worst
from model_final import check_widths, elsewhere, final_fold, opened, pack, trained
from model_making import Making, key_of, state_of
from model_plan import PLANS, Plan
from model_stages import calibrated, prepared
from studies import recipe
from tables import filled

PLAN = Plan(
    name="glioma-3d",  # the card to be filled
    summary="For phantoms.",
    licence="CC0",
    sources=("phantoms",),
    closed_fold=2,
    sizes=(0.0, 0.5),
    class_column="kind",
)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder with six phantoms of two modalities, two in each of three folds, half of them of either class."""
    scans = tiny.write_set(tmp_path / "data" / "phantoms", 6)
    for name in ("t1", "t2"):
        for path in scans.glob(f"*/*_{name}.nii.gz"):
            path.unlink()
    rows = [f"Phantom_{number:05d},{number % 3},{'ab'[number % 2]}\n" for number in range(1, 7)]
    (scans / "manifest.csv").write_text("id,fold,kind\n" + "".join(rows))
    return tmp_path / "data"


def making(data: Path, **changes: Any) -> Making:
    """To be made of phantoms in two steps, with any of the modalities."""
    return Making(PLAN, recipe(modality_dropout=0.5, **changes), data, data.parent / "work")


@pytest.mark.slow
def test_from_scans_to_a_card(data: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gliamap.workflows.training.seen.MOST_CASES", 3)
    out = make_model.make(making(data))
    first = capsys.readouterr().out
    found = read_json(out / "model-glioma-3d.json")
    assert first.count("begins") == 4 + 3 + 1 and found["run"]["command"] == "make model-glioma-3d"
    evaluation = found["evaluation"]
    assert sorted(case["case_id"][-1] for case in evaluation["cases"]) == ["1", "3", "4", "6"]  # fold 2: 2 and 5
    assert evaluation["half_precision"]["cases"] == 6 and evaluation["half_precision"]["lowest_dice"] > 0.9
    assert evaluation["closed_fold"] == {} and evaluation["opened"] is None
    assert set(evaluation["clean_up"]["of_fold"].values()) <= {0.0, 0.5}
    assert list(evaluation["subsets"]) == ["t1c+flair", "t1c", "flair"] and [
        row["class"] for row in evaluation["by_class"]
    ] == ["a", "b"]
    spec = read_spec(out)
    assert (spec.name, spec.summary, spec.licence) == ("glioma-3d", "For phantoms.", "CC0")
    assert spec.validated[Region.WT].cases == 4 and set(spec.dice_per_modality_subset["flair"]) == set(Region)
    assert spec.clean_up.min_size == evaluation["clean_up"]["size"]
    assert spec.seen is not None and spec.seen.cases == 3 and spec.training_data["cases"] == "4"
    card = (out / "CARD.md").read_text()
    assert "<!--" not in card and "not run" not in card and "| ○ | ● |" in card
    assert all((out / name).is_file() for name in evaluation["pictures"]) and len(evaluation["pictures"]) == 2
    assert "](pictures/model-glioma-3d-reliability.png)" in filled(
        "<!-- table: model-pictures model-glioma-3d -->\n<!-- end -->", out
    )
    load_network(out, spec)
    segment(data / "phantoms", data.parent / "masks", model=out, options=SegmentOptions(pictures=False))

    make_model.make(making(data))
    assert capsys.readouterr().out.count("done before") == 4 + 3 + 2  # prepare and half precision, too

    make_model.make(making(data), open_closed=True)
    evaluation = read_json(out / "model-glioma-3d.json")["evaluation"]
    closed = evaluation["closed_fold"]
    assert [case["case_id"] for case in closed["cases"]] == ["Phantom_00002", "Phantom_00005"]
    shown = filled("<!-- table: model-closed model-glioma-3d -->\n<!-- end -->", out)
    assert f"Opened on {evaluation['opened']['at'][:10]}" in shown
    again = read_spec(out)  # the weights that are shipped are those that were tested
    assert (again.weights_sha256, again.training_data["cases"]) == (spec.weights_sha256, "4")
    other = replace(making(data, learning_rate=0.5), folder=data.parent / "other")
    write_json(other.folder / "opened.json", read_json(data.parent / "work" / "opened.json"))
    with pytest.raises(ConfigError, match=r"the closed fold 2 was opened on .* for another recipe"):
        make_model.make(other, open_closed=True)


def test_what_is_done_is_done_again_only_for_another_reason(tmp_path: Path) -> None:
    mine = making(tmp_path / "data")
    calls = []

    def work() -> dict[str, Any]:
        calls.append(1)
        return {"found": (1, 2)}

    for reason in ({"a": (1,)}, {"a": (1,)}, {"a": (2,)}):
        assert mine.once("stage", reason, work) == {"found": [1, 2]}  # as JSON holds it, the first time, too
    assert len(calls) == 2


def test_the_shipped_weights_know_no_stranger(data: Path) -> None:
    strangers = data / "elsewhere"
    shutil.copytree(data / "phantoms" / "Phantom_00004", strangers / "BraTS2021_00004")
    for path in (strangers / "BraTS2021_00004").iterdir():
        path.rename(path.with_name(path.name.replace("Phantom", "BraTS2021")))
    manifest = data / "phantoms" / "manifest.csv"
    rows = [line + ",BraTS2021_00004" * ("_00004" in line) for line in manifest.read_text().splitlines()]
    manifest.write_text("\n".join([rows[0] + ",same_patient_as_3d_case", *rows[1:]]) + "\n")
    mine = making(data)
    prepared(mine)
    assert [name[-1] for name in final_fold(mine).split.train] == ["1", "3", "4", "6"]
    fold = final_fold(replace(mine, plan=replace(PLAN, strangers=("elsewhere",))))
    assert [name[-1] for name in fold.split.train] == ["1", "3", "6"]
    assert [name[-1] for name in fold.split.test] == ["2", "5"]
    assert fold.split.left_out == {"Phantom_00004": "same patient as a case of elsewhere"}


def test_the_data_of_another_plan_is_learned_from_as_there_without_its_closed_fold(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Plan("slices", "", "CC0", sources=("more",), spacing=(2.0, 2.0, 2.0), closed_fold=1)
    monkeypatch.setattr(model_plan, "PLANS", {"slices": other})
    monkeypatch.setattr(model_final, "calibrate", lambda *_, **__: None)
    (data / "phantoms").rename(data / "more")
    tiny.write_set(data / "phantoms", 3)
    plan = Plan("glioma-3d", "", "CC0", sources=("phantoms",), auxiliary="slices")
    mine = replace(making(data), plan=plan, recipe=recipe(modality_dropout=0.5))
    prepared(mine)
    assert mine.options.auxiliary == mine.auxiliary is not None
    assert read_store(mine.auxiliary.store).prep.spacing == (2.0, 2.0, 2.0)
    fold = trained(mine, 0.0)
    record = read_auxiliary(fold.run)
    assert record is not None and record.modalities == ("t1c", "flair")
    assert [name[-1] for name in record.cases] == ["2", "3", "5", "6"]  # of three folds the second is closed


def test_the_shipped_weights_are_tested_on_strangers(data: Path, tmp_path: Path) -> None:
    mine = replace(making(data), plan=replace(PLAN, strangers=("phantoms",)))
    prepared(mine)
    fold = fold_of(tmp_path, tiny.slice_spec(modalities=("t1c", "flair"), convention="brats2021"))
    found = elsewhere(mine, fold)
    assert found["modalities"] == ["t1c", "flair"] and found["dice"]["WT"]["cases"] == 6
    results = tmp_path / "model-glioma-3d.json"
    write_json(results, {"run": {}, "evaluation": {"elsewhere": found}})
    shown = filled("<!-- table: model-elsewhere model-glioma-3d -->\n<!-- end -->", tmp_path)
    assert "| ET, 1 mL or more |" in shown and "All cases of phantoms; shown t1c, flair alone." in shown
    assert elsewhere(replace(mine, plan=PLAN), fold) == {}
    write_json(results, {"run": {}, "evaluation": {"elsewhere": {}}})
    assert "no such set" in filled("<!-- table: model-elsewhere model-glioma-3d -->\n<!-- end -->", tmp_path)


def test_the_closed_fold_is_refused_before_anything_is_done(tmp_path: Path) -> None:
    mine = making(tmp_path / "data")  # there is no such folder
    with pytest.raises(ConfigError, match="glioma-3d has no closed fold"):
        make_model.make(replace(mine, plan=replace(PLAN, closed_fold=None)), open_closed=True)
    write_json(mine.folder / "opened.json", {"recipe": {}, "at": "yesterday"})
    with pytest.raises(ConfigError, match="opened on yesterday for another recipe"):
        make_model.make(mine, open_closed=True)


def test_that_the_fold_was_opened_stays_known(tmp_path: Path) -> None:
    mine, results = making(tmp_path / "data"), tmp_path / "model-glioma-3d.json"
    assert opened(mine, results) is None
    record = {"recipe": {}, "at": "yesterday", "commit": None}
    write_json(results, {"run": {}, "evaluation": {"closed_fold": {}, "opened": record}})
    assert opened(mine, results) == record  # though this recipe has no scores on it
    shown = filled("<!-- table: model-closed model-glioma-3d -->\n<!-- end -->", tmp_path)
    assert "opened for an earlier recipe" in shown


def fold_of(folder: Path, spec: ModelSpec | None = None) -> Fold:
    """A fold that holds nothing out; ``spec`` is that of its model."""
    tiny.write_model(folder / "run" / "best", spec)
    return Fold("fold", folder, folder / "masks", 0, 0, Split(train=(), val=(), test=(), seed=0))


def test_held_out_cases_are_predicted_in_the_window_mode_of_the_models(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[FoldTask] = []
    monkeypatch.setattr(model_making, "run_folds", lambda tasks, *_: asked.extend(tasks))
    for mode in ("windows", "one-pass"):
        window = tiny.spec().window.model_copy(update={"mode": mode})
        fold = fold_of(data.parent / mode, tiny.spec(window=window))
        making(data).predict((fold,), data.parent / "masks", SegmentOptions(probabilities=True))
    assert [task.segmenting.window for task in asked] == ["windows", "one-pass"]
    assert all(task.segmenting.probabilities for task in asked)


def test_held_out_masks_of_another_version_are_not_taken_for_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fold = fold_of(tmp_path)
    before = key_of(state_of((fold,)))
    assert key_of(state_of((fold,))) == before
    monkeypatch.setattr(model_making, "__version__", "999")
    assert key_of(state_of((fold,))) != before


def test_folds_that_were_trained_anew_are_calibrated_anew(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    monkeypatch.setattr(model_stages, "calibrate", lambda *_, **__: calls.append(1))
    monkeypatch.setattr(model_stages, "as_json", lambda _: {"lessons": []})
    mine, fold = making(data), fold_of(data.parent)
    for _ in range(2):
        calibrated(mine, (fold,), {"of_fold": {"fold": 0.0}})
    assert len(calls) == 1
    tiny.write_model(fold.run / "best", bias=(1, 1, 1))
    calibrated(mine, (fold,), {"of_fold": {"fold": 0.0}})
    assert len(calls) == 2


def tried(case_id: str, patient: str, small: float, large: float) -> Tried:
    return Tried(case_id, patient, {0.0: (small,), 5.0: (large,)})


def test_a_fold_gets_the_size_that_is_best_on_the_others() -> None:
    every = [tried("1", "p", 0.2, 0.9), tried("2", "q", 0.6, 0.5), tried("3", "r", 0.6, 0.5)]
    assert best_size(every, (5.0, 0.0)) == 5.0
    assert best_size(others(every, ["1"]), (5.0, 0.0)) == 0.0


def test_patients_count_once_and_of_equal_sizes_the_smallest_wins() -> None:
    slices = [tried(str(number), "p", 0.9, 0.0) for number in range(5)]
    assert best_size([*slices, tried("x", "q", 0.0, 1.0)], (0.0, 5.0)) == 5.0  # means 0.45 and 0.5
    assert best_size([tried("1", "p", 0.5, 0.5)], (5.0, 0.0)) == 0.0


def scored(patient: str, *, found: bool = True, name: str | None = None) -> ScoredCase:
    """A case whose tumour is found but for its enhancing part, or not at all."""
    one = made.case("plain")
    assert one.labels is not None
    said = one.labels.copy()
    said[(said == Tissue.ET) if found else (said != 0)] = Tissue.BACKGROUND
    return ScoredCase(name or patient, patient, score_case(said, one.labels, one.grid, tuple(Region)))


def test_the_worst_are_of_different_patients_and_hold_most_tumour() -> None:
    cases = [scored("p", found=False), scored("p", found=False, name="again"), scored("q"), scored("r", found=False)]
    assert [row["case_id"] for row in worst(cases, 3)] == ["again", "r", "q"]
    dice = worst(cases, 1)[0]["regions"]["WT"]
    assert dice["dice"] == 0 and dice["predicted_volume"] == 0 < dice["reference_volume"]


def test_classes_apart(tmp_path: Path) -> None:
    (tmp_path / "manifest.csv").write_text("id,class\np,glioma\nq,meningioma\n")
    rows = by_class([scored("q"), scored("p", found=False)], classes_in(tmp_path / "manifest.csv", "class"))
    assert [(row["class"], row["cases"]) for row in rows] == [("glioma", 1), ("meningioma", 1)]
    assert rows[0]["regions"]["WT"]["dice"]["mean"] == 0 < rows[1]["regions"]["WT"]["dice"]["mean"]


def test_enhancing_tumour_by_its_rule() -> None:
    one = scored("p")
    region = one.score.regions[Region.ET]
    few, much = (
        replace(region, reference_volume=ml, predicted_volume=2.0, counts=replace(region.counts, tp=30, fp=10))
        for ml in (0.9, 1.0)
    )
    assert false_volume(few) == 0.5  # a quarter of 2 mL

    def case(score: Any, patient: str) -> ScoredCase:
        return ScoredCase(patient, patient, replace(one.score, regions={Region.ET: score}))

    rule = enhancing_rule([case(few, "p"), case(replace(much, dice=0.75), "q")])
    assert rule is not None
    assert (rule["dice"]["mean"], rule["dice"]["cases"]) == (0.75, 1)
    assert (rule["false_positive_ml"]["mean"], rule["false_positive_ml"]["cases"]) == (0.5, 1)
    assert enhancing_rule([replace(one, score=replace(one.score, unit="px"))]) is None


def test_packed_weights_are_half_as_large_and_never_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny.write_model(tmp_path / "model")
    spec = pack(model, tmp_path / "out", read_spec(model))
    whole, half = ((folder / "weights.safetensors").stat().st_size for folder in (model, tmp_path / "out"))
    assert half < 0.7 * whole and read_spec(tmp_path / "out") == spec
    before, after = (load_network(folder, read_spec(folder)).state_dict() for folder in (model, tmp_path / "out"))
    assert all((before[name] - after[name]).abs().max() < 1e-3 for name in before)
    monkeypatch.setattr("model_final.LARGEST", 100)
    with pytest.raises(OutputError, match="too large to ship"):
        pack(model, tmp_path / "out", spec)


def test_a_network_that_could_not_be_shipped_is_not_trained(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = making(data)
    prepared(mine)
    check_widths(mine)
    monkeypatch.setattr("model_final.LARGEST", 100)
    with pytest.raises(OutputError, match="too large to ship"):
        make_model.make(mine)
    assert not mine.study.exists()


def test_weights_are_counted_as_they_are_stored(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MONAI's DynUNet holds its layers under several names."""
    sizes: list[int] = []
    monkeypatch.setattr("model_final._check_size", lambda _, size: sizes.append(size))
    mine = making(data)
    mine = replace(mine, recipe=mine.recipe.model_copy(update={"network": "dynunet", "widths": (8, 16, 32)}))
    prepared(mine)
    check_widths(mine)
    spec, _ = full_settings(mine.info, TrainOptions.model_validate(mine.recipe.model_dump()), "model")
    save_checkpoint(data / "model", build_network(spec.network), spec)
    pack(data / "model", data / "out", read_spec(data / "model"))
    assert sizes[1] == pytest.approx(sizes[0], rel=0.1)


def test_pictures_of_an_earlier_model_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures, out = tmp_path / "pictures", tmp_path / "out"
    for folder, names in {
        pictures: ("model-x-worst-1.png", "model-xy-a.png"),
        out: ("model-x-reliability.png",),
    }.items():
        folder.mkdir()
        for name in names:
            (folder / name).write_bytes(b"")
    for name, folder in {"PICTURES": pictures, "SHIPPED": tmp_path / "src" / "models", "ROOT": tmp_path}.items():
        monkeypatch.setattr(make_model, name, folder)
    make_model.ship(out, "x")
    assert tiny.files_in(pictures) == ["model-x-reliability.png", "model-xy-a.png"]


def test_several_sets_become_one_folder_of_links(tmp_path: Path) -> None:
    for name in ("one/a", "two/b"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "folds.json").write_text("{}")
    plan = replace(PLAN, sources=("one", "two"))
    for _ in range(2):
        scans = plan.scans(tmp_path, tmp_path / "work")
        assert tiny.files_in(scans) == ["a", "b", "folds.json"]
    with pytest.raises(ConfigError, match="GLIAMAP_DATA"):
        replace(PLAN, sources=("three",)).scans(tmp_path, tmp_path / "work")


@pytest.mark.parametrize("name", PLANS)
def test_every_model_has_a_recipe_and_a_card(name: str, tmp_path: Path) -> None:
    assert RECIPES[name].config["steps"] > 1000
    text = card_text(name, partial(filled, folder=tmp_path))
    assert text.startswith(f"# {name}\n") and "<!--" not in text and "not run" in text
    assert all(f"## {part}\n" in text for part in ("Data, licence and attribution", "Where it fails", "Use"))
    assert json.loads((Path(make_model.__file__).parent / "models" / "failures.json").read_text()).keys() == {*PLANS}


def test_a_quick_try_cannot_be_shipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GLIAMAP_DATA", str(tmp_path))
    words = ["t1gd-2d", "--work", str(tmp_path / "work"), "--steps", "2"]
    assert make_model.main([*words, "--ship"]) == 2
    assert "only the shipped recipe can be shipped" in capsys.readouterr().err
    assert make_model.main([*words, "--open-closed-fold"]) == 2
    assert "the closed fold opened for it" in capsys.readouterr().err
    assert make_model.main([*words, "--recipe", "nonsense"]) == 2
    assert "there is no recipe 'nonsense'" in capsys.readouterr().err
    assert make_model.main(words) == 2  # no such data
    monkeypatch.delenv("GLIAMAP_DATA")
    assert make_model.main(words) == 2
    assert "GLIAMAP_DATA is not set" in capsys.readouterr().err

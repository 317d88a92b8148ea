"""The verb 'calibrate': only held-out cases teach, what is learned is written where it belongs, and work is kept."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import expit

import tiny
from gliamap.case import Uncertainty
from gliamap.config import ModelSpec, WindowConfig
from gliamap.errors import ConfigError, FileError
from gliamap.infer.engine import EngineChoice
from gliamap.io.atomic import read_json, write_json
from gliamap.io.checkpoint import read_spec, write_spec
from gliamap.io.store import read_store
from gliamap.labels import Region
from gliamap.scoring.estimate import Estimate
from gliamap.sources.detect import scan
from gliamap.sources.splits import Split, fingerprint, write_split
from gliamap.workflows.data.prepare import prepare
from gliamap.workflows.studies import calibrate_case
from gliamap.workflows.studies.calibrate import CalibrateOptions, calibrate
from gliamap.workflows.studies.calibrate_case import Look, Way
from gliamap.workflows.studies.calibrate_found import best_mode, lesson_of, mean_curve

PATIENTS = 10
CASES = [f"Phantom_{number:05d}" for number in range(1, PATIENTS + 1)]
HALVES = (CASES[:5], CASES[5:])
Run = Callable[..., tuple[int, str, str]]


class Brightness:
    """Calls the brighter half of a modality tumour, voxel by voxel, and is too sure of that by ``SHARP``."""

    SHARP = 8.0
    name, precision, version = "test", "fp32", "0"
    channels, divisor = 3, 2
    calls = 0

    def __init__(self, temperature: float) -> None:
        self.temperature = temperature

    def __call__(self, patches: NDArray[np.float32]) -> NDArray[np.float32]:
        Brightness.calls += 1
        flair, t1c = patches[:, 3], patches[:, 1]
        logits = np.stack([flair - 0.5, flair - 1.0, t1c - 2.5], axis=1) * self.SHARP
        return expit(logits / self.temperature).astype(np.float32)


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> type[Brightness]:
    """In place of what runs a network."""

    def build(_folder: Path, spec: ModelSpec, _choice: object) -> Brightness:
        return Brightness(spec.temperature)

    monkeypatch.setattr(calibrate_case, "build_engine", build)
    monkeypatch.setattr(Brightness, "calls", 0)
    return Brightness


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``scans`` of so many phantoms, and a ``study`` of two folds over them, as cross-validate leaves it."""
    root = tmp_path_factory.mktemp("calibrate")
    tiny.write_set(root / "scans", PATIENTS)
    write_study(root / "study", HALVES)
    return root


@pytest.fixture
def root(made: Path, tmp_path: Path) -> Path:
    """A copy of ``made``, to be changed."""
    shutil.copytree(made, tmp_path / "root")
    return tmp_path / "root"


def write_study(out: Path, folds: Sequence[Sequence[str]]) -> None:
    """Folds that hold out these cases, with a tiny model each."""
    places = []
    for number, held_out in enumerate(folds):
        train, *val = [case_id for case_id in CASES if case_id not in held_out]
        split = Split(seed=0, train=(train,), val=tuple(val), test=tuple(held_out))
        folder = out / "repeat0" / f"fold{number}"
        for part in ("best", "last"):
            tiny.write_model(
                folder / "run" / part, tiny.spec(window=WindowConfig(patch=(16, 16, 16), overlap=0, batch=8))
            )
        write_split(folder / "split.json", split)
        write_split(folder / "run" / "split.json", split)
        places.append({"repeat": 0, "fold": number, "seed": 0, "split": fingerprint(split)})
    write_json(out / "study.json", {"format": 1, "folds": places})


def run(root: Path, **changes: Any) -> Any:
    model = changes.pop("model", None)
    return calibrate(root / "study", root / "scans", model=model, options=CalibrateOptions(**changes))


def spec_of(root: Path, fold: int) -> ModelSpec:
    return read_spec(root / "study" / "repeat0" / f"fold{fold}" / "run" / "best")


def test_what_is_found_is_written_into_the_folds(root: Path, engine: type[Brightness]) -> None:
    found = run(root)
    assert found.mode == "one-pass"  # voxel by voxel: nothing changes
    assert {region: each.mean for region, each in found.difference.items()} == pytest.approx(dict.fromkeys(Region, 0))
    assert found.temperature > 1.5 and found.likelihood[1] < found.likelihood[0]
    for fold in (0, 1):
        spec = spec_of(root, fold)
        assert spec.window.mode == "one-pass" and spec.temperature == found.temperature
        assert spec.window_dice["windows"] == pytest.approx(spec.window_dice["one-pass"])
        assert spec.window_dice["windows"][Region.WT] == found.dice["windows"][Region.WT].mean
        assert spec.dice_predictor is not None and spec.dice_predictor.mode == "one-pass"
        assert not spec.dice_predictor.flips and spec.dice_predictor.found[Region.WT].patients == PATIENTS
        assert spec.dice_predictor.none == {}  # no phantom's mask is empty
    left = {path.name for path in (root / "study" / "calibration").iterdir()}
    assert left == {"calibration.json", "calibration.md", "predicted-dice.png", "cases", ".lock"}
    said = read_json(root / "study" / "calibration" / "calibration.json")
    assert said["lessons"][0]["judged"][0]["case_id"] == CASES[0] and str(root) not in json.dumps(said["models"])
    text = (root / "study" / "calibration" / "calibration.md").read_text()
    assert "The default is one pass" in text and "| WT | some | 10 | 10 |" in text and "too few" in text


def test_an_interrupted_call_goes_on(root: Path, engine: type[Brightness]) -> None:
    whole = run(root)
    asked = engine.calls
    shutil.rmtree(root / "study" / "calibration")
    engine.calls = 0

    def stop(done: int, total: int, note: str) -> None:
        assert total == 3 * PATIENTS and note.startswith("repeat 0, fold")
        if done == 16:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        calibrate(root / "study", root / "scans", progress=stop)
    assert engine.calls < asked
    assert run(root) == whole and engine.calls == asked
    # A third time with two cases to do: damaged ones. The models have a temperature by now, which must not matter.
    kept = sorted((root / "study" / "calibration" / "cases").iterdir())
    assert len(kept) == 3 * PATIENTS
    kept[0].write_text("{}")
    kept[1].write_bytes(b"\xff")
    assert run(root) == whole and asked < engine.calls < 2 * asked


def test_other_weights_are_asked_anew(root: Path) -> None:
    folder = root / "study" / "repeat0" / "fold0" / "run" / "best"
    files = next(iter(scan(root / "scans").cases))
    way, choice = Way("windows"), EngineChoice()
    keys = set()
    for weights in ("one", "one", "another"):
        write_spec(folder, spec_of(root, 0).model_copy(update={"weights_sha256": weights, "metrics": {weights: 1.0}}))
        keys.add(calibrate_case.key_of(files, calibrate_case.spec_for(read_spec(folder), way), way, choice))
    assert len(keys) == 2


def test_flips_of_a_network_teach_from_disagreement_too(root: Path) -> None:
    found = run(root, flips=True, choice=EngineChoice(engine="torch", precision="fp32"))
    assert found.difference[Region.WT].mean != 0  # a window's border is not that of the whole
    predictor = spec_of(root, 0).dice_predictor
    assert predictor is not None and predictor.flips and predictor.mode == found.mode
    assert set(predictor.found[Region.WT].slopes) == {"entropy", "log_volume", "disagreement"}


def test_a_store_tells_what_the_models_were_trained_on(root: Path, engine: type[Brightness]) -> None:
    prepare([root / "scans"], root / "store")
    with pytest.raises(ConfigError, match="was not trained on the data in"):
        run(root, store=root / "store")
    trained_on = {"fingerprint": read_store(root / "store").fingerprint}
    for fold in (0, 1):
        folder = root / "study" / "repeat0" / f"fold{fold}" / "run" / "best"
        write_spec(folder, spec_of(root, fold).model_copy(update={"training_data": trained_on}))
    run(root, store=root / "store")
    seen = spec_of(root, 0).seen
    assert seen is not None and seen.cases == 1  # the others are validated on


def test_a_model_of_the_same_recipe_is_told_instead_of_the_folds(root: Path, engine: type[Brightness]) -> None:
    model = tiny.write_model(root / "all" / "best", spec_of(root, 0)).parent
    assert run(root, model=model).models == (model / "best",)
    assert read_spec(model / "best").temperature > 1.5 and spec_of(root, 0).temperature == 1
    other = tiny.write_model(root / "other", tiny.spec(window=WindowConfig(patch=(16, 16, 32))))
    with pytest.raises(ConfigError, match="another model than those of the folds"):
        run(root, model=other)
    with pytest.raises(ConfigError, match="phantom-demo comes with gliamap and is not changed"):
        run(root, model=Path("phantom-demo"))
    assert read_spec(other).temperature == 1


def test_a_patient_whom_the_model_has_seen_is_refused(root: Path, engine: type[Brightness]) -> None:
    rows = [f"{case_id},{'same' if case_id in (CASES[0], CASES[5]) else case_id}\n" for case_id in CASES]
    (root / "scans" / "manifest.csv").write_text("case,patient\n" + "".join(rows))
    with pytest.raises(ConfigError, match="the model of repeat 0, fold 0 has seen patients of the held-out part"):
        run(root)
    assert engine.calls == 0


def test_a_case_that_the_model_was_trained_on_is_refused(root: Path, engine: type[Brightness]) -> None:
    learned, *held_out = HALVES[0]
    split = Split(seed=0, train=(learned,), val=(), test=tuple(held_out))
    write_split(root / "study" / "repeat0" / "fold0" / "run" / "split.json", split)
    with pytest.raises(ConfigError, match="repeat 0, fold 0 was trained on other cases than"):
        run(root)
    assert engine.calls == 0


def test_what_is_no_complete_study_is_refused(root: Path) -> None:
    with pytest.raises(FileError, match="is not a cross-validation"):
        calibrate(root / "scans", root / "scans")
    shutil.rmtree(root / "study" / "repeat0" / "fold1" / "run" / "last")
    with pytest.raises(FileError, match="is not complete"):
        run(root)
    (root / "study" / "study.json").write_text('{"folds": [{"repeat": 0}]}')
    with pytest.raises(FileError, match="does not describe a cross-validation"):
        run(root)


def test_a_scan_that_is_gone_is_refused(root: Path) -> None:
    shutil.rmtree(root / "scans" / CASES[3])
    with pytest.raises(ConfigError, match="does not hold all cases"):
        run(root)


def test_the_command_prints_tables_and_what_was_decided(
    root: Path, engine: type[Brightness], command: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("calibrate", str(root / "study"), "--scans", str(root / "scans"))
    code, out, _ = command(*words)
    assert code == 0
    assert "Dice of held-out cases, 2 folds" in out and "The default is one pass" in out and "Predicted Dice" in out
    code, out, _ = command(*words, "--json")  # nothing is asked again
    assert code == 0 and json.loads(out)["mode"] == "one-pass"
    code, _, err = command(*words, "--precision", "int8")
    assert code == 2 and "the setting 'precision' does not fit" in err


def look(patient: str, dice: float, *, volume: float = 1.0, entropy: float = 0.0) -> Look:
    unsure = Uncertainty({Region.WT: entropy})
    return Look(patient, patient, {Region.WT: dice}, {Region.WT: volume}, unsure, ())


def test_one_pass_is_taken_unless_a_region_falls() -> None:
    def means(*values: float | None) -> dict[Region, Estimate]:
        return {r: Estimate(v, None, None, v, v, 1, 1) for r, v in zip(Region, values, strict=False)}

    assert best_mode(means(0.1, -0.005, 0.0)) == "one-pass"
    assert best_mode(means(0.1, -0.0051, 0.0)) == "windows"
    assert best_mode({}) == "windows"  # one pass cannot be had


def test_empty_masks_are_judged_apart() -> None:
    some = [look(f"p{n}", 0.8 - 0.01 * n, entropy=0.01 * n) for n in range(12)]
    none = [look(f"p{n}", float(n < 9), volume=0) for n in range(12)]
    found, empty = (lesson_of([*some, *none], Region.WT, found=each) for each in (True, False))
    assert found.learned is not None and set(found.learned.line.slopes) == {"entropy", "log_volume"}
    assert found.plain_error is not None and found.learned.line.error < found.plain_error
    assert empty.learned is not None and empty.learned.line.slopes == {}
    assert empty.learned.line.intercept == pytest.approx(0.75)
    few = lesson_of(some[:9], Region.WT, found=True)
    assert few.learned is None and few.judged == () and (few.cases, few.patients) == (9, 9)


def test_curves_are_averaged_by_patient() -> None:
    def with_curve(patient: str, *curve: float) -> Look:
        one = look(patient, 1.0)
        return Look(one.case_id, patient, one.dice, one.volumes, one.uncertainty, curve)

    curves = [with_curve("a", 1, 2), with_curve("a", 3, 4), with_curve("b", 4, 5), with_curve("c")]
    assert mean_curve(curves).tolist() == [3, 4]
    with pytest.raises(ConfigError, match="nothing to calibrate on"):
        mean_curve(curves[3:])

"""Distillation: lessons are the teachers' mean, a student learns from them, and no teacher has seen its test cases."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import tiny
from gliamap.config import InputConfig, NetConfig
from gliamap.errors import ConfigError, FileError
from gliamap.infer.engine import EngineChoice
from gliamap.infer.predictor import load_predictor
from gliamap.infer.window import predict_windows
from gliamap.inputs import NetworkInput
from gliamap.io.soft import open_soft, write_soft
from gliamap.io.store import read_case
from gliamap.losses.entropy import soft_ce
from gliamap.losses.named import deeply_supervised, dice_ce
from gliamap.losses.target import Target
from gliamap.sources.splits import Split, SplitOptions, write_split
from gliamap.workflows.training.teach import teach
from gliamap.workflows.training.train import train

NAMES = tuple(f"Phantom_{number:05d}" for number in range(1, 5))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_store(tmp_path_factory.mktemp("phantoms"), 4)


def write_run(folder: Path, *, bias: tuple[float, ...], seen: tuple[str, ...] = NAMES[:2]) -> Path:
    """A run whose model always gives the same logits, nearly, and was trained on the cases ``seen``."""
    tiny.write_model(folder / "best", bias=bias)
    write_split(folder / "split.json", Split(train=seen[:1], val=seen[1:], test=(), seed=0))
    return folder


def test_lessons_are_the_mean_of_the_teachers(store: Path, tmp_path: Path) -> None:
    one = write_run(tmp_path / "one", bias=(50, 50, 50))
    two = write_run(tmp_path / "two", bias=(50, -50, -50))
    done = teach(store, [one, two], tmp_path / "lessons")
    assert (done.teachers, done.cases) == (2, 4)
    for name in NAMES:
        soft = open_soft(tmp_path / "lessons", name)
        assert soft.shape == (3, *read_case(store, name).record.shape)
        assert [np.unique(channel).tolist() for channel in soft] == [[255], [128], [128]]  # 127.5, to even


def test_a_teacher_is_asked_as_users_ask_it(store: Path, tmp_path: Path) -> None:
    run = tiny.write_model(tmp_path / "model")
    teach(store, [run], tmp_path / "lessons")
    teacher, image = load_predictor(run), read_case(store, NAMES[0]).image
    expected = predict_windows(NetworkInput(image), teacher.engine, teacher.spec.window)
    np.testing.assert_allclose(open_soft(tmp_path / "lessons", NAMES[0]) / 255, expected, atol=0.5 / 255 + 1e-6)


def test_a_cross_validation_stands_for_all_its_folds(store: Path, tmp_path: Path) -> None:
    for fold in range(3):
        write_run(tmp_path / "study" / "repeat0" / f"fold{fold}" / "run", bias=(50, -50, -50), seen=NAMES[fold:][:2])
    assert teach(store, [tmp_path / "study"], tmp_path / "lessons").teachers == 3
    assert json.loads((tmp_path / "lessons" / "lessons.json").read_text())["seen"] == list(NAMES)


def test_an_interrupted_call_goes_on(store: Path, tmp_path: Path) -> None:
    run = tiny.write_model(tmp_path / "model")
    teach(store, [run], tmp_path / "lessons")
    path = tmp_path / "lessons" / f"{NAMES[1]}.npy"
    whole = path.read_bytes()
    path.unlink()
    kept = (tmp_path / "lessons" / f"{NAMES[0]}.npy").stat().st_mtime_ns
    teach(store, [run], tmp_path / "lessons")
    assert path.read_bytes() == whole
    assert (tmp_path / "lessons" / f"{NAMES[0]}.npy").stat().st_mtime_ns == kept


def test_lessons_of_other_teachers_are_not_mixed(store: Path, tmp_path: Path) -> None:
    teach(store, [write_run(tmp_path / "one", bias=(50, 50, 50))], tmp_path / "lessons")
    with pytest.raises(ConfigError, match=r"holds other lessons.*--out"):
        teach(store, [write_run(tmp_path / "two", bias=(-50, 50, 50))], tmp_path / "lessons")


def test_teachers_of_another_preparation_or_output_are_refused(store: Path, tmp_path: Path) -> None:
    base = tiny.spec()
    robust = base.model_copy(update={"prep": base.prep.model_copy(update={"normalise": "robust"})})
    with pytest.raises(ConfigError, match="another preparation"):
        teach(store, [tiny.write_model(tmp_path / "robust", robust)], tmp_path / "lessons")
    classes = base.model_copy(
        update={
            "output": base.output.model_copy(update={"kind": "classes"}),
            "network": base.network.model_copy(update={"out_channels": 4}),
        }
    )
    models = [tiny.write_model(tmp_path / "plain"), tiny.write_model(tmp_path / "classes", classes)]
    with pytest.raises(ConfigError, match="another output"):
        teach(store, models, tmp_path / "lessons")
    with pytest.raises(ConfigError, match="no teacher"):
        teach(store, [], tmp_path / "lessons")


def test_a_student_becomes_like_its_teacher(store: Path, tmp_path: Path) -> None:
    """A teacher that sees tumour nowhere is believed, against the masks, as far as its weight goes."""
    teach(store, [write_run(tmp_path / "teacher", bias=(-50, -50, -50), seen=())], tmp_path / "lessons")
    mean = {}
    for weight in (0.0, 1.0):
        changes = {"soft_weight": weight, "steps": 60, "learning_rate": 0.05, "foreground_share": 1.0}
        options = tiny.options(**changes, validate_every=60).model_copy(update={"lessons": tmp_path / "lessons"})
        train(store, tmp_path / f"run{weight}", options=options)
        student = load_predictor(tmp_path / f"run{weight}" / "last", EngineChoice(precision="fp32"))
        image = read_case(store, NAMES[0]).image
        mean[weight] = predict_windows(NetworkInput(image), student.engine, student.spec.window).mean()
    assert mean[1.0] < 0.5 * mean[0.0]


def test_a_test_patient_that_a_teacher_knows_is_a_leak(store: Path, tmp_path: Path) -> None:
    write_split(tmp_path / "split.json", Split(train=NAMES[2:], val=NAMES[1:2], test=NAMES[:1], seed=0))
    teach(store, [write_run(tmp_path / "teacher", bias=(0, 0, 0))], tmp_path / "lessons")
    options = tiny.options(steps=1, validate_every=1).model_copy(
        update={"lessons": tmp_path / "lessons", "split_file": tmp_path / "split.json"}
    )
    with pytest.raises(ConfigError, match=r"learned from patients of the test part.*Phantom_00001.*--leaky"):
        train(store, tmp_path / "run", options=options)
    assert not (tmp_path / "run").exists()
    train(store, tmp_path / "run", options=options.model_copy(update={"leaky": True}))
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert len(record["settings"]["teachers"]) == 1 and record["leaky"]


def test_a_teacher_knows_what_the_network_knew_that_it_started_from(store: Path, tmp_path: Path) -> None:
    source = write_run(tmp_path / "source", bias=(0, 0, 0))
    write_split(tmp_path / "split.json", Split(train=NAMES[2:3], val=NAMES[3:], test=(), seed=0))
    options = tiny.options(steps=1, validate_every=1)
    start = {"init_from": source, "split_file": tmp_path / "split.json"}
    teacher = train(store, tmp_path / "teacher", options=options.model_copy(update=start)).run
    teach(store, [teacher], tmp_path / "lessons")
    assert json.loads((tmp_path / "lessons" / "lessons.json").read_text())["seen"] == list(NAMES)


def test_lessons_of_another_store_are_refused(store: Path, tmp_path: Path) -> None:
    teach(store, [tiny.write_model(tmp_path / "model")], tmp_path / "lessons")
    path = tmp_path / "lessons" / "lessons.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"store": "other"}))
    options = tiny.options().model_copy(update={"lessons": tmp_path / "lessons"})
    with pytest.raises(ConfigError, match="of another store"):
        train(store, tmp_path / "run", options=options)
    path.write_text(json.dumps(content | {"more": 1}))
    with pytest.raises(FileError, match="lessons of this version"):
        train(store, tmp_path / "run", options=options)
    path.unlink()
    with pytest.raises(FileError, match=r"holds no lessons.*gliamap teach"):
        train(store, tmp_path / "run", options=options)


def test_damaged_lessons_are_named(store: Path, tmp_path: Path) -> None:
    teach(store, [tiny.write_model(tmp_path / "model")], tmp_path / "lessons")
    for name in NAMES:
        (tmp_path / "lessons" / f"{name}.npy").write_bytes(b"rubbish")
    options = tiny.options(workers=1).model_copy(update={"lessons": tmp_path / "lessons"})
    with pytest.raises(FileError, match=r"teachers' probabilities .*\.npy are missing or damaged"):
        train(store, tmp_path / "run", options=options)


def test_a_student_with_other_inputs_may_learn_from_plain_teachers(store: Path, tmp_path: Path) -> None:
    teach(store, [tiny.write_model(tmp_path / "model")], tmp_path / "lessons")
    options = tiny.options(steps=1, validate_every=1, modality_dropout=0.5).model_copy(
        update={"lessons": tmp_path / "lessons", "split": SplitOptions(test_share=0)}
    )
    done = train(store, tmp_path / "run", options=options)
    assert done.spec.inputs == InputConfig(presence=True) and done.split.test == ()
    assert done.spec.network == NetConfig(name="unet", dims=3, in_channels=8, out_channels=3, widths=(4, 8))


def test_soft_files_are_checked(tmp_path: Path) -> None:
    write_soft(tmp_path, "a", np.full((1, 2, 3, 4), 0.2, np.float32))
    assert (open_soft(tmp_path, "a") == 51).all()
    np.save(tmp_path / "b.npy", np.zeros((2, 2)))
    with pytest.raises(FileError, match="float64 values with 2 axes"):
        open_soft(tmp_path, "b")
    with pytest.raises(FileError, match="missing"):
        open_soft(tmp_path, "c")


def test_the_loss_against_teachers_by_hand() -> None:
    logits = torch.tensor([[[[0.0]], [[2.0]]]])  # two regions, one voxel
    soft = torch.tensor([[[[0.5]], [[0.25]]]])
    p = 1 / (1 + np.exp(-2.0))
    regions = (np.log(2) - (0.25 * np.log(p) + 0.75 * np.log(1 - p))) / 2
    assert float(soft_ce(logits, soft, "regions")) == pytest.approx(regions, rel=1e-6)
    share = torch.tensor([[[[0.75]], [[0.25]]]])
    classes = np.log(1 + np.exp(2.0)) - 0.25 * 2.0
    assert float(soft_ce(logits, share, "classes")) == pytest.approx(classes, rel=1e-6)
    target = Target(torch.tensor([[[[1]], [[0]]]], dtype=torch.uint8), soft=soft)
    mixed = deeply_supervised([logits, logits], target, "regions", soft_weight=0.25)
    assert float(mixed) == pytest.approx(0.75 * float(dice_ce(logits, target, "regions")) + 0.25 * regions, rel=1e-6)

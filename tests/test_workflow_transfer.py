"""From a base task to another training: end to end on phantoms, what is refused, and what the run says of it."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import tiny
from gliamap.errors import ConfigError, FileError
from gliamap.io.checkpoint import read_spec, write_spec
from gliamap.labels import Region
from gliamap.sources.splits import Split, read_split, write_split
from gliamap.workflows.data.prepare import PrepareOptions, prepare
from gliamap.workflows.prediction.segment import segment
from gliamap.workflows.scores.evaluate import EvaluateOptions, evaluate
from gliamap.workflows.training.train import TrainOptions, train
from gliamap.workflows.training.transfer import read_origin

NAMES = tuple(f"Phantom_{number:05d}" for number in range(1, 6))
SLICES = {"patch": (16, 16, 1), "batch": 4}


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five phantoms."""
    return tiny.write_set(tmp_path_factory.mktemp("phantoms") / "scans", 5)


@pytest.fixture(scope="module")
def store(scans: Path) -> Path:
    """The phantoms with all modalities, prepared."""
    prepare([scans], scans.parent / "store")
    return scans.parent / "store"


@pytest.fixture(scope="module")
def post_contrast(scans: Path) -> Path:
    """The phantoms with T1 post-contrast alone, prepared."""
    prepare([scans], scans.parent / "t1c", options=PrepareOptions(modalities=("t1c",)))
    return scans.parent / "t1c"


@pytest.fixture(scope="module")
def base(store: Path) -> Path:
    """A run that learned WT on slices."""
    train(store, store.parent / "base", options=sliced(output="binary"))
    return store.parent / "base"


def sliced(config: dict[str, Any] | None = None, **changes: Any) -> TrainOptions:
    """A classic U-Net of two levels for slices; ``changes`` are those of the recipe."""
    return tiny.options(**SLICES | (config or {})).model_copy(update={"dims": 2} | changes)


def started(source: Path, config: dict[str, Any] | None = None, **changes: Any) -> TrainOptions:
    """A training that starts from ``source``, whose network is not said again, and divides the cases as it did."""
    said = {"network": None, "dims": None, "widths": None, "init_from": source} | changes
    return sliced({"steps": 1, "validate_every": 1} | (config or {}), **{"split_file": source / "split.json"} | said)


def test_a_base_task_tells_tumour_from_healthy_whatever_the_labels(scans: Path, base: Path, tmp_path: Path) -> None:
    done = segment(scans, tmp_path / "masks", model=base)
    assert {case["label_convention"] for case in done.cases} == {"binary"}
    assert all(case["regions"].keys() == {"WT"} for case in done.cases)
    found = evaluate(tmp_path / "masks", scans, out=tmp_path / "scores", options=EvaluateOptions(pictures=1))
    assert list(found.summary.regions) == [Region.WT]  # no zeros for what a binary mask cannot tell
    assert found.prediction_conventions == ("binary",) and found.reference_conventions == ("brats2021",)
    assert all(case.score.mean_iou is None for case in found.cases)
    assert any("classes are not scored" in note for note in found.notes)


def test_the_base_task_reaches_the_regions_of_whole_slices(store: Path, base: Path, tmp_path: Path) -> None:
    options = started(base, {"patch": (24, 28, 1), "freeze_encoder_steps": 1, "transferred_rate": 0.5})
    done = train(store, tmp_path / "run", options=options)
    network = done.spec.network
    assert (network.name, network.dims, network.widths, network.out_channels) == ("unet", 2, (4, 8), 3)
    origin = read_origin(tmp_path / "run")
    assert origin == done.origin and origin is not None
    assert [tensor.name for tensor in origin.transfer.adapted] == ["head.weight", "head.bias"]
    before, after = tiny.weights(base / "best"), tiny.weights(tmp_path / "run" / "last")
    assert all((before[name] == after[name]).all() for name in before if name.startswith("down."))
    sha = json.loads((base / "best" / "model.json").read_text())["weights_sha256"]
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["settings"]["init_from"] == sha == origin.weights_sha256
    counts = {"taken": len(before) - 2, "adapted": 2, "new": 0}
    fingerprint = json.loads((base / "run.json").read_text())["data"]["fingerprint"]
    assert record["init_from"] == {"source": "base", "weights_sha256": sha, "trained_on": fingerprint} | counts
    assert done.spec.training_data["init_from"] == f"base, weights {sha}"


def test_the_same_again_scores_at_once_what_the_source_scored(store: Path, base: Path, tmp_path: Path) -> None:
    still = {"learning_rate": 1e-30, "weight_decay": 0}
    done = train(store, tmp_path / "run", options=started(base, still, output="binary"))
    assert done.origin is not None and not done.origin.transfer.adapted and not done.origin.transfer.new
    best = json.loads((base / "best" / "model.json").read_text())["metrics"]
    assert done.spec.metrics["validation_dice_WT"] == best["validation_dice_WT"]


def test_more_modalities(store: Path, post_contrast: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    train(post_contrast, tmp_path / "t1c", options=sliced({"steps": 1}))
    with caplog.at_level(logging.WARNING):
        done = train(store, tmp_path / "four", options=started(tmp_path / "t1c"))
    assert done.origin is not None
    assert [tensor.name for tensor in done.origin.transfer.adapted] == ["down.0.0.weight"]
    assert caplog.messages == [
        f"{tmp_path / 't1c'} was trained on images prepared in another way: modalities t1c, here t1, t1c, t2, flair"
    ]


def test_the_same_pixels_in_other_words_are_no_other_preparation(
    scans: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    prepare([scans], tmp_path / "coarse", options=PrepareOptions(spacing=(2.0, 2.0, 2.0)))
    train(tmp_path / "coarse", tmp_path / "base", options=sliced({"steps": 1}))
    spec = read_spec(tmp_path / "base" / "best")
    for said, warned in (({"spacing": None, "pixel_mm": 2.0}, False), ({"spacing": (1.0, 1.0, 2.0)}, True)):
        write_spec(tmp_path / "base" / "best", spec.model_copy(update={"prep": spec.prep.model_copy(update=said)}))
        train(tmp_path / "coarse", tmp_path / f"run{warned}", options=started(tmp_path / "base"))
        assert ("spacing" in caplog.text) == warned


def test_regions_become_classes(store: Path, base: Path, tmp_path: Path) -> None:
    done = train(store, tmp_path / "run", options=started(base, output="classes"))
    assert done.origin is not None
    assert [tensor.name for tensor in done.origin.transfer.new] == ["head.weight", "head.bias"]
    assert done.spec.network.out_channels == 4


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"network": "dynunet", "widths": (4, 8, 8)}, r"name dynunet, widths \(4, 8, 8\). Expected: name unet"),
        ({"widths": (8, 16)}, r"widths \(8, 16\). Expected: widths \(4, 8\)"),
        ({"dims": 3}, "dims 3. Expected: dims 2"),
    ],
)
def test_another_network_is_refused(
    store: Path, base: Path, tmp_path: Path, changes: dict[str, Any], found: str
) -> None:
    with pytest.raises(ConfigError, match=f"does not fit that of.*{found}.*leave --network"):
        train(store, tmp_path / "run", options=started(base, {"patch": (16, 16, 1)}, **changes))
    assert not (tmp_path / "run").exists()


def test_resuming_refuses_another_source(store: Path, base: Path, tmp_path: Path) -> None:
    run, options = tmp_path / "run", started(base, {"steps": 4}, output="binary")

    def stop(report: Any) -> None:
        if report.step == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(store, run, options=options, observe=stop)
    other = tiny.write_model(tmp_path / "other", tiny.slice_spec(modalities=("t1", "t1c", "t2", "flair")))
    for source in (other, None):
        again = options.model_copy(update={"init_from": source, "network": "unet", "dims": 2, "widths": (4, 8)})
        for accept in (False, True):
            with pytest.raises(ConfigError, match=r"not the run in.*init_from"):
                train(store, run, options=again, resume=True, accept_changes=accept)
    done = train(store, run, options=options, resume=True)
    straight = train(store, tmp_path / "straight", options=options)
    assert tiny.same(tiny.weights(run / "last"), tiny.weights(tmp_path / "straight" / "last"))
    assert done.origin == straight.origin


def divided(path: Path, *, train: tuple[str, ...], val: tuple[str, ...], test: tuple[str, ...]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_split(path, Split(train=train, val=val, test=test, seed=0))
    return path


@pytest.mark.parametrize(
    ("val", "test", "message"),
    [
        (4, 2, r"has seen patients of the test part. Found: 1 of 1 patients: Phantom_00003"),  # validated there
        (4, 0, r"has seen patients of the test part. Found: 1 of 1 patients: Phantom_00001"),  # learned there
        (1, 3, r"has learned from patients of the validation part. Found: 1 of 1 patients: Phantom_00002"),
    ],
)
def test_patients_whom_the_source_knows_are_not_held_out(
    store: Path, tmp_path: Path, val: int, test: int, message: str
) -> None:
    source = tiny.write_model(tmp_path / "source" / "best", tiny.spec())
    divided(tmp_path / "source" / "split.json", train=NAMES[:2], val=NAMES[2:3], test=NAMES[3:])
    learn = tuple(set(NAMES) - {NAMES[val], NAMES[test]})
    split = divided(tmp_path / "split.json", train=learn, val=(NAMES[val],), test=(NAMES[test],))
    options = tiny.options(steps=1).model_copy(update={"split_file": split, "init_from": source.parent})
    with pytest.raises(ConfigError, match=message + r".*--split.*source.*split\.json.*--leaky"):
        train(store, tmp_path / "run", options=options)
    with pytest.raises(ConfigError, match=message):  # likewise where the folder of its weights is named
        train(store, tmp_path / "run", options=options.model_copy(update={"init_from": source}))
    assert not (tmp_path / "run").exists()
    train(store, tmp_path / "run", options=options.model_copy(update={"leaky": True}))
    assert json.loads((tmp_path / "run" / "run.json").read_text())["leaky"]


def test_a_test_case_that_only_the_file_of_the_split_knows(store: Path, base: Path, tmp_path: Path) -> None:
    """The store need not have it; a network that has learned from it is found out none the less."""
    split = read_split(base / "split.json")
    elsewhere = split.model_copy(update={"test": (*split.test, "Elsewhere_1")})
    write_split(tmp_path / "split.json", elsewhere)
    options = started(base, split_file=tmp_path / "split.json")
    assert train(store, tmp_path / "run", options=options).split.test[-1] == "Elsewhere_1"
    source = shutil.copytree(base, tmp_path / "source")
    write_split(source / "split.json", split.model_copy(update={"train": (*split.train, "Elsewhere_1")}))
    with pytest.raises(ConfigError, match=r"patients of the test part.*1 of 2 patients: Elsewhere_1"):
        train(store, tmp_path / "other", options=options.model_copy(update={"init_from": source}))


def test_validating_on_the_same_patients_is_no_leak(store: Path, base: Path, tmp_path: Path) -> None:
    done = train(store, tmp_path / "run", options=started(base))
    assert done.split == read_split(base / "split.json")


def test_whom_the_sources_own_source_knows_is_known_too(store: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    tiny.write_model(first / "best")
    divided(first / "split.json", train=NAMES[:2], val=(), test=())
    split = divided(tmp_path / "split.json", train=NAMES[2:4], val=NAMES[4:], test=())
    options = tiny.options(steps=1)
    train(store, second, options=options.model_copy(update={"init_from": first, "split_file": split}))
    split = divided(tmp_path / "last.json", train=NAMES[1:], val=(), test=NAMES[:1])
    with pytest.raises(ConfigError, match=r"second has seen patients of the test part.*Phantom_00001"):
        train(store, tmp_path / "third", options=options.model_copy(update={"init_from": second, "split_file": split}))


def test_a_model_without_its_run_is_taken_with_a_warning(
    store: Path, base: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copytree(base / "best", tmp_path / "models" / "mine")
    options = started(base, init_from=tmp_path / "models" / "mine")
    with caplog.at_level(logging.WARNING):
        done = train(store, tmp_path / "run", options=options)
    assert len(caplog.messages) == 1 and "mine has no split.json" in caplog.messages[0]
    assert done.origin is not None and done.origin.learned == ()


def test_nothing_to_hold_back_is_refused(store: Path, tmp_path: Path) -> None:
    for setting in ({"freeze_encoder_steps": 3}, {"transferred_rate": 0.5}):
        with pytest.raises(ConfigError, match=r"none are taken over.*--init-from"):
            train(store, tmp_path / "run", options=tiny.options(**setting))


def test_what_is_no_model_is_refused(store: Path, base: Path, tmp_path: Path) -> None:
    for path, message in ((tmp_path / "nothing", "no model at"), (tmp_path, "is not a model")):
        with pytest.raises(FileError, match=message):
            train(store, tmp_path / "run", options=tiny.options().model_copy(update={"init_from": path}))
    copy = tmp_path / "copy"
    shutil.copytree(base, copy)
    (copy / "transfer.json").write_text('{"format": 2}')
    with pytest.raises(FileError, match=r"transfer\.json does not say where weights come from"):
        train(store, tmp_path / "run", options=started(copy))
    (copy / "transfer.json").unlink()
    next((copy / "best").glob("*.safetensors")).write_bytes(b"rubbish")
    with pytest.raises(FileError, match="safetensors"):
        train(store, tmp_path / "run", options=started(copy))


Command = Callable[..., tuple[int, str, str]]


def test_the_command_lists_what_it_took(command: Command, store: Path, base: Path, tmp_path: Path) -> None:
    words = ["train", str(store), "--init-from", str(base), "--split", str(base / "split.json"), "--steps", "1"]
    words += ["--patch", "16", "16", "1", "--batch", "2", "--workers", "0", "--precision", "fp32"]
    held = ["--freeze-encoder", "1", "--transferred-rate", "0.5"]
    code, out, _ = command(*words, *held, "-o", "run")
    assert code == 0
    assert out.splitlines()[1:8] == [
        "weights from base, tensors:",
        "              taken  adapted      new",
        "  encoder        12        0        0",
        "  decoder         8        0        0",
        "  heads           0        2        0",
        "  adapted  head.weight 3x4x1x1: WT kept, TC as WT, ET as WT",
        "  adapted  head.bias 3: WT kept, TC as WT, ET as WT",
    ]
    settings = json.loads((tmp_path / "run" / "run.json").read_text())["settings"]["train"]
    assert (settings["freeze_encoder_steps"], settings["transferred_rate"]) == (1, 0.5)
    code, out, _ = command(*words, "-o", "again", "--json")
    assert json.loads(out)["init_from"].items() >= {"source": "base", "taken": 20, "adapted": 2, "new": 0}.items()
    code, _, err = command(*words, "-o", "wide", "--widths", "8,16")
    assert code == 2 and "does not fit" in err and not (tmp_path / "wide").exists()
    recipe = tmp_path / "mine.json"
    recipe.write_text(json.dumps({"name": "mine", "init_from": str(base)}))
    rest = [word for word in words if word not in ("--init-from", str(base))]
    code, out, _ = command(*rest, "-o", "mine", "--recipe", str(recipe), "--json")
    assert code == 0 and json.loads(out)["init_from"]["source"] == "base"

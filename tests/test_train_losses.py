"""Training with each loss: what it needs is loaded or asked for before the training begins."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

import make
import tiny
from gliamap.config import NetConfig, OutputConfig
from gliamap.errors import ConfigError
from gliamap.io.store import read_store
from gliamap.losses.named import LOSSES
from gliamap.losses.target import Target
from gliamap.training import step as step_module
from gliamap.training.loop import Job, check_job, train
from gliamap.workflows.data.prepare import PrepareOptions, prepare

CLASSES = OutputConfig(kind="classes", convention="brats2021")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three prepared phantoms with distances."""
    root = tmp_path_factory.mktemp("phantoms")
    prepare([tiny.write_set(root / "scans", 3)], root / "store", options=PrepareOptions(distances=True))
    return root / "store"


def job(store: Path, run: Path, **changes: Any) -> Job:
    """Two cases to train on, one to validate on, two steps in small patches."""
    config = tiny.config(**({"steps": 2, "validate_every": 2, "patch": (8, 8, 8)} | changes))
    return Job(store, ("Phantom_00001", "Phantom_00002"), ("Phantom_00003",), config, tiny.spec(), run)


def classes(one: Job) -> Job:
    """The job with a softmax over background and tissues."""
    network = NetConfig(name="unet", dims=3, in_channels=4, out_channels=4, widths=(4, 8))
    return replace(one, spec=one.spec.model_copy(update={"output": CLASSES, "network": network}))


@pytest.mark.parametrize("kind", ["regions", "classes"])
@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_trains(store: Path, tmp_path: Path, name: str, kind: str) -> None:
    if (name, kind) == ("boundary", "classes"):
        pytest.skip("the boundary loss is for regions")
    one = job(store, tmp_path / "run", loss=name)
    train(one if kind == "regions" else classes(one))
    with (tmp_path / "run" / "log.csv").open(newline="") as stream:
        assert float(next(csv.DictReader(stream))["loss"]) > 0


def test_the_loss_is_told_what_it_needs_and_how_far_the_training_is(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Target] = []
    honest = step_module.deeply_supervised

    def noting(levels: Any, target: Target, *rest: Any, **more: Any) -> Tensor:
        seen.append(target)
        assert more["level_weight"] == 0.25
        return honest(levels, target, *rest, **more)

    monkeypatch.setattr(step_module, "deeply_supervised", noting)
    for name in ("dice-ce", "boundary", "lesion-dice-ce"):
        train(job(store, tmp_path / name, loss=name, steps=4, level_weight=0.25))
    assert [target.progress for target in seen] == 3 * [0, 0.25, 0.5, 0.75]
    plain, boundary, lesions = seen[0], seen[4], seen[8]
    assert plain.distances is plain.weights is boundary.weights is lesions.distances is None
    assert boundary.distances is not None and boundary.distances.shape == boundary.masks.shape
    assert lesions.weights is not None and lesions.weights.shape == lesions.masks.shape


def test_an_interrupted_training_with_the_boundary_loss_goes_on_as_if_it_were_not(store: Path, tmp_path: Path) -> None:
    def stop(report: Any) -> None:
        if report.step == 1:
            raise KeyboardInterrupt

    whole, broken = (job(store, tmp_path / name, loss="boundary", steps=3) for name in ("whole", "broken"))
    train(whole)
    with pytest.raises(KeyboardInterrupt):
        train(broken, observe=stop)
    train(broken, resume=True)
    assert tiny.same(tiny.weights(whole.run / "last"), tiny.weights(broken.run / "last"))


def test_a_store_without_distances_is_refused_before_training_begins(store: Path, tmp_path: Path) -> None:
    without = tiny.write_store(tmp_path, 3)
    one = job(without, tmp_path / "run", loss="boundary")
    with pytest.raises(ConfigError, match=r"needs distances.*2 of 2 training cases.*gliamap prepare.*--distances"):
        train(one)
    assert not (tmp_path / "run").exists()
    check_job(job(without, tmp_path / "run"))
    prepare([tmp_path / "scans"], without, options=PrepareOptions(distances=True))
    check_job(one)
    (without / "cases" / "Phantom_00002" / "distances-TC.npy").unlink()
    with pytest.raises(ConfigError, match="1 of 2 training cases without, such as Phantom_00002"):
        check_job(one)
    whole = OutputConfig(kind="regions", convention="binary")
    network = one.spec.network.model_copy(update={"out_channels": 1})
    check_job(replace(one, spec=one.spec.model_copy(update={"output": whole, "network": network})))  # WT alone


def test_the_boundary_loss_is_not_for_classes(store: Path, tmp_path: Path) -> None:
    one = classes(job(store, tmp_path / "run", loss="boundary"))
    with pytest.raises(ConfigError, match=r"for regions, and for tumour alone.*output classes.*--output regions"):
        check_job(one)


def test_slices_learn_with_distances(tmp_path: Path) -> None:
    prepare([make.write_pairs(tmp_path / "pairs")], tmp_path / "store", options=PrepareOptions(distances=True))
    ids = tuple(entry.case_id for entry in read_store(tmp_path / "store").cases)
    config = tiny.config(steps=2, validate_every=2, patch=(16, 16, 1), batch=2, loss="boundary")
    train(Job(tmp_path / "store", ids[:2], ids[2:], config, tiny.slice_spec(), tmp_path / "run"))
    assert (tmp_path / "run" / "best" / "model.json").is_file()

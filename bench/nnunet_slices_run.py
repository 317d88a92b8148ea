"""A process of ``bench/nnunet_slices.py``: nnU-Net's own 2D training and prediction of one fold. Runs in its Python.

nnU-Net plans, prepares, augments, trains and predicts as it does by itself, on the CPU and in one process; its trainer
is told how many epochs there are and how long each is, nothing else. Every step that is done is not done again: a
training goes on from nnU-Net's last checkpoint, with the schedule that it began with.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

FULL_EPOCHS = 1000
FULL_ITERATIONS = 250
"""nnU-Net's own training: so many epochs of so many iterations."""

LEAST_EPOCHS = 50
"""The learning rate falls by the epoch: in fewer, it would fall by large steps."""

VALIDATION_SHARE = 0.2
"""Validation iterations for each of training, as nnU-Net has them: 50 for 250."""

SAVE_MINUTES = 5.0

PACE_SHARE = 0.01
"""Of the training's time, for which training and validation are tried before: the time itself does not count it."""

CONFIGURATION = "2d"
PLANS = "nnUNetPlans"
PROCESSES = "nnUNet_n_proc_DA"


@dataclass(frozen=True)
class Schedule:
    """A training that fits ``seconds``: ``epochs`` of ``iterations``, each with so many iterations of ``validation``.

    ``pace`` is what an iteration of training and one of validation took when it was made, in seconds.
    """

    seconds: float
    epochs: int
    iterations: int
    validation: int
    pace: tuple[float, float]

    @property
    def expected_seconds(self) -> float:
        """What all of it takes at this pace."""
        train, validation = self.pace
        return self.epochs * (self.iterations * train + self.validation * validation)


def schedule_for(seconds: float, pace: tuple[float, float]) -> Schedule:
    """The longest training that ends within ``seconds`` at this ``pace``; a single iteration at the least.

    Epochs are as long as nnU-Net's own (250 iterations), or shorter so that there are 50; never more than its 1000.
    """
    train, validation = pace
    fitting = seconds / (train + VALIDATION_SHARE * validation)
    iterations = min(FULL_ITERATIONS, max(1, int(fitting / LEAST_EPOCHS)))
    validating = max(1, round(VALIDATION_SHARE * iterations))
    epochs = int(seconds / (iterations * train + validating * validation))
    return Schedule(seconds, min(FULL_EPOCHS, max(1, epochs)), iterations, validating, pace)


@dataclass(frozen=True)
class Order:
    """What to do: ``dataset`` in nnU-Net's folders below ``work``, for so many ``seconds`` with so many ``threads``.

    ``masks``: where the predictions of its test part go, without test-time flips and with them.
    """

    dataset: str
    work: str
    seconds: float
    threads: int
    seed: int
    masks: Mapping[str, str]

    @property
    def number(self) -> int:
        """nnU-Net's number of the data set, of ``Dataset500_name``."""
        return int(self.dataset.removeprefix("Dataset").split("_")[0])

    def folder(self, kind: str) -> Path:
        """The data set's folder among the ``raw``, ``preprocessed`` or ``results``."""
        return Path(self.work, kind, self.dataset)


def prepare(order: Order) -> None:
    """nnU-Net's fingerprint, its plan for 2D and its preprocessing; then the split that it is to use."""
    from nnunetv2.experiment_planning import plan_and_preprocess_api as api

    ready = order.folder("preprocessed") / "splits_final.json"
    if ready.is_file():
        return
    os.environ[PROCESSES] = "1"  # the planner takes it for a number of threads
    api.extract_fingerprints([order.number], num_processes=1, check_dataset_integrity=True, show_progress_bar=False)
    api.plan_experiments([order.number])
    api.preprocess([order.number], PLANS, configurations=(CONFIGURATION,), num_processes=(1,), show_progress_bar=False)
    part = ready.with_suffix(".part")
    shutil.copyfile(order.folder("raw") / ready.name, part)
    part.replace(ready)


def trainer_of(order: Order, schedule: Schedule | None = None) -> Any:
    """nnU-Net's trainer, with its checkpoint where there is one."""
    import torch
    from nnunetv2.run.run_training import get_trainer_from_args, maybe_load_checkpoint

    os.environ[PROCESSES] = "0"  # patches are made in this process, as ours are
    trainer = get_trainer_from_args(
        order.dataset, CONFIGURATION, 0, continue_training=schedule is not None, device=torch.device("cpu")
    )
    # Its picture of the progress takes seconds an epoch, which ours does not pay for either.
    trainer.logger.plot_progress_png = lambda folder: None
    if schedule:
        trainer.num_epochs = schedule.epochs
        trainer.num_iterations_per_epoch = schedule.iterations
        trainer.num_val_iterations_per_epoch = schedule.validation
        minutes_of_epoch = schedule.expected_seconds / schedule.epochs / 60
        trainer.save_every = max(1, round(SAVE_MINUTES / minutes_of_epoch))
        maybe_load_checkpoint(trainer, continue_training=True, validation_only=False)
    return trainer


def settle_schedule(order: Order) -> Schedule:
    """The schedule that this training began with; at the beginning one made from the pace of a few iterations.

    ``ValueError`` where it began with another time.
    """
    kept = order.folder("results") / "schedule.json"
    if not kept.is_file():
        found = schedule_for(order.seconds, measure_pace(trainer_of(order), PACE_SHARE * order.seconds))
        write(kept, asdict(found))
    given = json.loads(kept.read_text(encoding="utf-8"))
    if given["seconds"] != order.seconds:
        raise ValueError(
            f"{kept} is of a training for {given['seconds']:g} s, not {order.seconds:g}: take another --work"
        )
    return Schedule(**given | {"pace": tuple(given["pace"])})


def measure_pace(trainer: Any, enough: float) -> tuple[float, float]:
    """Seconds of an iteration of training and of one of validation, loading and augmentation included.

    Each is repeated for ``enough`` seconds.
    """
    import torch

    trainer.on_train_start()
    trainer.network.train()
    train = seconds_each(lambda: trainer.train_step(next(trainer.dataloader_train)), enough)
    trainer.network.eval()
    with torch.no_grad():
        return train, seconds_each(lambda: trainer.validation_step(next(trainer.dataloader_val)), enough)


def seconds_each(step: Callable[[], object], enough: float) -> float:
    """The mean of several calls after a first one, which is slower: for ``enough`` seconds, three at the least."""
    step()
    count, started = 0, time.perf_counter()
    while count < 3 or time.perf_counter() - started < enough:
        step()
        count += 1
    return (time.perf_counter() - started) / count


def train(order: Order, schedule: Schedule) -> Any:
    """nnU-Net's training to its end; the trainer, whose log holds every epoch."""
    trainer = trainer_of(order, schedule)
    if trainer.current_epoch < trainer.num_epochs:
        trainer.run_training()
    return trainer


def predict(order: Order, model: str) -> None:
    """The test part by the final checkpoint, as nnU-Net does it by default, without test-time flips and with them."""
    import torch
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    images = order.folder("raw") / "imagesTs"
    for way, out in order.masks.items():
        predictor = nnUNetPredictor(use_mirroring=way == "flips", device=torch.device("cpu"), allow_tqdm=False)
        predictor.initialize_from_trained_model_folder(model, (0,), "checkpoint_final.pth")
        Path(out).mkdir(parents=True, exist_ok=True)
        predictor.predict_from_files_sequential(str(images), out, overwrite=False)


def report(trainer: Any, schedule: Schedule) -> dict[str, Any]:
    """What came of it; the log has a value an epoch."""
    plan = trainer.configuration_manager
    log = {name: trainer.logger.get_value(name, None) for name in ("train_losses", "dice_per_class_or_region")}
    stamps = (trainer.logger.get_value(f"epoch_{end}_timestamps", None) for end in ("start", "end"))
    return {
        "versions": {name: version(name) for name in ("nnunetv2", "torch")},
        "plan": {
            "patch": [int(n) for n in plan.patch_size],
            "batch": int(plan.batch_size),
            "widths": list(plan.network_arch_init_kwargs["features_per_stage"]),
        },
        "classes": [name for name in trainer.dataset_json["labels"] if name != "background"],
        "schedule": asdict(schedule),
        "epoch_seconds": [round(end - start, 2) for start, end in zip(*stamps, strict=True)],
        "loss": [round(float(loss), 5) for loss in log["train_losses"]],
        "dice": [
            [None if math.isnan(dice) else round(float(dice), 5) for dice in each]
            for each in log["dice_per_class_or_region"]
        ],
    }


def write(path: Path, content: Mapping[str, Any]) -> None:
    """JSON, beside its place and then moved there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(json.dumps(content, indent=1), encoding="utf-8")
    part.replace(path)


def main(path: str) -> None:
    """Do what the order at ``path`` says, and write ``report.json`` beside it."""
    order = Order(**json.loads(Path(path).read_text(encoding="utf-8")))
    for kind in ("raw", "preprocessed", "results"):
        os.environ[f"nnUNet_{kind}"] = str(Path(order.work, kind))
    import numpy as np
    import torch

    torch.set_num_threads(order.threads)
    torch.manual_seed(order.seed)
    np.random.seed(order.seed)  # noqa: NPY002 (nnU-Net draws from there)
    prepare(order)
    schedule = settle_schedule(order)
    trainer = train(order, schedule)
    predict(order, trainer.output_folder_base)
    write(Path(path).with_name("report.json"), report(trainer, schedule))


if __name__ == "__main__":
    main(sys.argv[1])

"""The saved state: all of it comes back, and damage is noticed."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from gliamap.config import TrainConfig
from gliamap.errors import FileError
from gliamap.training.optim import update_average
from gliamap.training.progress import Progress
from gliamap.training.state import load_state, make_learner, save_state


class Trainee:
    """A small model in training: two linear layers, their average, an optimiser."""

    def __init__(self, optimiser: str, *, seed: int = 0, width: int = 3, transferred: bool = False) -> None:
        torch.manual_seed(seed)
        model = nn.Sequential(nn.Linear(2, width), nn.BatchNorm1d(width), nn.Linear(width, 1))
        config = TrainConfig.model_validate({"optimiser": optimiser, "transferred_rate": 0.1 if transferred else 1})
        names = {"0.weight", "2.weight"} if transferred else set()
        self.learner = make_learner(model, config, transferred=names, resting=names - {"2.weight"})

    def step(self, number: int) -> None:
        generator = torch.Generator().manual_seed(number)
        for parameter in self.learner.resting:  # as in the first steps of a training
            parameter.requires_grad_(number >= 2)
        self.learner.optimiser.zero_grad()
        self.learner.model(torch.randn(5, 2, generator=generator)).square().mean().backward()
        self.learner.optimiser.step()
        update_average(self.learner.average, self.learner.model, number, 0.9)

    def save(self, path: Path, progress: Progress) -> None:
        self.learner.progress = progress
        save_state(path, self.learner)

    def load(self, path: Path) -> Progress:
        load_state(path, self.learner)
        return self.learner.progress

    def tensors(self) -> list[torch.Tensor]:
        return [*self.learner.model.state_dict().values(), *self.learner.average.state_dict().values()]


@pytest.mark.parametrize("transferred", [False, True])
@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("optimiser", ["adamw", "sgd"])
def test_a_loaded_state_goes_on_exactly(tmp_path: Path, optimiser: str, steps: int, transferred: bool) -> None:
    straight, first, second = (Trainee(optimiser, seed=seed, transferred=transferred) for seed in (0, 0, 1))
    assert len(straight.learner.optimiser.param_groups) == 1 + transferred
    for number in range(steps):
        straight.step(number)
        first.step(number)
    before = Progress(step=3, seconds=1.5, loss=0.25, pending=True, best_dice=0.5, best_step=2)
    first.save(tmp_path / "state", before)
    assert second.load(tmp_path / "state") == before
    for number in range(steps, 6):
        straight.step(number)
        second.step(number)
    assert all(torch.equal(a, b) for a, b in zip(straight.tensors(), second.tensors(), strict=True))


def test_a_state_before_the_first_step_can_be_loaded(tmp_path: Path) -> None:
    Trainee("adamw").save(tmp_path / "state", Progress())
    assert Trainee("adamw").load(tmp_path / "state") == Progress()


def damage(path: Path, how: str) -> None:
    whole = path.read_bytes()
    tensors = load_file(path)
    if how == "cut short":
        path.write_bytes(whole[:-7])
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "not safetensors":
        path.write_bytes(b"weights" * 100)
    elif how == "gone":
        path.unlink()
    elif how == "no progress":
        save_file(tensors, path)
    elif how == "odd progress":
        save_file(tensors, path, metadata={"progress": '{"epoch": 3}'})
    elif how == "tensor missing":
        tensors.pop("average.0.weight")
        save_file(tensors, path, metadata={"progress": "{}"})


@pytest.mark.parametrize(
    "how", ["cut short", "empty", "not safetensors", "gone", "no progress", "odd progress", "tensor missing"]
)
def test_a_damaged_state_is_a_file_error(tmp_path: Path, how: str) -> None:
    path = tmp_path / "state.safetensors"
    trainee = Trainee("adamw")
    trainee.step(0)
    trainee.save(path, Progress(step=1))
    damage(path, how)
    with pytest.raises(FileError, match=r"state\.safetensors is damaged"):
        trainee.load(path)


def test_the_state_of_another_network_is_a_file_error(tmp_path: Path) -> None:
    Trainee("adamw", width=4).save(tmp_path / "state", Progress())
    with pytest.raises(FileError, match="damaged"):
        Trainee("adamw", width=3).load(tmp_path / "state")


def test_an_interrupted_save_keeps_the_old_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "state.safetensors"
    trainee = Trainee("adamw")
    trainee.save(path, Progress(step=1))

    def stop(*_args: object, **_more: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("gliamap.io.tensors.save_file", stop)
    with pytest.raises(KeyboardInterrupt):
        trainee.save(path, Progress(step=2))
    assert trainee.load(path).step == 1
    assert [p.name for p in tmp_path.iterdir()] == [path.name]

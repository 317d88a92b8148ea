"""The training loop: an interruption changes nothing, damage is never saved, what cannot begin is refused."""

from __future__ import annotations

import csv
import os
import signal
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from safetensors import SafetensorError
from torch import Tensor
from torch.nn import functional

import make
import tiny
from gliamap.config import NetConfig, OutputConfig, TrainConfig
from gliamap.errors import ConfigError, FileError, LabelError, OutputError, TrainingError
from gliamap.io.checkpoint import read_spec
from gliamap.labels import Region
from gliamap.nets import zoo
from gliamap.nets.unet import UNet
from gliamap.nets.zoo import build_network
from gliamap.sampling.loader import Batch
from gliamap.training import loop
from gliamap.training import step as step_module
from gliamap.training.loop import Job, check_job, train
from gliamap.training.progress import StepReport
from gliamap.training.step import bf16_is_sound
from gliamap.training.validate import Validation
from gliamap.workflows.data.prepare import prepare


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three prepared phantoms."""
    return tiny.write_store(tmp_path_factory.mktemp("phantoms"), 3)


MakeJob = Callable[..., Job]


@pytest.fixture
def job(store: Path, tmp_path: Path) -> MakeJob:
    """A job of six steps in a new folder of the given name: two cases to train on, one to validate on."""

    def make_job(name: str = "run", **changes: Any) -> Job:
        cases = ("Phantom_00001", "Phantom_00002"), ("Phantom_00003",)
        return Job(store, *cases, tiny.config(**changes), tiny.spec(), tmp_path / name)

    return make_job


def log_of(job: Job) -> list[dict[str, str]]:
    """The rows of the log without the clock."""
    with (job.run / "log.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    return [{name: cell for name, cell in row.items() if not name.startswith("seconds")} for row in rows]


def assert_same_run(one: Job, other: Job) -> None:
    """Weights of last and best, optimiser and log are the same to the last bit."""
    for name in ("last", "best", "state.safetensors"):
        assert tiny.same(tiny.weights(one.run / name), tiny.weights(other.run / name)), name
    assert read_spec(one.run / "best") == read_spec(other.run / "best")
    assert log_of(one) == log_of(other)


def stop_at(step: int, error: type[BaseException] = KeyboardInterrupt) -> Callable[[StepReport], None]:
    def observe(report: StepReport) -> None:
        if report.step == step:
            raise error

    return observe


def test_a_run_leaves_best_last_log_and_state(job: MakeJob) -> None:
    reports: list[StepReport] = []
    run = job()
    spec = train(run, observe=reports.append)
    assert [report.step for report in reports] == [1, 2, 3, 4, 5, 6]
    assert [report.step for report in reports if report.dice] == [3, 6]
    assert sorted(path.name for path in run.run.iterdir()) == ["best", "last", "log.csv", "state.safetensors"]
    assert [row["step"] for row in log_of(run)] == ["3", "6"]
    assert spec == read_spec(run.run / "best")
    assert spec.metrics.keys() == {"step", *(f"validation_dice_{region}" for region in Region)}
    best = max((r for r in reports if r.dice), key=lambda r: (sum(r.dice.values()), -r.step) if r.dice else (0.0, 0))
    assert spec.metrics["step"] == best.step


def test_what_is_kept_are_the_averaged_weights(job: MakeJob) -> None:
    run = job()
    train(run)
    state, last = tiny.weights(run.run / "state.safetensors"), tiny.weights(run.run / "last")
    assert all((state[f"average.{name}"] == value).all() for name, value in last.items())
    assert any((state[f"model.{name}"] != value).any() for name, value in last.items())


@pytest.mark.parametrize(("step", "optimiser"), [(1, "adamw"), (3, "sgd"), (4, "adamw"), (6, "adamw")])
def test_resuming_after_an_interruption_equals_no_interruption(job: MakeJob, step: int, optimiser: str) -> None:
    straight, broken = job("straight", optimiser=optimiser), job("broken", optimiser=optimiser)
    train(straight)
    with pytest.raises(KeyboardInterrupt):
        train(broken, observe=stop_at(step))
    train(broken, resume=True)
    assert_same_run(straight, broken)


def test_a_run_may_be_interrupted_again_and_again(job: MakeJob) -> None:
    straight, broken = job("straight"), job("broken")
    train(straight)
    for step in range(1, 7):
        with pytest.raises(KeyboardInterrupt):
            train(broken, resume=step > 1, observe=stop_at(step))
    train(broken, resume=True)
    assert_same_run(straight, broken)


def test_an_interrupted_validation_is_made_up_for(job: MakeJob, monkeypatch: pytest.MonkeyPatch) -> None:
    straight, broken = job("straight"), job("broken")
    train(straight)
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(loop, "validate", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        train(broken)
    assert log_of(broken) == []
    reports: list[StepReport] = []
    train(broken, resume=True, observe=reports.append)
    assert [report.step for report in reports] == [3, 4, 5, 6]
    assert_same_run(straight, broken)


def test_a_best_whose_saving_was_interrupted_is_saved_on_resuming(
    job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = {3: 0.5, 6: 0.4}  # the interrupted one is the best of the run
    straight, broken = job("straight"), job("broken")

    def run(this: Job, *, resume: bool = False) -> None:
        coming = iter(scores.values())
        monkeypatch.setattr(loop, "validate", lambda *_: Validation(dict.fromkeys(Region, next(coming)), None))
        train(this, resume=resume)

    run(straight)
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(loop, "save_checkpoint", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        run(broken)
    assert not (broken.run / "best").exists()
    run(broken, resume=True)
    assert_same_run(straight, broken)


@pytest.mark.parametrize("where", ["update_average", "clip"])
def test_ctrl_c_in_the_middle_of_a_step_saves_a_whole_one(
    job: MakeJob, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    straight, broken = job("straight"), job("broken")
    train(straight)
    calls = 0

    def interrupting(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == 4:
                os.kill(os.getpid(), signal.SIGINT)
            return function(*args)

        return call

    with tiny.listening_to_ctrl_c():
        with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
            if where == "clip":  # the gradient is there, no weight is changed yet
                patched.setattr(torch.nn.utils, "clip_grad_norm_", interrupting(torch.nn.utils.clip_grad_norm_))
            else:  # the weights are changed, their average is not
                patched.setattr(step_module, "update_average", interrupting(step_module.update_average))
            train(broken)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    train(broken, resume=True)
    assert_same_run(straight, broken)


def test_a_killed_run_goes_on_from_the_last_save(job: MakeJob) -> None:
    straight, killed = job("straight"), job("killed", save_every_minutes=1e-9)
    train(straight)
    with pytest.raises(RuntimeError):
        train(killed, observe=stop_at(5, RuntimeError))
    train(killed, resume=True)
    assert_same_run(straight, killed)


def test_a_run_killed_before_its_first_save_starts_over(job: MakeJob) -> None:
    straight, killed = job("straight"), job("killed")
    train(straight)
    with pytest.raises(RuntimeError):
        train(killed, observe=stop_at(4, RuntimeError))
    assert not (killed.run / "state.safetensors").exists() and len(log_of(killed)) == 1
    train(killed, resume=True)
    assert_same_run(straight, killed)


def test_resuming_a_finished_run_changes_nothing(job: MakeJob) -> None:
    run = job()
    train(run)
    before = {name: (run.run / name).read_bytes() for name in ("log.csv", "last/model.json", "best/model.json")}
    train(run, resume=True)
    assert before == {name: (run.run / name).read_bytes() for name in before}


def test_a_damaged_state_is_not_resumed(job: MakeJob) -> None:
    run = job()
    with pytest.raises(KeyboardInterrupt):
        train(run, observe=stop_at(2))
    path = run.run / "state.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(FileError, match="damaged"):
        train(run, resume=True)


def spoil(kind: str, at: int) -> Callable[..., Tensor]:
    """The loss, spoilt at its call number ``at``: not a number itself, or with such a gradient."""
    calls = 0
    honest = step_module.deeply_supervised

    def loss(levels: list[Tensor], *target: Any, **teachers: Any) -> Tensor:
        nonlocal calls
        calls += 1
        value = honest(levels, *target, **teachers)
        if calls != at:
            return value
        return value * float("nan") if kind == "loss" else value + (levels[0] * 0).sum().sqrt()

    return loss


@pytest.mark.parametrize("kind", ["loss", "gradient"])
@pytest.mark.parametrize("pieces", [1, 2])
def test_a_loss_that_is_not_finite_stops_and_damages_nothing(
    job: MakeJob, monkeypatch: pytest.MonkeyPatch, kind: str, pieces: int
) -> None:
    settings = {"batch": pieces, "micro_batch": 1}
    whole, spoilt = job("whole", **settings), job("spoilt", save_every_minutes=1e-9, **settings)
    with pytest.raises(KeyboardInterrupt):
        train(whole, observe=stop_at(4))
    with monkeypatch.context() as patched:
        patched.setattr(step_module, "deeply_supervised", spoil(kind, at=4 * pieces + 1))
        with pytest.raises(TrainingError, match=rf"the {kind} became nan at step 5.*--learning-rate"):
            train(spoilt)
    for name in ("best", "state.safetensors"):
        assert tiny.same(tiny.weights(whole.run / name), tiny.weights(spoilt.run / name))
    assert not (spoilt.run / "last").exists()
    train(whole, resume=True)
    train(spoilt, resume=True)  # as if what spoilt it were mended
    assert_same_run(whole, spoilt)


def test_gradients_of_micro_batches_are_averaged(job: MakeJob, monkeypatch: pytest.MonkeyPatch) -> None:
    run = job(batch=3, micro_batch=1, steps=1, validate_every=1, clip_norm=1e9)
    seen: list[Tensor] = []
    loss_of = step_module.Stepper._loss

    def noting(self: step_module.Stepper, batch: Batch) -> Tensor:
        seen.append(loss_of(self, batch))
        return seen[-1]

    kept: list[list[Tensor]] = []
    clip = torch.nn.utils.clip_grad_norm_

    def noting_gradients(parameters: Iterable[Tensor], limit: float) -> Tensor:
        parameters = list(parameters)
        kept.append([p.grad.clone() for p in parameters if p.grad is not None])
        by_hand = [torch.autograd.grad(loss, parameters, retain_graph=True) for loss in seen]
        kept.append([torch.stack(parts).mean(0) for parts in zip(*by_hand, strict=True)])
        return clip(parameters, limit)

    backward = torch.autograd.backward
    monkeypatch.setattr(torch.autograd, "backward", lambda loss: backward(loss, retain_graph=True))
    monkeypatch.setattr(step_module.Stepper, "_loss", noting)
    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", noting_gradients)
    reports: list[StepReport] = []
    train(run, observe=reports.append)
    assert len(seen) == 3
    assert reports[0].loss == pytest.approx(float(torch.stack(seen).detach().mean()))
    for accumulated, mean in zip(*kept, strict=True):
        assert torch.allclose(accumulated, mean, rtol=1e-4, atol=1e-7)


def test_out_of_memory_halves_the_micro_batches(
    job: MakeJob, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """From the step on that did not fit: as if the run had been resumed there with --micro-batch 1."""
    by_hand, halved = job("by_hand", batch=2), job("halved", batch=2)
    with pytest.raises(KeyboardInterrupt):
        train(by_hand, observe=stop_at(2))
    small = by_hand.config.model_copy(update={"micro_batch": 1})
    train(replace(by_hand, config=small), resume=True)
    loss_of = step_module.Stepper._loss
    sizes: list[int] = []

    def full(self: step_module.Stepper, batch: Batch) -> Tensor:
        sizes.append(len(batch.image))
        if len(sizes) == 3:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")
        return loss_of(self, batch)

    monkeypatch.setattr(step_module.Stepper, "_loss", full)
    train(halved)
    assert sizes == [2, 2, 2] + [1, 1] * 4
    assert [r.message for r in caplog.records] == [
        "out of memory with 2 patches at once: going on with 1 at a time, gradients added up"
    ]
    assert_same_run(by_hand, halved)


@pytest.mark.parametrize("where", ["network", "optimiser"])
def test_memory_that_suffices_for_nothing_is_said(job: MakeJob, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")

    straight, run = job("straight"), job("run", save_every_minutes=1e-9)
    train(straight)
    with pytest.raises(KeyboardInterrupt):
        train(run, observe=stop_at(4))
    with (
        monkeypatch.context() as patched,
        pytest.raises(TrainingError, match=r"memory does not suffice.*--micro-batch"),
    ):
        if where == "network":
            patched.setattr(step_module.Stepper, "_loss", full)
        else:
            patched.setattr(step_module, "update_average", full)
        train(run, resume=True)
    train(run, resume=True)
    assert_same_run(straight, run)


class Forgetful(UNet):
    """A U-Net that draws while it is trained."""

    def forward(self, image: Tensor) -> Tensor:
        return functional.dropout(super().forward(image), 0.5, self.training)


@pytest.mark.parametrize("step", [1, 3, 4])
def test_what_a_network_draws_is_drawn_again(job: MakeJob, monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    plain, straight, broken = (
        job("plain"),
        job("straight", batch=2, micro_batch=1),
        job("broken", batch=2, micro_batch=1),
    )
    train(plain)
    forgetful = replace(
        zoo.NETWORKS["unet"], build=lambda net: Forgetful(net.dims, net.in_channels, net.out_channels, net.widths)
    )
    monkeypatch.setattr(zoo, "NETWORKS", {"unet": forgetful})
    train(straight)
    torch.manual_seed(step)  # the global generator is another then, as in a new process
    with pytest.raises(KeyboardInterrupt):
        train(broken, observe=stop_at(step))
    torch.manual_seed(step + 100)
    train(broken, resume=True)
    assert_same_run(straight, broken)
    assert not tiny.same(tiny.weights(plain.run / "last"), tiny.weights(straight.run / "last"))


def full_disk(*_: object, **_more: object) -> None:
    raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")


@pytest.mark.parametrize(
    ("target", "file"),
    [("save_file", r"state\.safetensors"), ("save_model", r"best/weights-new\.safetensors")],
)
def test_a_full_disk_stops_and_damages_nothing(
    job: MakeJob, monkeypatch: pytest.MonkeyPatch, target: str, file: str
) -> None:
    straight, run = job("straight"), job("run", save_every_minutes=1e-9)
    train(straight)
    with pytest.raises(KeyboardInterrupt):
        train(run, observe=stop_at(2))
    before = (run.run / "state.safetensors").read_bytes()
    with monkeypatch.context() as patched:
        patched.setattr(f"gliamap.io.tensors.{target}", full_disk)
        with pytest.raises(OutputError, match=rf"{file} cannot be written.*No space left.*free some space.*--resume"):
            train(run, resume=True)
    if target == "save_file":
        assert (run.run / "state.safetensors").read_bytes() == before
    assert not [name for name in tiny.files_in(run.run) if ".part-" in name]
    train(run, resume=True)
    assert_same_run(straight, run)


def test_leftovers_of_killed_writers_are_removed(job: MakeJob) -> None:
    run = job()
    with pytest.raises(KeyboardInterrupt):
        train(run, observe=stop_at(3))
    for folder in (run.run, run.run / "best"):
        (folder / ".part-1-abcd-state.safetensors").write_bytes(b"half")
    train(run, resume=True)
    assert not [name for name in tiny.files_in(run.run) if ".part-" in name]
    (run.run / "last" / ".part-1-abcd-model.json").write_bytes(b"half")
    train(run, resume=True)  # a finished one is tidied, too
    assert not [name for name in tiny.files_in(run.run) if ".part-" in name]


def test_fewer_steps_than_were_done_are_refused(job: MakeJob) -> None:
    run = job()
    with pytest.raises(KeyboardInterrupt):
        train(run, observe=stop_at(5))
    with pytest.raises(ConfigError, match=r"more steps than are asked for.*5 steps done.*at most 4"):
        train(job(steps=4), resume=True)


def test_without_validation_cases_the_latest_counts_as_best(job: MakeJob) -> None:
    reports: list[StepReport] = []
    run = replace(job(), val_ids=())
    assert train(run, observe=reports.append).metrics == {}
    assert [report.dice for report in reports] == [None, None, {}, None, None, {}]
    assert [row["step"] for row in log_of(run)] == ["3", "6"]
    assert tiny.same(tiny.weights(run.run / "best"), tiny.weights(run.run / "last"))


def test_deep_supervision_and_bf16_train(job: MakeJob) -> None:
    base = job(steps=2, precision="bf16", validate_every=2)
    network = NetConfig(dims=3, in_channels=4, out_channels=3, widths=(4, 4, 8), deep_supervision=True)
    spec = train(replace(base, spec=base.spec.model_copy(update={"network": network})))
    assert spec.network == network and spec.metrics["step"] == 2


@pytest.mark.parametrize(
    ("patch", "dims", "device", "sound"),
    [
        ((32, 64, 64), 3, "cpu", False),  # two voxels along X at the coarsest of five levels
        ((16, 64, 64), 3, "cpu", False),  # and at the one above
        ((32, 64, 64), 3, "cuda", True),
        ((48, 32, 16), 3, "cpu", True),
        ((32, 32, 1), 2, "cpu", True),
    ],
)
def test_bf16_is_not_used_where_its_gradients_are_wrong(
    patch: tuple[int, int, int], dims: Literal[2, 3], device: str, sound: bool
) -> None:
    network = NetConfig(dims=dims, in_channels=1, out_channels=1)
    assert bf16_is_sound(TrainConfig(patch=patch), network, torch.device(device)) == sound


def test_narrow_patches_are_learned_from_in_fp32(job: MakeJob, caplog: pytest.LogCaptureFixture) -> None:
    network = NetConfig(name="unet", dims=3, in_channels=4, out_channels=3, widths=(4, 4, 4, 4))
    runs = []
    for precision in ("bf16", "fp32"):
        base = job(precision, steps=2, precision=precision, patch=(16, 16, 16))
        runs.append(replace(base, spec=base.spec.model_copy(update={"network": network}), val_ids=()))
        train(runs[-1])
    assert tiny.same(*(tiny.weights(run.run / "last") for run in runs))
    assert [record.message for record in caplog.records] == [
        "patches so narrow are learned from in fp32: PyTorch's bf16 gradients of them are wrong"
    ]


def test_classes_train_as_well_as_regions(job: MakeJob) -> None:
    base = job(steps=3)
    network = base.spec.network.model_copy(update={"out_channels": 4})
    output = OutputConfig(kind="classes", convention="brats2021")
    train(replace(base, spec=base.spec.model_copy(update={"network": network, "output": output})))
    assert [float(row["loss"]) > 0 for row in log_of(base)] == [True]


def test_slices_train(tmp_path: Path) -> None:
    prepare([make.write_pairs(tmp_path / "pairs")], tmp_path / "store")
    config = tiny.config(patch=(16, 16, 1), steps=2, batch=2)
    run = Job(tmp_path / "store", ("1", "2"), ("3",), config, tiny.slice_spec(), tmp_path / "run")
    assert "validation_dice_WT" in train(run).metrics


@pytest.mark.parametrize(
    ("network", "patch", "message"),
    [
        ({}, (16, 15, 16), "16x15x16 does not fit.*divisible by 2.*--patch"),
        ({"widths": (4, 4, 4, 8)}, (16, 16, 12), "divisible by 8"),
        ({"widths": (4, 4, 4, 8)}, (8, 8, 8), "divisible by 8, one of them larger"),
        ({"dims": 2}, (16, 16, 16), "third size of 1"),
        ({}, (16, 16, 1), "does not fit.*--dims 2"),
        ({"name": "transformer"}, (16, 16, 16), "no network called 'transformer'.*unet"),
        ({"deep_supervision": True}, (16, 16, 16), "no deep supervision"),
    ],
)
def test_what_does_not_fit_is_refused(job: MakeJob, network: dict[str, Any], patch: Any, message: str) -> None:
    base = job(patch=patch)
    changed = NetConfig.model_validate(base.spec.network.model_dump() | network)
    run = replace(base, spec=base.spec.model_copy(update={"network": changed}))
    with pytest.raises(ConfigError, match=message):
        train(run)
    assert not run.run.exists()


def test_no_case_to_train_on_is_refused(job: MakeJob) -> None:
    with pytest.raises(ConfigError, match=r"no case to train on.*--test-fold"):
        check_job(replace(job(), train_ids=()))


def test_regions_that_could_not_be_decoded_are_refused_at_once(job: MakeJob) -> None:
    base = job()
    children = OutputConfig(kind="regions", convention="brats-ped")
    with pytest.raises(LabelError, match="class outputs"):
        check_job(replace(base, spec=base.spec.model_copy(update={"output": children})))


def test_a_row_written_twice_by_an_interruption_stands_once(job: MakeJob, monkeypatch: pytest.MonkeyPatch) -> None:
    straight, broken = job("straight"), job("broken")
    train(straight)

    class Interrupted(loop.CsvLog):
        def add(self, values: Mapping[str, float]) -> None:
            super().add(values)
            raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(loop, "CsvLog", Interrupted)
        train(broken)
    assert [row["step"] for row in log_of(broken)] == ["3"]
    train(broken, resume=True)
    assert_same_run(straight, broken)


@pytest.mark.parametrize(("scores", "step"), [((0.5, 0.4), 3), ((0.4, 0.5), 6), ((0.5, 0.5), 3)])
def test_the_best_is_the_first_with_the_highest_score(
    job: MakeJob, monkeypatch: pytest.MonkeyPatch, scores: tuple[float, float], step: int
) -> None:
    coming = iter(scores)
    monkeypatch.setattr(loop, "validate", lambda *_: Validation(dict.fromkeys(Region, next(coming)), None))
    run = job()
    assert train(run).metrics["step"] == step
    assert tiny.same(tiny.weights(run.run / "best"), tiny.weights(run.run / "last")) == (step == 6)


def test_the_average_forgets_the_first_weights(job: MakeJob) -> None:
    run = job(steps=2)
    torch.manual_seed(run.config.seed)
    first = {name: value.numpy().copy() for name, value in build_network(run.spec.network).state_dict().items()}
    with pytest.raises(KeyboardInterrupt):
        train(run, observe=stop_at(1))
    one = tiny.weights(run.run / "state.safetensors")
    train(run, resume=True)
    two = tiny.weights(run.run / "state.safetensors")
    for name, start in first.items():
        after_one = 1 / 10 * start + 9 / 10 * one[f"model.{name}"]
        after_two = 2 / 11 * after_one + 9 / 11 * two[f"model.{name}"]
        assert one[f"average.{name}"] == pytest.approx(after_one, abs=1e-6)
        assert two[f"average.{name}"] == pytest.approx(after_two, abs=1e-6)

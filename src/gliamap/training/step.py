"""One optimiser step: the micro-batches of this process, their gradients together, one update."""

from __future__ import annotations

import logging
import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from gliamap.config import ModelSpec, NetConfig, TrainConfig
from gliamap.errors import TrainingError
from gliamap.losses.named import LOSSES, deeply_supervised
from gliamap.losses.target import Target
from gliamap.nets.zoo import heads, size_divisor
from gliamap.sampling.dataset import PatchDataset
from gliamap.sampling.loader import Batch, Feed, make_share
from gliamap.training.devices import Devices
from gliamap.training.optim import learning_rate, update_average
from gliamap.training.progress import Clock
from gliamap.training.state import Learner, whole_step
from gliamap.training.stop import Stop

logger = logging.getLogger(__name__)


class Stepper:
    """Takes step after step. Holds the network as the processes share it, and the loader's workers."""

    def __init__(
        self, learner: Learner, dataset: PatchDataset, config: TrainConfig, spec: ModelSpec, devices: Devices
    ) -> None:
        self._learner, self._dataset, self._config, self._spec = learner, dataset, config, spec
        self._devices = devices
        self._bf16 = config.precision == "bf16" and bf16_is_sound(config, spec.network, devices.device)
        if config.precision == "bf16" and not self._bf16 and devices.writes:
            logger.warning("patches so narrow are learned from in fp32: PyTorch's bf16 gradients of them are wrong")
        self._share_network()
        self._start(make_share(config, devices.rank, devices.processes).size)

    def take(self, clock: Clock, stop: Stop) -> None:
        """One step: weights, their average and the progress are those after it.

        A loss or gradient that is not finite is a ``TrainingError`` and changes nothing. Where a GPU's memory does not
        suffice, micro-batches are halved from here on, down to one patch; the gradients are added up instead.
        """
        with whole_step(self._learner):
            self._take(clock, stop)

    def _take(self, clock: Clock, stop: Stop) -> None:
        learner, config = self._learner, self._config
        progress = learner.progress
        if self._rests and progress.step >= config.freeze_encoder_steps:
            self._share_network()
        loss = self._gradients_in_memory(clock)
        with clock.stage("update"):
            check_finite("loss", loss, progress.step)
            norm = float(nn.utils.clip_grad_norm_(learner.model.parameters(), config.clip_norm))
            check_finite("gradient", norm, progress.step)
            for group in learner.optimiser.param_groups:
                group["lr"] = learning_rate(progress.step, config) * group["factor"]
            try:
                with stop.held():
                    learner.optimiser.step()
                    update_average(learner.average, learner.model, progress.step, config.ema_decay)
                    progress.step += 1
                    progress.loss, progress.gradient_norm, progress.pending = loss, norm, True
            except torch.OutOfMemoryError as error:
                raise _out_of_memory("the optimiser", str(error)) from error

    def _share_network(self) -> None:
        """Share the network. What rests in this step has no gradient, which also saves a fifth of the time or more."""
        self._rests = self._learner.progress.step < self._config.freeze_encoder_steps
        for parameter in self._learner.resting:
            parameter.requires_grad_(not self._rests)
        self._network = self._devices.share(self._learner.model)

    def _start(self, size: int) -> None:
        """Load micro-batches of ``size`` patches from the next step on."""
        devices = self._devices
        share = make_share(self._config.model_copy(update={"micro_batch": size}), devices.rank, devices.processes)
        step = self._learner.progress.step
        self._feed = Feed(self._dataset, self._config, share, first_step=step, device=devices.device)

    def _gradients_in_memory(self, clock: Clock) -> float:
        """``_gradients`` of micro-batches that are as small as memory requires."""
        while True:
            try:
                return self._gradients(clock)
            except torch.OutOfMemoryError as error:
                found = str(error)
            self._halve(found)  # out here: while the error is handled, it keeps the tensors of the attempt alive

    def _gradients(self, clock: Clock) -> float:
        """Leave the step's gradients in the parameters; the mean loss over all micro-batches of all processes."""
        self._learner.optimiser.zero_grad(set_to_none=True)
        self._to_train_mode()
        share, devices = self._feed.share, self._devices
        batches = iter(self._feed)
        total = 0.0
        for number in range(share.count):
            with clock.stage("load"):
                batch = next(batches)
            self._seed(share.rank + number * share.processes)
            with devices.alone(self._network, alone=number < share.count - 1):
                with clock.stage("forward"):
                    loss = self._loss(batch)
                    total += float(loss.detach())
                with clock.stage("backward"):
                    devices.backward(loss / share.count)
        return devices.mean(total / share.count)

    def _to_train_mode(self) -> None:
        """All of the network, but batch normalisation that rests: it keeps to the statistics that it came with."""
        self._learner.model.train()
        for module in self._learner.model.modules() if self._rests else ():
            if isinstance(module, _BatchNorm) and not any(p.requires_grad for p in module.parameters()):
                module.eval()

    def _seed(self, number: int) -> None:
        """Let what the network draws (dropout) depend on seed, step and micro-batch alone: nothing is to be saved."""
        draws = np.random.SeedSequence((self._config.seed, self._learner.progress.step, number))
        torch.manual_seed(int(draws.generate_state(1)[0]))

    def _loss(self, batch: Batch) -> Tensor:
        config, spec = self._config, self._spec
        with torch.autocast(self._devices.device.type, torch.bfloat16, enabled=self._bf16):
            levels = heads(self._network(batch.image), spec.network)
        target = Target(
            batch.target,
            soft=batch.soft,
            distances=batch.distances,
            weights=batch.weights,
            progress=self._learner.progress.step / config.steps,
        )
        return deeply_supervised(
            levels,
            target,
            spec.output.kind,
            loss=LOSSES[config.loss].compute,
            soft_weight=config.soft_weight,
            level_weight=config.level_weight,
        )

    def _halve(self, found: str) -> None:
        """Go on with micro-batches of half the size; ``TrainingError`` where that cannot be."""
        size = self._feed.share.size
        if size % 2 or self._devices.processes > 1:
            raise _out_of_memory(f"{size} patches at once", found)
        self._learner.optimiser.zero_grad(set_to_none=True)
        torch.cuda.empty_cache()
        logger.warning(
            "out of memory with %d patches at once: going on with %d at a time, gradients added up", size, size // 2
        )
        self._start(size // 2)


def bf16_is_sound(config: TrainConfig, network: NetConfig, device: torch.device) -> bool:
    """Whether PyTorch computes the gradients of such patches in bf16.

    On a CPU with AVX-512 it does not where a 3D convolution sees two voxels along X, at the coarsest level or the one
    above: the gradient of its weights then holds what was in memory before, be it infinite (seen with torch 2.13).
    """
    narrow = network.dims == 3 and config.patch[0] // size_divisor(network) <= 2
    return not (device.type == "cpu" and narrow)


def _out_of_memory(what: str, found: str) -> TrainingError:
    return TrainingError(
        f"the device's memory does not suffice for {what}",
        found=found.splitlines()[0],
        remedy="go on with --resume and a smaller --micro-batch, "
        "or start a new run with a smaller --patch or network (--widths)",
    )


def check_finite(what: str, value: float, steps: int) -> None:
    """``TrainingError`` where the ``what`` of the step after so many is not a number, or infinite."""
    if not math.isfinite(value):
        raise TrainingError(
            f"the {what} became {value} at step {steps + 1}",
            remedy="start a new run with a lower --learning-rate, or with --precision fp32; best/ of this one is sound",
        )

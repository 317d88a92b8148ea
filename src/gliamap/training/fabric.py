"""Several processes that share a training, through Lightning Fabric: gloo on CPUs, NCCL on GPUs.

Apart from :mod:`gliamap.training.devices` because importing Fabric takes seconds that one process alone need not spend.
"""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from numpy.typing import NDArray
from torch import Tensor, nn

from gliamap.errors import ConfigError
from gliamap.training.devices import Devices, PeerLost

_PATIENCE = 2.0
"""Seconds from the loss of another process to the error here: torchrun shall hear of the first error first."""

_EXCHANGE = re.compile(r"gloo|nccl|connection|socket|peer", re.IGNORECASE)


class FabricDevices(Devices):
    """One of the processes that torchrun started; made once a process, before anything else of a training.

    Process n of a machine takes its GPU n. ``ConfigError`` where it has fewer GPUs than processes.
    """

    def __init__(self) -> None:
        logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # it announces itself, in every process
        local, processes = int(os.environ["LOCAL_WORLD_SIZE"]), int(os.environ["WORLD_SIZE"])
        _check_machine(local, processes)
        self._fabric = Fabric(
            accelerator="cuda" if torch.cuda.is_available() else "cpu",
            strategy="ddp",
            devices=local,
            num_nodes=processes // local,
            plugins=[TorchElasticEnvironment()],
        )
        with _others_at_hand():
            self._fabric.launch()
        self.rank = self._fabric.global_rank
        self.processes = self._fabric.world_size
        self.device = self._fabric.device

    def share(self, model: nn.Module) -> nn.Module:
        """``model`` wrapped so that backward averages its gradients over the processes."""
        with _others_at_hand():
            return self._fabric.setup_module(model)

    @contextmanager
    def alone(self, network: nn.Module, *, alone: bool) -> Iterator[None]:
        """Where ``alone``, gradients computed in the block stay in this process: more are to be added to them."""
        with self._fabric.no_backward_sync(network, enabled=alone):  # type: ignore[arg-type]
            yield

    def backward(self, loss: Tensor) -> None:
        """Add the gradients of ``loss``, averaged over the processes."""
        with _others_at_hand():
            self._fabric.backward(loss)

    def mean(self, value: float) -> float:
        """The mean of ``value`` over all processes."""
        tensor = torch.tensor(value, dtype=torch.float64, device=self.device)
        with _others_at_hand():
            return float(self._fabric.all_reduce(tensor, reduce_op="mean"))  # type: ignore[arg-type]

    def total(self, counts: NDArray[np.int64]) -> NDArray[np.int64]:
        """The sum of ``counts`` over all processes, exactly."""
        tensor = torch.from_numpy(counts.copy()).to(self.device)
        with _others_at_hand():
            summed: NDArray[np.int64] = self._fabric.all_reduce(tensor, reduce_op="sum").cpu().numpy()  # type: ignore[union-attr]
        return summed

    def wait(self) -> None:
        """Return when every process has come here."""
        with _others_at_hand():
            self._fabric.barrier()


def _check_machine(local: int, processes: int) -> None:
    gpus = torch.cuda.device_count()
    if gpus and local > gpus:
        raise ConfigError(
            f"{local} processes on a machine with {gpus} GPUs",
            expected="a GPU for each process",
            remedy=f"say --nproc-per-node {gpus}, or less",
        )
    if processes % local:
        raise ConfigError(
            f"{processes} processes, {local} of them on this machine",
            expected="equally many on each machine",
            remedy="say the same --nproc-per-node everywhere",
        )


@contextmanager
def _others_at_hand() -> Iterator[None]:
    """``PeerLost`` where the exchange in the block fails because another process has ended."""
    try:
        yield
    except RuntimeError as error:
        if not _is_of_exchange(error):
            raise
        time.sleep(_PATIENCE)
        raise PeerLost(
            "another process of this training has ended",
            found=re.sub(r"^\[.*?\] ", "", str(error)).split(". ")[0],
            remedy="see the first error; then go on with --resume",
        ) from error


def _is_of_exchange(error: RuntimeError) -> bool:
    """The error tells of the connection: gloo's have no type of their own."""
    return isinstance(error, torch.distributed.DistError) or bool(_EXCHANGE.search(str(error)))

"""The process among those that share a training, and the device that it computes on.

Here: one process alone. :mod:`gliamap.training.fabric` has the same for several, under torchrun.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gliamap.errors import TrainingError


class PeerLost(TrainingError):
    """Another process of the training has ended. What this one holds is sound, and that of its last whole step."""


class Devices:
    """One process, on the GPU where there is one. ``rank`` 0 alone writes files."""

    def __init__(self) -> None:
        self.rank = 0
        self.processes = 1
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")

    @property
    def writes(self) -> bool:
        """This process is the one that writes files."""
        return self.rank == 0

    def share(self, model: nn.Module) -> nn.Module:
        """``model`` (on ``device``) as it is to be called while training: gradients are averaged over processes."""
        return model

    @contextmanager
    def alone(self, network: nn.Module, *, alone: bool) -> Iterator[None]:
        """Where ``alone``, gradients computed in the block stay in this process: more are to be added to them."""
        yield

    def backward(self, loss: Tensor) -> None:
        """Add the gradients of ``loss``."""
        torch.autograd.backward(loss)

    def mean(self, value: float) -> float:
        """The mean of ``value`` over all processes."""
        return value

    def total(self, counts: NDArray[np.int64]) -> NDArray[np.int64]:
        """The sum of ``counts`` over all processes, exactly."""
        return counts

    def wait(self) -> None:
        """Return when every process has come here."""

    @contextmanager
    def first_ahead(self) -> Iterator[None]:
        """The first process goes through the block before the others: an error of the block is met, and said, once."""
        if not self.writes:
            self.wait()
        yield
        if self.writes:
            self.wait()

    def alike(self, text: str) -> bool:
        """Every process says the same ``text``."""
        digests = np.zeros(self.processes, np.int64)
        digests[self.rank] = int.from_bytes(hashlib.sha256(text.encode()).digest()[:7])
        return len(set(self.total(digests).tolist())) == 1

    def any(self, *, here: bool) -> bool:
        """It is so in some process."""
        return bool(self.total(np.array([here], np.int64))[0])

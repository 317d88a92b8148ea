"""Micro-batches of training patches, loaded ahead by worker processes, each process of a training its own share.

Step k of a training takes the patches k * batch to (k + 1) * batch - 1, cut into micro-batches; process r of n takes
the micro-batches r, r + n, ... So the patches of a step do not depend on how many processes share them.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, get_worker_info

from gliamap.config import TrainConfig
from gliamap.errors import ConfigError, GliamapError, TrainingError
from gliamap.interrupts import held_back
from gliamap.sampling.dataset import Patch, PatchDataset

_ASKING_TO_STOP = (signal.SIGINT, signal.SIGTERM)
_AHEAD = 4  # micro-batches that each worker keeps ready
_TRIM_EVERY = 10  # micro-batches; after each one, a patch would take a third longer


@dataclass(frozen=True, eq=False)
class Batch:
    """``image`` ``(B, C, *space)`` float32 and ``target`` ``(B, R, *space)`` uint8 masks; space is X, Y in 2D.

    ``soft``, ``distances`` and ``weights``, shaped like the masks, where they are asked for, as in
    :class:`~gliamap.sampling.dataset.Patch`.
    """

    image: Tensor
    target: Tensor
    soft: Tensor | None = None
    distances: Tensor | None = None
    weights: Tensor | None = None

    def to(self, device: torch.device) -> Batch:
        """The batch on ``device``; from pinned memory the copy runs beside the computation."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=True))

    def share_memory(self) -> Batch:
        """The batch in memory that other processes can read; ``RuntimeError`` where there is no room."""
        return self._each(lambda tensor: tensor.share_memory_())  # type: ignore[no-untyped-call]

    def pin_memory(self) -> Batch:
        """The batch in memory that a GPU can copy from by itself; called by the loader."""
        return self._each(Tensor.pin_memory)

    def _each(self, change: Callable[[Tensor], Tensor]) -> Batch:
        extras = (None if one is None else change(one) for one in (self.soft, self.distances, self.weights))
        return Batch(change(self.image), change(self.target), *extras)


@dataclass(frozen=True)
class Share:
    """How the patches of a step are cut: ``size`` patches a micro-batch, and which of them this process takes."""

    batch: int
    size: int
    rank: int = 0
    processes: int = 1

    @property
    def count(self) -> int:
        """Micro-batches a step that this process takes."""
        return self.batch // self.size // self.processes

    def numbers(self, step: int) -> list[range]:
        """The patch numbers of each of this process' micro-batches of a step."""
        own = range(self.rank, self.batch // self.size, self.processes)
        return [range(step * self.batch + m * self.size, step * self.batch + (m + 1) * self.size) for m in own]


def make_share(config: TrainConfig, rank: int = 0, processes: int = 1) -> Share:
    """The share of process ``rank`` of ``processes``; ``ConfigError`` where the batch cannot be cut so."""
    size = config.micro_batch or max(1, config.batch // processes)
    if config.batch % (size * processes):
        each = f"{size} at a time" if config.micro_batch else "equal parts"
        raise ConfigError(
            f"a batch of {config.batch} patches cannot be shared by {processes} processes, {each}",
            expected=f"a batch that {size * processes} divides",
            remedy="change --batch, --micro-batch or the number of processes",
        )
    return Share(config.batch, size, rank, processes)


class Feed:
    """The micro-batches of one step after the other, on ``device``. Holds the worker processes."""

    def __init__(
        self, dataset: PatchDataset, config: TrainConfig, share: Share, *, first_step: int, device: torch.device
    ) -> None:
        self.share = share
        self._device = device
        loader = DataLoader(
            _Sheltered(dataset),
            batch_sampler=_Numbers(share, first_step, config.steps),
            num_workers=config.workers,
            collate_fn=_Collate(flat=config.patch[2] == 1),
            prefetch_factor=_AHEAD if config.workers else None,
            pin_memory=device.type == "cuda",
            worker_init_fn=_leave_signals_to_parent,
            generator=torch.Generator(),  # the loader draws a number: not from the global one
        )
        self._upcoming = _started(loader)
        self._next: Batch | None = None

    def __iter__(self) -> Iterator[Batch]:
        """This process' micro-batches of the next step; the one after is already on its way to the device."""
        for _ in range(self.share.count):
            batch = self._next or self._load()
            self._next = self._load() if self._device.type == "cuda" else None
            if batch is not None:
                yield batch

    def _load(self) -> Batch | None:
        try:
            loaded = next(self._upcoming, None)
        except (RuntimeError, ConnectionError, EOFError) as error:
            if isinstance(error, RuntimeError) and "DataLoader worker" not in str(error):
                raise
            raise TrainingError(
                "a process that loads patches was killed",
                found=" ".join(str(error).split()) or type(error).__name__,
                remedy="if memory ran out, use fewer --workers or a smaller --patch; then go on with --resume",
            ) from error
        if isinstance(loaded, GliamapError):
            self._upcoming = iter(())  # ends the workers now, not when the error is forgotten
            raise loaded
        return None if loaded is None else loaded.to(self._device)


class _Sheltered(Dataset[Patch | GliamapError]):
    """The patches, with errors handed over as they are: a worker's exception would arrive as a traceback in text."""

    def __init__(self, dataset: PatchDataset) -> None:
        self._dataset = dataset

    def __getitem__(self, index: int) -> Patch | GliamapError:
        try:
            return self._dataset[index]
        except GliamapError as error:
            return error


class _Numbers:
    """The patch numbers of every micro-batch from ``first_step`` to the end, made as they are asked for."""

    def __init__(self, share: Share, first_step: int, steps: int) -> None:
        self._share, self._steps = share, range(first_step, steps)

    def __iter__(self) -> Iterator[list[int]]:
        for step in self._steps:
            yield from (list(numbers) for numbers in self._share.numbers(step))

    def __len__(self) -> int:
        return len(self._steps) * self._share.count


def _started(loader: DataLoader[Patch | GliamapError]) -> Iterator[Batch | GliamapError]:
    """The loader's batches, with its workers running.

    Signals wait until they do: a worker is to hear none before it knows what to do with it. PyTorch would have the
    death of a worker raised wherever the training just is, between two weights, say: its answer to SIGCHLD is taken
    back, and the death is noticed, within seconds, when the worker's next batch is due. (It sets none outside the main
    thread.)
    """
    before = signal.getsignal(signal.SIGCHLD)
    with held_back(_ASKING_TO_STOP):
        upcoming = iter(loader)
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGCHLD, before)
    return upcoming


def _leave_signals_to_parent(_: int) -> None:
    """Ctrl-C reaches every process of a terminal's job; the training alone answers, and ends its workers by SIGTERM.

    torchrun sends SIGTERM to the whole group: a worker leaves it, so that the step can be finished.
    """
    os.setpgrp()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _ASKING_TO_STOP)
    sys.excepthook = _unless_hung_up


def _unless_hung_up(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Print what went wrong in a thread that hands batches over, but not that the training ended meanwhile."""
    if not issubclass(kind, EOFError | ConnectionError):
        sys.__excepthook__(kind, error, trace)


class _Collate:
    """Stacks patches, without their Z where ``flat``; gives the first error where there is one.

    A worker puts batches into shared memory here, where an error can still be handed over, and returns freed memory
    to the system now and then: what lives on between large blocks lets the heap grow to several times its need.
    """

    def __init__(self, *, flat: bool) -> None:
        self._flat = flat
        self._made = 0

    def __call__(self, patches: list[Patch | GliamapError]) -> Batch | GliamapError:
        sound = []
        for patch in patches:
            if isinstance(patch, GliamapError):
                return patch
            sound.append(patch)
        batch = Batch(
            self._stack([patch.image for patch in sound]),
            self._stack([patch.target for patch in sound]),
            self._stack_extra([patch.soft for patch in sound]),
            self._stack_extra([patch.distances for patch in sound]),
            self._stack_extra([patch.weights for patch in sound]),
        )
        if get_worker_info() is None:
            return batch
        self._made += 1
        if self._made % _TRIM_EVERY == 0 and hasattr(libc := ctypes.CDLL(None), "malloc_trim"):  # glibc has it
            libc.malloc_trim(0)
        return _shared(batch)

    def _stack_extra(self, parts: list[Tensor | None]) -> Tensor | None:
        there = [part for part in parts if part is not None]
        return self._stack(there) if there else None

    def _stack(self, parts: list[Tensor]) -> Tensor:
        whole = torch.stack(parts)
        return whole[..., 0] if self._flat else whole


def _shared(batch: Batch) -> Batch | TrainingError:
    """The batch in shared memory, or the error that there is no room."""
    try:
        return batch.share_memory()
    except RuntimeError as error:
        return TrainingError(
            "a process that loads patches found no room in shared memory",
            found=str(error).splitlines()[0],
            remedy="make /dev/shm larger (docker run --shm-size=2g), or use fewer --workers; then go on with --resume",
        )

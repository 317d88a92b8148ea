"""Batches: the same patches for any number of workers and processes, and errors that arrive as they were."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import random
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gliamap.config import TrainConfig
from gliamap.errors import ConfigError, FileError, TrainingError
from gliamap.sampling.dataset import PatchDataset
from gliamap.sampling.extras import Extras
from gliamap.sampling.loader import Batch, Feed, Share, make_share
from stores import Store, add_distances, write_certain_teachers, write_tiny_store
from tiny import slice_spec, spec

CPU = torch.device("cpu")
CONFIG = TrainConfig(patch=(8, 12, 4), batch=4, micro_batch=2, steps=5, workers=0, seed=3)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return write_tiny_store(tmp_path_factory.mktemp("store"))


def config(**changes: Any) -> TrainConfig:
    return TrainConfig.model_validate(CONFIG.model_dump() | changes)


def feed(store: Store, wanted: TrainConfig, share: Share | None = None, *, first_step: int = 0) -> Feed:
    flat = wanted.patch[2] == 1
    described = slice_spec(modalities=("t1", "t1c", "t2", "flair"), convention="brats2021") if flat else spec()
    return Feed(
        PatchDataset(*store, wanted, described),
        wanted,
        share or make_share(wanted),
        first_step=first_step,
        device=CPU,
    )


def all_of(loading: Feed, steps: int) -> list[list[Batch]]:
    """The batches of so many steps."""
    return [list(loading) for _ in range(steps)]


def same(one: list[list[Batch]], other: list[list[Batch]]) -> bool:
    """Bit for bit the same batches."""
    pairs = [(a, b) for x, y in zip(one, other, strict=True) for a, b in zip(x, y, strict=True)]
    return all(torch.equal(a.image, b.image) and torch.equal(a.target, b.target) for a, b in pairs)


def test_who_takes_which_patches_by_eye() -> None:
    alone = Share(batch=12, size=2)
    assert alone.count == 6
    assert alone.numbers(1) == [range(n, n + 2) for n in (12, 14, 16, 18, 20, 22)]
    first, second, third = (Share(batch=12, size=2, rank=rank, processes=3) for rank in range(3))
    assert first.count == second.count == third.count == 2
    assert first.numbers(1) == [range(12, 14), range(18, 20)]
    assert second.numbers(1) == [range(14, 16), range(20, 22)]
    assert third.numbers(1) == [range(16, 18), range(22, 24)]


@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 4), st.integers(0, 50))
def test_together_the_processes_take_each_patch_of_a_step_once(size: int, each: int, processes: int, step: int) -> None:
    batch = size * each * processes
    wanted = config(batch=batch, micro_batch=size)
    shares = [make_share(wanted, rank, processes) for rank in range(processes)]
    taken = sorted(number for share in shares for numbers in share.numbers(step) for number in numbers)
    assert taken == list(range(step * batch, (step + 1) * batch))
    assert {share.count for share in shares} == {each}


@pytest.mark.parametrize(
    ("batch", "micro_batch", "processes", "size"), [(6, None, 1, 6), (6, None, 2, 3), (6, 1, 2, 1), (6, 2, 3, 2)]
)
def test_without_a_micro_batch_each_process_takes_its_part_at_once(
    batch: int, micro_batch: int | None, processes: int, size: int
) -> None:
    assert make_share(config(batch=batch, micro_batch=micro_batch), 0, processes).size == size


@pytest.mark.parametrize(("batch", "micro_batch", "processes"), [(5, None, 2), (1, None, 2), (6, 4, 1), (6, 2, 2)])
def test_a_batch_that_cannot_be_shared_is_refused(batch: int, micro_batch: int | None, processes: int) -> None:
    with pytest.raises(ConfigError, match=f"a batch of {batch} patches cannot be shared by {processes} processes"):
        make_share(config(batch=batch, micro_batch=micro_batch), 0, processes)


def test_a_batch_is_the_patches_in_order(store: Store) -> None:
    patches = PatchDataset(*store, CONFIG, spec())
    first, second = feed(store, CONFIG, first_step=4)
    assert first.image.shape == (2, 4, 8, 12, 4)
    assert first.target.shape == (2, 3, 8, 12, 4)
    assert first.soft is None
    for number, batch, place in ((16, first, 0), (17, first, 1), (18, second, 0), (19, second, 1)):
        assert torch.equal(batch.image[place], patches[number].image)
        assert torch.equal(batch.target[place], patches[number].target)


def test_slices_lose_their_third_axis(store: Store) -> None:
    batch, _ = feed(store, config(patch=(8, 8, 1)))
    assert batch.image.shape == (2, 4, 8, 8)
    assert batch.target.shape == (2, 3, 8, 8)


@pytest.mark.parametrize("workers", [0, 1])
def test_what_is_asked_for_comes_along(tmp_path: Path, workers: int) -> None:
    store = add_distances(write_tiny_store(tmp_path / "store"))
    extras = Extras(write_certain_teachers(tmp_path / "soft", store), distances=True, weights=True)
    wanted = config(workers=workers)
    patches = PatchDataset(*store, wanted, spec(), extras)
    batch, _ = Feed(patches, wanted, make_share(wanted), first_step=0, device=CPU)
    for name in ("soft", "distances", "weights"):
        expected = torch.stack([getattr(patches[number], name) for number in (0, 1)])
        assert torch.equal(getattr(batch, name), expected)
        assert getattr(batch, name).is_shared() == (workers > 0)
    plain, _ = feed(store, wanted)
    assert plain.soft is plain.distances is plain.weights is None


def test_workers_and_resuming_change_no_batch(store: Store) -> None:
    expected = all_of(feed(store, CONFIG), 5)
    for workers in (0, 1, 2):
        for first in (0, 3):
            found = all_of(feed(store, config(workers=workers), first_step=first), 5 - first)
            assert same(found, expected[first:])


def test_after_the_last_step_there_is_nothing(store: Store) -> None:
    loading = feed(store, CONFIG, first_step=4)
    assert len(list(loading)) == 2
    assert list(loading) == []


def test_processes_together_load_what_one_would(store: Store) -> None:
    wanted = config(batch=6, micro_batch=1, steps=2)
    expected = all_of(feed(store, wanted), 2)
    for processes in (2, 3):
        shares = [all_of(feed(store, wanted, make_share(wanted, r, processes)), 2) for r in range(processes)]
        joined = [[shares[m % processes][step][m // processes] for m in range(6)] for step in range(2)]
        assert same(joined, expected)


@pytest.mark.parametrize("workers", [0, 2])
def test_global_generators_play_no_role(store: Store, workers: int) -> None:
    found = []
    for poison in (1, 2):
        random.seed(poison)
        np.random.seed(poison)  # noqa: NPY002 (it is to play no role)
        torch.manual_seed(poison)
        before = (random.getstate(), pickle.dumps(np.random.get_state()), torch.get_rng_state())  # noqa: NPY002
        found.append(all_of(feed(store, config(workers=workers)), 5))
        assert random.getstate() == before[0]
        assert pickle.dumps(np.random.get_state()) == before[1]  # noqa: NPY002
        assert torch.equal(torch.get_rng_state(), before[2])
    assert same(*found)


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_an_error_arrives_with_its_parts(tmp_path: Path, workers: int) -> None:
    broken = write_tiny_store(tmp_path)
    for entry in broken[1]:
        (tmp_path / "cases" / entry.case_id / "image.npy").write_bytes(b"no array")
    before = set(multiprocessing.active_children())
    loading = feed(broken, config(workers=workers))
    with pytest.raises(FileError) as caught:
        list(loading)
    assert set(multiprocessing.active_children()) == before  # though the error is still held
    error = caught.value
    assert error.what.endswith(f"in {tmp_path} is damaged")
    assert error.found is not None
    assert error.remedy == "run gliamap prepare again: it redoes this case alone"
    assert "Traceback" not in str(error)


def test_full_shared_memory_is_an_error_and_no_endless_wait(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: Batch) -> Batch:
        raise RuntimeError("unable to allocate shared memory(shm) for file </torch_1>: No space left on device (28)")

    monkeypatch.setattr(Batch, "share_memory", full)
    with pytest.raises(TrainingError, match="No space left on device") as caught:
        list(feed(store, config(workers=1)))
    assert "/dev/shm" in (caught.value.remedy or "")
    assert len(list(feed(store, CONFIG))) == 2  # without workers nothing is shared


def test_everything_that_workers_are_given_can_be_sent(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    def loader(dataset: object, **settings: Any) -> list[object]:
        seen.extend([dataset, settings["collate_fn"], settings["worker_init_fn"]])
        return []

    monkeypatch.setattr("gliamap.sampling.loader.DataLoader", loader)
    feed(store, CONFIG)
    pickle.dumps(seen)  # where workers start afresh, a function inside a function could not be sent


@pytest.fixture
def loading(store: Store) -> Iterator[tuple[Feed, list[int]]]:
    """A feed with two workers under way, and their process ids."""
    before = set(multiprocessing.active_children())
    started = feed(store, config(workers=2, steps=1000))
    assert len(list(started)) == 2
    yield started, [child.pid for child in multiprocessing.active_children() if child not in before and child.pid]


def test_workers_leave_ctrl_c_to_the_training(loading: tuple[Feed, list[int]]) -> None:
    started, workers = loading
    assert len(workers) == 2
    for pid in workers:
        os.kill(pid, signal.SIGINT)
    for _ in range(12):  # more than what was ready
        assert len(list(started)) == 2


@pytest.mark.slow
def test_a_killed_worker_is_an_error_of_the_training(loading: tuple[Feed, list[int]]) -> None:
    started, workers = loading
    os.kill(workers[0], signal.SIGKILL)
    until = time.monotonic() + 1
    while time.monotonic() < until:  # not raised in the middle of other work
        sum(range(100))
    with pytest.raises(TrainingError, match=f"was killed.*{workers[0]}") as caught:
        all_of(started, 100)
    assert "--workers" in (caught.value.remedy or "")


@pytest.mark.slow
def test_workers_can_be_started_from_a_thread(store: Store) -> None:
    found: list[list[list[Batch]]] = []
    thread = threading.Thread(target=lambda: found.append(all_of(feed(store, config(workers=1)), 5)))
    thread.start()
    thread.join()
    assert same(found[0], all_of(feed(store, CONFIG), 5))

"""What a case's memory is reckoned to be, and which way is taken where it is short."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import Literal

import numpy as np
import pytest

from gliamap.boxes import Shape
from gliamap.config import ModelSpec, NetConfig, OutputConfig, PrepConfig, WindowConfig
from gliamap.errors import ConfigError
from gliamap.infer.memory import FACTOR, Memory, Room, Way, resident_bytes
from gliamap.volume import Grid

GB = 10**9
NATIVE = Grid((240, 240, 155), np.eye(4))
BRAIN = (140, 170, 140)


class Still:
    """An engine that only says what it is."""

    name, precision, version, channels, divisor = "torch", "fp32", "0", 3, 4


def room(
    most: float | None,
    *,
    mode: Literal["windows", "one-pass"] = "one-pass",
    batch: int = 4,
    widths: tuple[int, ...] = (8, 16, 32),
    spacing: tuple[float, float, float] | None = None,
) -> Room:
    output = OutputConfig(kind="regions", convention="brats2021")
    spec = ModelSpec(
        name="test",
        network=NetConfig(name="unet", dims=3, in_channels=4, out_channels=3, widths=widths),
        output=output,
        prep=PrepConfig(modalities=("t1", "t1c", "t2", "flair"), spacing=spacing),
        window=WindowConfig(patch=(64, 64, 64), batch=batch, mode=mode),
    )
    return Room(spec, Still(), GB // 2, None if most is None else int(most * GB))  # type: ignore[arg-type]


def way(limited: Room, shape: Shape = BRAIN) -> tuple[str, int, bool]:
    found = limited.way(NATIVE, shape, fixed_mode=False)
    return found.window.mode, found.window.batch, found.half


def test_without_a_limit_a_case_goes_as_the_model_says() -> None:
    assert way(room(None)) == ("one-pass", 4, False)
    assert way(room(1000)) == ("one-pass", 4, False)


def test_less_memory_is_a_slower_way_and_then_a_refusal() -> None:
    amounts = np.arange(12.0, 0.5, -0.05)
    seen: list[tuple[str, int, bool]] = []
    for amount in amounts:
        try:
            seen.append(way(room(amount)))
        except ConfigError as error:
            assert "240x240x155 voxels with 4 modalities" in str(error) and "--max-memory" in str(error)
            break
    assert list(dict.fromkeys(seen)) == [
        *(("one-pass", batch, False) for batch in (4, 2, 1)),
        *(("windows", batch, False) for batch in (4, 2, 1)),
    ]


def test_sums_are_halved_at_last() -> None:
    slabs, shape = Grid((400, 400, 20), np.diag([0.5, 0.5, 5.0, 1.0])), (400, 400, 100)
    config = WindowConfig(patch=(64, 64, 64))
    plain = room(None).memory(Way(config), slabs, shape).alone
    halved = room(None).memory(Way(config, half=True), slabs, shape).alone
    assert plain - halved == 3 * 2 * np.prod(shape)
    short = room((plain - 1) / GB, mode="windows", batch=1)
    assert short.way(slabs, shape, fixed_mode=True) == Way(config, half=True)


def test_a_mode_that_was_asked_for_is_not_changed() -> None:
    with pytest.raises(ConfigError, match="more memory than is allowed"):
        room(1.4).way(NATIVE, BRAIN, fixed_mode=True)
    assert room(1.4).way(NATIVE, BRAIN, fixed_mode=False).window.mode == "windows"


def test_a_grid_too_large_to_be_read_is_refused_before_it_is() -> None:
    huge = Grid((512, 512, 400), np.eye(4))
    room(4).check(huge)
    room(None).check(huge)
    with pytest.raises(ConfigError, match=r"512x512x400 voxels .* GB at least"):
        room(2).check(huge)


def test_a_report_reads_the_images_again() -> None:
    plain = room(None)
    told = replace(plain, reporting=True)
    way = Way(WindowConfig(patch=(64, 64, 64)))
    more = told.memory(way, NATIVE, BRAIN).finishing - plain.memory(way, NATIVE, BRAIN).finishing
    assert more == 4 * 4 * np.prod(NATIVE.shape)


def test_stages_go_together_where_all_fit() -> None:
    memory = Memory(program=5, preparing=4, network=3, finishing=2)
    assert (memory.alone, memory.together) == (9, 14)
    assert room(None).fits_together(NATIVE) and room(20).fits_together(NATIVE)
    assert not room(2).fits_together(NATIVE)


def test_what_the_network_sees_counts_at_its_own_spacing() -> None:
    fine = Grid((400, 400, 400), np.diag([0.5, 0.5, 0.5, 1.0]))
    coarse = room(8, mode="windows", spacing=(1.0, 1.0, 1.0))
    assert coarse.fits_together(fine) and not room(8, mode="windows").fits_together(fine)


def test_a_process_knows_its_size() -> None:
    assert resident_bytes() > 50_000_000


MEASURE = """
import re, sys
from pathlib import Path
import numpy as np, torch
from gliamap.config import ModelSpec, NetConfig, OutputConfig, PrepConfig, WindowConfig
from gliamap.infer.engine import TorchEngine
from gliamap.nets.zoo import build_network
torch.set_num_threads(1)
spec = ModelSpec.model_validate_json(sys.argv[1])
engine = TorchEngine(build_network(spec.network), spec)
engine(np.ones((1, 4, 16, 16, 16), np.float32))
patch = np.ones((1, 4, *spec.window.patch), np.float32)
def kilobytes(key): return int(re.search(rf"{key}:\\s*(\\d+)", Path("/proc/self/status").read_text())[1])
Path("/proc/self/clear_refs").write_text("5")
before = kilobytes("VmRSS")
engine(patch)
print((kilobytes("VmHWM") - before) * 1024)
"""


@pytest.mark.slow
def test_the_estimate_is_near_what_a_process_takes() -> None:
    limited = room(None, mode="windows", batch=1, widths=(16, 32, 64, 128))
    spec = limited.spec.model_copy(update={"window": WindowConfig(patch=(96, 96, 96))})
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, spec.model_dump_json()], capture_output=True, text=True, check=True
    )
    shape = (96, 96, 96)
    estimate = replace(limited, spec=spec).memory(Way(spec.window), Grid(shape, np.eye(4)), shape).network
    assert 1 / FACTOR < int(done.stdout) / estimate < FACTOR

"""The networks that there are, and what each costs for an input of a stated size: the verb ``gliamap networks``."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from gliamap.boxes import Shape
from gliamap.config import NetConfig
from gliamap.errors import ConfigError
from gliamap.scoring.text_table import NOTHING, TextTable
from gliamap.workflows.training.train_settings import LARGEST_SIDE

INPUTS: dict[Literal[2, 3], Shape] = {2: (LARGEST_SIDE[2], LARGEST_SIDE[2], 1), 3: (LARGEST_SIDE[3],) * 3}
"""The largest patches that trainings choose by themselves."""

REGIONS = 3
"""Output channels: WT, TC, ET."""

_PASSES = 3


@dataclass(frozen=True)
class NetworkCost:
    """A network with the widths that it has unless told otherwise, for one input of ``size`` (X, Y, Z).

    ``gflops``: see :func:`gliamap.nets.cost.forward_gflops`. ``seconds`` of one forward pass on ``device``, the median
    of three, with the precision that predictions have there. ``lacking`` says why there are no figures.
    """

    name: str
    description: str
    dims: Literal[2, 3]
    widths: tuple[int, ...]
    size: Shape
    modalities: int
    parameters: int | None = None
    gflops: float | None = None
    seconds: float | None = None
    device: str = ""
    lacking: str = ""


def networks(
    dims: Literal[2, 3],
    *,
    size: Shape | None = None,
    modalities: int = 4,
    progress: Callable[[int, int, str], None] | None = None,
) -> tuple[NetworkCost, ...]:
    """What every network for ``dims`` costs, in the order of :data:`gliamap.nets.zoo.NETWORKS`; one at a time.

    A network that cannot be had here, or not for this size, says why. ``ConfigError`` where the size is not one of so
    many dimensions.
    """
    from gliamap.nets.zoo import NETWORKS

    size = size or INPUTS[dims]
    if (size[2] == 1) != (dims == 2):
        raise ConfigError(
            f"the size {'x'.join(map(str, size))} is not one of {dims}D",
            expected="Z = 1 in 2D, more than 1 in 3D",
            remedy="change --size or --dims",
        )
    names = [name for name, network in NETWORKS.items() if dims in network.widths]
    found = []
    for number, name in enumerate(names):
        if progress:
            progress(number, len(names), name)
        found.append(_cost(name, dims, size, modalities))
    return tuple(found)


def networks_table(costs: Sequence[NetworkCost]) -> TextTable:
    """What :func:`networks` found for one size, to be shown; a network without figures says why."""
    first = costs[0]
    size = " x ".join(map(str, first.size[: first.dims]))
    modalities = f"{first.modalities} {'modality' if first.modalities == 1 else 'modalities'}"
    device = next((one.device for one in costs if one.device), "")
    title = f"{first.dims}D, an input of {size} with {modalities}" + (f", on {device}" if device else "")
    return TextTable(title, ("network", "what it is", "parameters", "GFLOP", "seconds"), tuple(map(_row, costs)), 2)


def _row(one: NetworkCost) -> tuple[str, ...]:
    if one.parameters is None or one.gflops is None or one.seconds is None:
        return one.name, f"{one.description}; {one.lacking}", NOTHING, NOTHING, NOTHING
    return one.name, one.description, f"{one.parameters / 1e6:.1f} M", f"{one.gflops:.1f}", f"{one.seconds:.2f}"


def _cost(name: str, dims: Literal[2, 3], size: Shape, modalities: int) -> NetworkCost:
    from gliamap.nets.cost import count_parameters, forward_gflops
    from gliamap.nets.zoo import fits, network_of, size_divisor, widths_of

    network = network_of(name)
    config = NetConfig(
        name=name,
        dims=dims,
        in_channels=modalities,
        out_channels=REGIONS,
        widths=widths_of(name, dims)[: network.levels],
        deep_supervision=network.deep_supervision,
        input_size=size if network.sized else None,
    )
    about = (name, network.description, dims, config.widths, size, modalities)
    if not fits(config, size):
        return NetworkCost(*about, lacking=f"takes multiples of {size_divisor(config)}, one of them larger")
    try:
        parameters, gflops = count_parameters(config), forward_gflops(config, size)
    except ConfigError as error:
        return NetworkCost(*about, lacking=error.remedy or error.what)
    seconds, device = _timed(config, size)
    gc.collect()  # a network may hold itself, and the next one needs the memory
    return NetworkCost(*about, parameters, gflops, seconds, device)


def _timed(config: NetConfig, size: Shape) -> tuple[float, str]:
    """Seconds of a forward pass after one to warm up, and on what."""
    import torch

    from gliamap.infer.engine import best_device
    from gliamap.nets.zoo import build_network

    device, precision = best_device()
    torch.manual_seed(0)
    model = build_network(config).eval().to(device)
    image = torch.zeros(1, config.in_channels, *size[: config.dims], device=device)
    taken = []
    with torch.inference_mode(), torch.autocast(device, torch.bfloat16, enabled=precision == "bf16"):
        for _ in range(1 + _PASSES):
            started = time.perf_counter()
            float(model(image).sum())  # the number is asked for, so that a GPU has done its work
            taken.append(time.perf_counter() - started)
    return statistics.median(taken[1:]), f"{device}, {precision}"

"""Starting a network from the weights of another one.

:func:`match` says of each tensor of the new network, by names and shapes alone, whether it is taken as it is, adapted
or new; :func:`carry_over` does it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gliamap.config import ModelSpec, NetConfig, OutputConfig
from gliamap.io.tensors import named_tensors
from gliamap.labels import Region, Tissue, widened
from gliamap.nets.zoo import build_network, network_of


@dataclass(frozen=True)
class Named:
    """A tensor of the new network: its name, its shape (``8x4x3x3``), and how it was adapted, or why it is new."""

    name: str
    shape: str
    note: str = ""


@dataclass(frozen=True)
class Transfer:
    """Which tensors of a network start as another network's, which as something made of them, and which afresh."""

    taken: tuple[Named, ...]
    adapted: tuple[Named, ...]
    new: tuple[Named, ...]

    @property
    def names(self) -> frozenset[str]:
        """The tensors that were taken over, adapted or not."""
        return frozenset(tensor.name for tensor in (*self.taken, *self.adapted))


def match(source: ModelSpec, spec: ModelSpec) -> Transfer:
    """What a network of ``spec`` takes over from one of ``source``, of the same name, dimensions and widths.

    Tensors of the same name and shape are taken. Two layers also need their channels to mean the same:

    The first convolutions, where the network is shown something else. A modality that the source knew keeps its
    weights, another one starts as the mean of those that it knew. Of n modalities before and m now, all weights are
    multiplied by n / m: sequences show the same anatomy, so that the responses, which add up, keep their size.
    Mirrored modalities and presence maps likewise; where the source had none of these they start at 0, and the network
    as if it were not shown them.

    The heads, where outputs differ. An output that the source lacks starts as the next wider one that it has (ET as TC,
    else WT; NCR as CORE, else TUMOUR): it lies inside, so what lies outside is excluded from the start. Afresh it would
    mark anything, and inner regions are drawn over outer ones. Where there is no wider one it does start afresh, and so
    do all where regions become classes or the reverse: a sigmoid's logits are not a softmax's.
    """
    before = _shapes(source.network)
    found: dict[str, list[Named]] = {"taken": [], "adapted": [], "new": []}
    for name, shape in _shapes(spec.network).items():
        kind, note = _fate(name, shape, before.get(name), source, spec)
        found[kind].append(Named(name, shape, note))
    return Transfer(**{kind: tuple(tensors) for kind, tensors in found.items()})


@torch.no_grad()
def carry_over(model: nn.Module, spec: ModelSpec, *, source: nn.Module, source_spec: ModelSpec) -> Transfer:
    """Change the weights of ``model``, a network of ``spec``, to what :func:`match` says, which is returned."""
    transfer = match(source_spec, spec)
    old, new = named_tensors(source), named_tensors(model)
    for tensor in transfer.taken:
        new[tensor.name].copy_(old[tensor.name])
    for tensor in transfer.adapted:
        was, now = old[tensor.name], new[tensor.name]
        if network_of(spec.network.name).parts.sees_input(tensor.name):
            now.copy_(_mixed(was, _shares(source_spec, spec)))
        else:
            for channel, origin in enumerate(_origins(source_spec.output, spec.output)):
                if origin is not None:
                    now[channel] = was[origin]
    return transfer


def _shapes(network: NetConfig) -> dict[str, str]:
    """The shapes of the network's tensors by name."""
    with torch.device("meta"):
        tensors = named_tensors(build_network(network))
    return {name: "x".join(map(str, tensor.shape)) for name, tensor in tensors.items()}


def _fate(name: str, shape: str, before: str | None, source: ModelSpec, spec: ModelSpec) -> tuple[str, str]:
    """Whether the tensor is taken, adapted or new, and a note on that."""
    parts = network_of(spec.network.name).parts
    if before is None:
        return "new", "the source has none"
    sees_channels = parts.sees_input(name) and "x" in shape  # its bias does not
    if sees_channels and _inputs(source) != _inputs(spec):
        return "adapted", _told_inputs(source, spec)
    if parts.of(name) == "heads" and source.output.channels != spec.output.channels:
        origins = _origins(source.output, spec.output)
        told = _told_outputs(source.output, spec.output, origins)
        return ("adapted" if any(origin is not None for origin in origins) else "new"), told
    if before != shape:
        return "new", f"{before} in the source"
    return "taken", ""


_Channel = tuple[str, str]
"""What an input channel is: ``''`` (as it is), ``mirrored`` or ``present``, and of which modality."""


def _inputs(spec: ModelSpec) -> tuple[_Channel, ...]:
    """The input channels, in the order of :class:`gliamap.config.InputConfig`."""
    kinds = ("", *(("mirrored",) if spec.inputs.mirror else ()), *(("present",) if spec.inputs.presence else ()))
    return tuple((kind, modality) for kind in kinds for modality in spec.prep.modalities)


def _shares(source: ModelSpec, spec: ModelSpec) -> Tensor:
    """What each input channel takes of each of the source's: ``(new channels, old channels)``."""
    old, new = _inputs(source), _inputs(spec)
    shares = torch.zeros(len(new), len(old))
    for row, channel in enumerate(new):
        alike = [column for column, (kind, _) in enumerate(old) if kind == channel[0]]
        scale = len(alike) / len(spec.prep.modalities)
        if channel in old:
            shares[row, old.index(channel)] = scale
        elif alike:
            shares[row, alike] = scale / len(alike)
    return shares


def _mixed(weight: Tensor, shares: Tensor) -> Tensor:
    """The weights ``(out, old channels, ...)`` as ``(out, new channels, ...)``."""
    return torch.einsum("no,xo...->xn...", shares, weight)


def _origins(source: OutputConfig, output: OutputConfig) -> tuple[int | None, ...]:
    """The source's output channel that each output channel starts as; ``None``: afresh."""
    if source.kind != output.kind:
        return (None,) * len(output.channels)
    old = source.channels
    if output.kind == "regions":
        outwards = tuple(Region)[::-1]
        wider = [outwards[outwards.index(region) :] for region in output.regions]
        return tuple(next((old.index(region) for region in chain if region in old), None) for chain in wider)
    known = (Tissue.BACKGROUND, *source.tissues)
    tissues = (widened(tissue, known) for tissue in output.tissues)
    return (0, *(None if tissue is None else known.index(tissue) for tissue in tissues))


def _told_inputs(source: ModelSpec, spec: ModelSpec) -> str:
    old, known, kinds = _inputs(source), source.prep.modalities, {kind for kind, _ in _inputs(source)}
    fates: dict[str, list[_Channel]] = {}
    for channel in _inputs(spec):
        what = "kept" if channel in old else f"mean of {', '.join(known)}" if channel[0] in kinds else "0"
        fates.setdefault(what, []).append(channel)
    scale = "" if len(known) == len(spec.prep.modalities) else f", times {len(known)}/{len(spec.prep.modalities)}"
    return "; ".join(f"{_list(group)}: {what}{scale if what != '0' else ''}" for what, group in fates.items())


def _list(channels: Sequence[_Channel]) -> str:
    return ", ".join(f"{modality} {kind}".strip() for kind, modality in channels)


def _told_outputs(source: OutputConfig, output: OutputConfig, origins: Sequence[int | None]) -> str:
    if source.kind != output.kind:
        return f"{output.kind} instead of {source.kind}"
    told = []
    for channel, origin in zip(output.channels, origins, strict=True):
        as_what = "afresh" if origin is None else f"as {source.channels[origin]}"
        told.append(f"{channel} kept" if as_what == f"as {channel}" else f"{channel} {as_what}")
    return ", ".join(told)

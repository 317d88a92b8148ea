"""Tensors in safetensors files: written whole or not at all, never unpickled."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import save_file, save_model
from torch import Tensor, nn

from gliamap.io.atomic import atomic_path


def write_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Write contiguous tensors with a few words of metadata; ``OutputError`` where there is no room for them."""
    _write(path, lambda part: save_file(tensors, part, metadata=metadata))


def named_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers by name, each once: DynUNet registers its layers twice."""
    return dict(model.named_parameters()) | dict(model.named_buffers())


def write_model(path: Path, model: nn.Module) -> None:
    """Write a network's weights, layers that are registered twice once; ``OutputError`` where there is no room."""
    _write(path, lambda part: save_model(model, part))


def _write(path: Path, save: Callable[[str], None]) -> None:
    with atomic_path(path, durable=True) as part:
        part.touch()
        mode = part.stat().st_mode  # as the user's files are; safetensors would let nobody else read it
        try:
            save(str(part))
            part.chmod(mode)
        except SafetensorError as error:  # its way to say that the disk is full
            raise OSError(str(error)) from error

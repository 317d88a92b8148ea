"""Tensors in safetensors files: written whole or not at all, none of ours is ever unpickled."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file, save_model
from torch import Tensor, nn

from gliamap.errors import FileError
from gliamap.io.atomic import atomic_path


def write_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Write contiguous tensors with a few words of metadata; ``OutputError`` where there is no room for them."""
    _write(path, lambda part: save_file(tensors, part, metadata=metadata))


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a file of weights that others made: safetensors, or what ``torch.save`` wrote (``.pth``, ``.pt``).

    The latter is a pickle; torch reads from it tensors in plain containers and refuses all that could run code.
    ``FileError`` where the file is missing, damaged or holds anything else.
    """
    if not path.is_file():
        raise FileError(f"there is no file of weights at {path}", remedy="check the path given with --pretrained")
    try:
        found = (
            load_file(path)
            if path.suffix == ".safetensors"
            else torch.load(path, map_location="cpu", weights_only=True)
        )
    except Exception as error:  # a damaged pickle raises anything
        raise _no_weights(path, str(error).splitlines()[0] if str(error) else type(error).__name__) from error
    if not isinstance(found, dict) or not all(isinstance(value, Tensor) for value in found.values()):
        raise _no_weights(path, "something else than a table of tensors")
    return found


def _no_weights(path: Path, found: str) -> FileError:
    return FileError(
        f"{path} cannot be read as weights",
        found=found,
        expected="tensors by name: safetensors, or a state_dict of torch",
    )


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

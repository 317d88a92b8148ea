"""A checkpoint: weights (safetensors) and ``model.json`` (ModelSpec) in one folder. Nothing is unpickled.

``model.json`` names the file of its weights, which is called after its content. So a checkpoint is replaced in one
moment, when ``model.json`` is: whatever was interrupted before or after, the folder holds a whole one.

Knows tensors and settings, not networks: who builds the network is told its settings and loads the weights into it.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_model

from gliamap.config import ModelSpec
from gliamap.errors import FileError
from gliamap.io.atomic import remove_leftovers, write_json
from gliamap.io.model_spec import read_spec
from gliamap.io.tensors import write_model

__all__ = [
    "check_size",
    "check_weights",
    "file_sha256",
    "load_weights",
    "read_spec",
    "save_checkpoint",
    "write_spec",
]


def save_checkpoint(folder: Path, model: torch.nn.Module, spec: ModelSpec) -> ModelSpec:
    """Write weights, then the spec that names them, then remove all that it does not name; returns that spec."""
    remove_leftovers(folder)
    new = folder / "weights-new.safetensors"
    write_model(new, model)
    digest = file_sha256(new)
    name = f"weights-{digest[:12]}.safetensors"
    new.replace(folder / name)
    sealed = spec.model_copy(update={"weights_file": name, "weights_sha256": digest})
    write_spec(folder, sealed)
    for other in set(folder.glob("weights*.safetensors")) - {folder / name}:
        other.unlink()
    return sealed


def write_spec(folder: Path, spec: ModelSpec) -> None:
    """Write ``model.json`` beside the weights that it names."""
    write_json(folder / "model.json", spec.model_dump(mode="json"), durable=True)


def load_weights(folder: Path, model: torch.nn.Module, spec: ModelSpec) -> None:
    """Load the folder's weights into ``model``; ``FileError`` where they are missing, altered or do not fit."""
    weights = folder / spec.weights_file
    check_weights(folder, spec)
    try:
        load_model(model, str(weights))
    except (SafetensorError, RuntimeError) as error:
        raise _unfitting(weights, " ".join(line.strip() for line in str(error).splitlines()[:2])) from error


def check_weights(folder: Path, spec: ModelSpec) -> str:
    """The hash of the folder's weights; ``FileError`` where they are missing or not those that ``spec`` describes."""
    weights = folder / spec.weights_file
    if not weights.is_file():
        raise FileError(f"{weights} is missing", remedy="copy the whole model folder")
    digest = file_sha256(weights)
    if spec.weights_sha256 and digest != spec.weights_sha256:
        raise FileError(
            f"{weights} is not the file that model.json describes",
            found="its hash differs: it was changed, or not copied to its end",
            remedy="copy the whole model folder again",
        )
    return digest


def check_size(folder: Path, spec: ModelSpec, parameters: int) -> None:
    """``FileError`` where the weights cannot be so many parameters; asked before a network of them takes its memory."""
    weights = folder / spec.weights_file
    if weights.is_file() and weights.stat().st_size < parameters:
        raise _unfitting(weights, f"{weights.stat().st_size} bytes for {parameters} parameters or more")


def _unfitting(weights: Path, found: str) -> FileError:
    return FileError(
        f"{weights} does not fit the network that model.json describes",
        found=found,
        remedy="copy the whole model folder again",
    )


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file's content, in hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()

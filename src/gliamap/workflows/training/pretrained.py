"""Weights from ImageNet that a training starts from: a file that the user has, or one fetched on request."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from gliamap.config import ModelSpec
from gliamap.errors import ConfigError, FileError
from gliamap.io.checkpoint import file_sha256
from gliamap.workflows.training.train_settings import TrainOptions

IMAGENET = "imagenet"
"""What to say instead of a file to have torchvision's fetched."""


def with_pretrained(options: TrainOptions, spec: ModelSpec) -> tuple[ModelSpec, Path | None]:
    """The file of weights that ``options`` name for a network of ``spec``, which then says so; ``None`` where none.

    Only ``imagenet`` fetches anything, once, into torch's cache. ``ConfigError`` where the network has no backbone, or
    its weights come from elsewhere, too; ``FileError`` where the file is missing, does not fit the network, or cannot
    be fetched.
    """
    said = options.pretrained
    if said is None:
        return spec, None
    if options.init_from is not None:
        raise ConfigError(
            "the weights come from two places",
            found=f"--init-from {options.init_from}, --pretrained {said}",
            remedy="leave one of them out",
        )
    from gliamap.nets.pretrained import backbone_of, backbone_weights

    url = backbone_of(spec.network.name).url
    path = _fetched(url) if said == IMAGENET else Path(said)
    backbone_weights(path, spec)
    noted = {"pretrained": f"{path.name}, sha256 {file_sha256(path)}"}
    return spec.model_copy(update={"training_data": spec.training_data | noted}), path


def _fetched(url: str) -> Path:
    """The file at ``url`` in torch's cache, fetched where it is not there yet; its name holds the start of its hash."""
    import torch

    name = Path(urlsplit(url).path).name
    path = Path(torch.hub.get_dir()) / "checkpoints" / name
    if path.is_file():
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(path), hash_prefix=path.stem.rpartition("-")[2], progress=False)
    except (OSError, RuntimeError) as error:  # no network, no room; a file cut short
        raise FileError(
            f"{name} could not be fetched",
            found=str(error),
            expected=f"a connection to {urlsplit(url).netloc}",
            remedy=f"fetch {url} elsewhere and say --pretrained FILE",
        ) from error
    return path

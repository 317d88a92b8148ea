"""A trained network as a MONAI bundle: MONAI's class, weights, and how to use them, in MONAI's own words."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import Any

from torch import nn

from gliamap.config import ModelSpec, NetConfig
from gliamap.errors import ConfigError
from gliamap.io.atomic import write_json
from gliamap.io.tensors import write_model
from gliamap.labels import TISSUE_NAMES, from_tissue, get_convention
from gliamap.nets import monai_nets
from gliamap.workflows.prediction.segment_plan import spoken_tissues

_CLASSES: Mapping[str, tuple[str, Callable[[NetConfig], dict[str, Any]]]] = MappingProxyType(
    {
        "dynunet": ("DynUNet", monai_nets.dynunet_settings),
        "attention-unet": ("AttentionUnet", monai_nets.attention_unet_settings),
        "segresnet": ("SegResNet", monai_nets.segresnet_settings),
        "swin-unetr": ("SwinUNETR", monai_nets.swin_unetr_settings),
    }
)
"""The networks that are MONAI's as they stand; the others are changed, or not MONAI's."""

_WEIGHTS = "models/model.safetensors"


def check_bundle(spec: ModelSpec) -> None:
    """``ConfigError`` where MONAI has no such network, or no step that does what this model needs."""
    if spec.network.name not in _CLASSES:
        raise ConfigError(
            f"the network {spec.network.name} is not one that MONAI builds by itself",
            expected=", ".join(_CLASSES),
            remedy="export it --to onnx, openvino or pt2",
        )
    unlike = [
        what
        for what, there in (
            ("a network for slices", spec.network.dims == 2),
            ("normalised over whole heads", spec.prep.foreground == "head"),
            ("intensities cut at percentiles (normalise robust)", spec.prep.normalise == "robust"),
            ("resampled scans (spacing)", spec.prep.spacing is not None),
            ("mirrored channels", spec.inputs.mirror),
            ("channels that say which modalities are there", spec.inputs.presence),
            ("one pass over the whole brain", spec.window.mode == "one-pass"),
            ("small parts removed (min_size)", spec.clean_up.min_size > 0),
        )
        if there
    ]
    if unlike:
        raise ConfigError(
            f"MONAI has no equal of what the model {spec.name} needs, so its masks would be others",
            found="; ".join(unlike),
            remedy="export it --to onnx, openvino or pt2",
        )


def write_bundle(out: Path, network: nn.Module, spec: ModelSpec) -> None:
    """Write a bundle of a model that :func:`check_bundle` lets through."""
    (out / _WEIGHTS).parent.mkdir()
    write_model(out / _WEIGHTS, network)
    write_json(out / "configs" / "metadata.json", _metadata(spec))
    write_json(out / "configs" / "inference.json", _inference(spec))
    readme = out / "docs" / "README.md"
    readme.parent.mkdir()
    readme.write_text(_readme(spec), encoding="utf-8")


def _metadata(spec: ModelSpec) -> dict[str, Any]:
    convention = get_convention(spec.output.convention)
    labels = {str(value): TISSUE_NAMES[tissue] for value, tissue in sorted(convention.values.items())}
    shape = list(spec.window.patch)
    image = {
        "type": "image",
        "format": "magnitude",
        "modality": "MR",
        "num_channels": spec.network.in_channels,
        "spatial_shape": shape,
        "dtype": "float32",
        "value_range": [],
        "is_patch_data": True,
        "channel_def": {str(at): name for at, name in enumerate(spec.prep.modalities)},
    }
    pred = image | {
        "format": "segmentation",
        "num_channels": spec.network.out_channels,
        "value_range": [0, 1],
        "channel_def": {str(at): name for at, name in enumerate(spec.output.channels)},
    }
    return {
        "version": "1.0.0",
        "changelog": {"1.0.0": f"exported by gliamap {version('gliamap')}"},
        "monai_version": version("monai"),
        "pytorch_version": version("torch").partition("+")[0],
        "numpy_version": version("numpy"),
        "required_packages_version": {name: version(name) for name in ("nibabel", "safetensors")},
        "name": spec.name,
        "task": "brain tumour segmentation in MRI",
        "description": f"{spec.network.name} with outputs {', '.join(spec.output.channels)}",
        "authors": "not told",
        "copyright": "not told",
        "intended_use": "Research use only; not a medical device.",
        "labels": labels,
        "weights_sha256": spec.weights_sha256,
        "training_data": spec.training_data,
        "network_data_format": {"inputs": {"image": image}, "outputs": {"pred": pred}},
    }


def _inference(spec: ModelSpec) -> dict[str, Any]:
    """What ``python -m monai.bundle run --config_file configs/inference.json`` does."""
    name, settings = _CLASSES[spec.network.name]
    return {
        "imports": ["$from safetensors.torch import load_model", "$from pathlib import Path"],
        "bundle_root": ".",
        "dataset_dir": "scans",
        "output_dir": "$@bundle_root + '/masks'",
        "datalist": _datalist(spec.prep.modalities),
        "device": "$torch.device('cuda' if torch.cuda.is_available() else 'cpu')",
        "network_def": {"_target_": name, **settings(spec.network)},
        "load": f"$load_model(@network_def, @bundle_root + '/{_WEIGHTS}')",
        "network": "$@network_def.to(@device).eval()",
        "preprocessing": {"_target_": "Compose", "transforms": _preprocessing(spec)},
        "dataset": {"_target_": "Dataset", "data": "@datalist", "transform": "@preprocessing"},
        "dataloader": {"_target_": "DataLoader", "dataset": "@dataset", "batch_size": 1},
        "inferer": {
            "_target_": "SlidingWindowInferer",
            "roi_size": list(spec.window.patch),
            "overlap": spec.window.overlap,
            "sw_batch_size": spec.window.batch,
            "mode": "gaussian",
        },
        "postprocessing": {"_target_": "Compose", "transforms": _postprocessing(spec)},
        "evaluator": {
            "_target_": "SupervisedEvaluator",
            "device": "@device",
            "val_data_loader": "@dataloader",
            "network": "@network",
            "inferer": "@inferer",
            "postprocessing": "@postprocessing",
        },
        "initialize": ["@load"],
        "run": ["$@evaluator.run()"],
    }


def _datalist(modalities: Sequence[str]) -> list[Any] | str:
    """The cases: a folder each in ``dataset_dir``, with a file for each modality."""
    files = ", ".join(f"str(next(case.glob('*_{name}.nii.gz')))" for name in modalities)
    return f"$[{{'image': [{files}]}} for case in sorted(Path(@dataset_dir).iterdir()) if case.is_dir()]"


def _preprocessing(spec: ModelSpec) -> list[dict[str, Any]]:
    return [
        {"_target_": "LoadImaged", "keys": "image", "ensure_channel_first": True},
        {"_target_": "Orientationd", "keys": "image", "axcodes": "RAS", "labels": None},
        {
            "_target_": "CropForegroundd",
            "keys": "image",
            "source_key": "image",
            "select_fn": "$lambda x: x != 0",
            "margin": spec.prep.crop_margin,
            "allow_smaller": True,
        },
        {"_target_": "NormalizeIntensityd", "keys": "image", "nonzero": True, "channel_wise": True},
        {"_target_": "EnsureTyped", "keys": "image"},
    ]


def _postprocessing(spec: ModelSpec) -> list[dict[str, Any]]:
    regions = spec.output.kind == "regions"
    return [
        {"_target_": "Activationsd", "keys": "pred", "sigmoid": regions, "softmax": not regions},
        {"_target_": "Invertd", "keys": "pred", "transform": "@preprocessing", "orig_keys": "image"},
        {"_target_": "Lambdad", "keys": "pred", "func": _decoding(spec)},
        {"_target_": "SaveImaged", "keys": "pred", "output_dir": "@output_dir", "output_postfix": "mask"}
        | {"output_dtype": "$numpy.uint8", "resample": False},
    ]


def _decoding(spec: ModelSpec) -> str:
    """From probabilities ``p`` to the labels of the model's convention, inner regions over outer ones."""
    values = from_tissue(spoken_tissues(spec.output), get_convention(spec.output.convention)).tolist()
    if spec.output.kind == "classes":
        return f"$lambda p: torch.tensor({[0, *values]}, device=p.device)[p.argmax(0, keepdim=True)]"
    drawn = "0"
    for channel, value in enumerate(values):
        drawn = f"torch.where(p[{channel}:{channel + 1}] > 0.5, {value}, {drawn})"
    return f"$lambda p: {drawn}"


def _readme(spec: ModelSpec) -> str:
    files = ", ".join(f"`CASE_{name}.nii.gz`" for name in spec.prep.modalities)
    return f"""# {spec.name}

A MONAI bundle, exported by gliamap. **Research use only; not a medical device.**

```sh
pip install monai nibabel safetensors pytorch-ignite
python -m monai.bundle run --config_file configs/inference.json --dataset_dir SCANS --output_dir MASKS
```

`SCANS` holds a folder for each case: skull-stripped, registered, on one grid, with {files}.

The weights are safetensors instead of the pickle `models/model.pt`, so `configs/inference.json` loads them itself.
Windows are averaged as logits, and each modality is normalised where it is not zero, as MONAI does it; gliamap averages
probabilities and normalises where any modality is not zero. A few voxels at the tumour's edge may differ.
"""

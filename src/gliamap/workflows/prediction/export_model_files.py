"""The formats of ``gliamap export`` that run without gliamap, and the page that lies beside an exported network."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch.export import ExportedProgram

from gliamap.config import ModelSpec
from gliamap.infer.onnx_engine import write_onnx
from gliamap.infer.openvino_engine import openvino
from gliamap.labels import REGION_NAMES, TISSUE_NAMES, get_convention


@dataclass(frozen=True)
class Format:
    """One format: the network's file, what pip installs to run it, what writes it (``ImportError``: not installed)."""

    file: str
    runtime: str
    write: Callable[[ExportedProgram, Path], None]


def _write_openvino(program: ExportedProgram, path: Path) -> None:
    openvino().save_model(openvino().convert_model(program), path, compress_to_fp16=False)


def _write_pt2(program: ExportedProgram, path: Path) -> None:
    torch.export.save(program, path)


FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        "onnx": Format("network.onnx", "onnxruntime", write_onnx),
        "openvino": Format("network.xml", "openvino", _write_openvino),
        "pt2": Format("network.pt2", "torch>=2.9", _write_pt2),
    }
)


_README = """# {name}

A brain tumour segmentation network ({network}, {dims}D), exported by gliamap.
**Research use only; not a medical device.**

```sh
pip install {packages}
python example.py mask.{suffix} {files}
```

| File | What it is |
|---|---|
| `{file}` | the network: {axes} float32 in, logits of the same sizes out |
| `network.json` | what its axes, sizes, channels and labels are |
| `model.json` | how it is used: modalities, preparation, windows, output |
| `example.py` | all of that as a short program; take from it what you need |

## What it takes

- Modalities, in this order: {modalities}; one file each, all on one grid, registered to each other.
- {heads}; spacing: {spacing}; axes turned to RAS+.
- Each modality less its mean, over its standard deviation, inside the {foreground} ({normalise}).
- Patches of {sizes}; validated with {patch}, overlap {overlap:g}.

## What it gives

Logits of {channels}. Divided by {temperature:g}, then {activation}, they are probabilities. The mask has these labels
({convention}):

| Label | Tissue |
|---|---|
{labels}

## Trained on

{data}

Weights: SHA-256 `{sha256}`. What the data's licence asks of weights holds for this copy, too.
"""


def readme(spec: ModelSpec, network: Mapping[str, Any]) -> str:
    """The ``README.md`` of an exported model; ``network`` is what its ``network.json`` holds."""
    flat, prep = spec.network.dims == 2, spec.prep
    convention = get_convention(spec.output.convention)
    suffix = "png" if flat else "nii.gz"
    packages = ["numpy", "nibabel", network["runtime"]]
    packages += ["scipy"] if prep.foreground == "head" or spec.clean_up.min_size > 0 else []
    packages += ["pillow"] if flat else []
    missing = f" ({', '.join(spec.may_be_missing)} may be missing)" if spec.may_be_missing else ""
    unit = "pixels" if flat else "mm"
    fixed = spec.network.dims * (network["divisor"],) if isinstance(network["sizes"], str) else network["sizes"]
    sizes = "any multiple of" if isinstance(network["sizes"], str) else "exactly"
    regions = {region.value: f"{region.value} ({name})" for region, name in REGION_NAMES.items()}
    return _README.format(
        name=spec.name,
        network=spec.network.name,
        dims=spec.network.dims,
        packages=shlex.join(packages),
        suffix=suffix,
        files=" ".join(f"{name}=CASE_{name}.{suffix}" for name in prep.modalities),
        file=network["file"],
        axes=" x ".join(network["input"]),
        modalities=", ".join(prep.modalities) + missing,
        heads="Skull-stripped brains, 0 outside" if prep.foreground == "brain" else "Whole heads",
        spacing=("x".join(f"{s:g}" for s in prep.spacing) + f" {unit}" if prep.spacing else "the scan's own")
        + (f" (a pixel is {prep.pixel_mm:g} mm wide)" if prep.pixel_mm else ""),
        foreground=prep.foreground,
        normalise=prep.normalise,
        sizes=f"{sizes} {'x'.join(map(str, fixed))}",
        patch="x".join(map(str, spec.window.patch)),
        overlap=spec.window.overlap,
        channels=", ".join(regions.get(name, name) for name in spec.output.channels),
        temperature=spec.temperature,
        activation="through a sigmoid" if spec.output.kind == "regions" else "through a softmax over the channels",
        convention=convention.name,
        labels="\n".join(f"| {v} | {TISSUE_NAMES[tissue]} |" for v, tissue in sorted(convention.values.items())),
        data="\n".join(f"- {k}: {v}" for k, v in sorted(spec.training_data.items()) if v) or "Not told.",
        sha256=spec.weights_sha256,
    )

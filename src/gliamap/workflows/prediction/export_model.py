"""A trained network for other programs: the verb ``gliamap export`` as a function."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from gliamap.config import ModelSpec
from gliamap.errors import ConfigError
from gliamap.io.atomic import atomic_files, write_json
from gliamap.io.checkpoint import read_spec
from gliamap.labels import Region, from_tissue, get_convention
from gliamap.models.shipped import resolve_model
from gliamap.nets.exported import fixes_sizes, program
from gliamap.nets.zoo import load_network, size_divisor
from gliamap.workflows.common.failures import check_free
from gliamap.workflows.prediction import exported_example
from gliamap.workflows.prediction.export_bundle import check_bundle, write_bundle
from gliamap.workflows.prediction.export_model_files import FORMATS, Format, readme
from gliamap.workflows.prediction.segment_plan import spoken_tissues

Target = Literal["onnx", "openvino", "pt2", "monai-bundle", "nnunet"]


@dataclass(frozen=True)
class ExportedModel:
    """What was made: its folder, its files in it, and remarks for the user."""

    folder: Path
    files: tuple[str, ...]
    notes: tuple[str, ...] = ()


def export_model(model: Path, out: Path, *, to: Target, overwrite: bool = False) -> ExportedModel:
    """Write a run's model, or a model folder, into the folder ``out`` for programs that have no gliamap.

    ``onnx``, ``openvino``, ``pt2``: the network in that format, ``model.json`` and ``network.json``, which say how to
    use it, ``README.md``, and ``example.py``, which segments a case and needs numpy, nibabel and the format's runtime.
    ``monai-bundle``: a bundle that ``monai.bundle`` loads, of a network that is MONAI's own. ``nnunet`` is refused.
    All files appear, or none.

    ``ConfigError`` where the model cannot be told in that form, or a package that writes it is not installed;
    ``OutputError`` where ``out`` holds such files already (unless ``overwrite``); ``FileError`` where the model is
    missing or damaged.
    """
    folder = resolve_model(model)
    spec = read_spec(folder)
    if to == "nnunet":
        raise _no_nnunet(spec)
    if to == "monai-bundle":
        check_bundle(spec)
    elif to not in FORMATS:
        raise ConfigError(f"there is no format '{to}' to export to", expected="one of " + ", ".join(get_args(Target)))
    check_free(out, _names(to), holding="an exported model", overwrite=overwrite)
    network = load_network(folder, spec)
    notes = ["the model knows phantoms alone: it says nothing about patients"] if spec.phantom_only else []
    with atomic_files(out) as part:
        if to == "monai-bundle":
            write_bundle(part, network, spec)
        else:
            graph = program(network, spec.network, patch=spec.window.patch)
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # torch's and OpenVINO's own, about their future
                    FORMATS[to].write(graph, part / FORMATS[to].file)
            except ImportError as error:
                raise _not_installed(to, error) from error
            notes += describe_network(part, spec, FORMATS[to])
        files = sorted(str(path.relative_to(part)) for path in part.rglob("*") if path.is_file())
    return ExportedModel(out, tuple(files), tuple(notes))


def _names(to: Target) -> tuple[str, ...]:
    if to == "monai-bundle":
        return ("configs/metadata.json", "configs/inference.json")
    return (FORMATS[to].file, "model.json", "network.json", "README.md", "example.py")


def describe_network(out: Path, spec: ModelSpec, written: Format) -> list[str]:
    """Write what says how to use the network; remarks on what it cannot do."""
    notes = []
    fixed = fixes_sizes(spec.network)
    if fixed:
        patch = "x".join(str(n) for n in spec.window.patch[: spec.network.dims])
        notes.append(f"the network takes patches of {patch} voxels alone, one at a time")
        spec = spec.model_copy(update={"window": spec.window.model_copy(update={"mode": "windows"})})
    convention = get_convention(spec.output.convention)
    network = {
        "file": written.file,
        "runtime": written.runtime,
        "input": ["N", "C", *"XYZ"[: spec.network.dims]],
        "sizes": list(spec.window.patch[: spec.network.dims]) if fixed else "any multiples of the divisor",
        "divisor": size_divisor(spec.network),
        "output": "logits",
        "channels": list(spec.output.channels),
        "label_values": from_tissue(spoken_tissues(spec.output), convention).tolist(),
        "tumour_values": list(convention.region_values(Region.WT)),
    }
    write_json(out / "network.json", network)
    write_json(out / "model.json", spec.model_dump(mode="json"))
    (out / "README.md").write_text(readme(spec, network), encoding="utf-8")
    (out / "example.py").write_bytes(Path(exported_example.__file__).read_bytes())
    return notes


def _not_installed(to: Target, error: ImportError) -> ConfigError:
    return ConfigError(
        f"what writes {to} is not installed",
        found=str(error),
        remedy="pip install 'gliamap[onnx]' openvino, or export --to pt2",
    )


def _no_nnunet(spec: ModelSpec) -> ConfigError:
    return ConfigError(
        f"the model {spec.name} cannot be given to nnU-Net",
        found="nnU-Net v2 reads a network from a Python pickle alone (checkpoint_final.pth), builds it from classes of "
        "its own, and prepares scans in another way: the masks would differ",
        remedy="export it --to onnx, openvino or pt2, or data for nnU-Net with gliamap export-dataset --to nnunet",
    )

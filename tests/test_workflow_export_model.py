"""Exported networks run without gliamap and give the masks that gliamap gives."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser

import make
import tiny
from gliamap.config import CleanUpConfig, ModelSpec, NetConfig, PrepConfig
from gliamap.errors import ConfigError, OutputError
from gliamap.infer.engine import TorchEngine
from gliamap.infer.predictor import Predictor
from gliamap.io.cases import read_case, read_mask_file
from gliamap.io.checkpoint import read_spec, save_checkpoint
from gliamap.labels import from_tissue, get_convention
from gliamap.models.shipped import resolve_model, shipped_model
from gliamap.nets.zoo import load_network
from gliamap.sources.detect import scan
from gliamap.workflows.prediction.export_model import export_model

ALONE = """
import runpy, sys
for name in ("gliamap", "monai", "scipy", "safetensors", *sys.argv.pop(1).split(",")):
    sys.modules[name] = None  # as if it were not installed
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""

OTHERS = {"onnx": "torch,openvino", "openvino": "torch,onnxruntime", "pt2": "openvino,onnxruntime"}
"""What each format runs without."""


def certain(folder: Path, spec: ModelSpec) -> Path:
    """A model with random weights whose answers are certain, so that rounding decides nothing."""
    tiny.write_model(folder, spec)
    model = load_network(folder, read_spec(folder))
    with torch.no_grad():
        model.head.weight.mul_(40)
    save_checkpoint(folder, model, spec)
    return folder


def by_gliamap(case: Path, model: Path) -> np.ndarray:
    folder = resolve_model(model)
    spec = read_spec(folder)
    (files,) = scan(case).cases
    predictor = Predictor(spec, TorchEngine(load_network(folder, spec), spec))
    prediction = predictor.predict(read_case(files, modalities=spec.prep.modalities, with_labels=False))
    return from_tissue(prediction.labels, get_convention(spec.output.convention))


def by_example(case: Path, exported: Path, without: str) -> np.ndarray:
    (files,) = scan(case).cases
    out = exported / "mask.nii.gz"
    words = [f"{name}={path}" for name, path in files.modalities.items()]
    command = [sys.executable, "-c", ALONE, without, str(exported / "example.py"), str(out), *words]
    subprocess.run(command, check=True, timeout=600)
    return read_mask_file(out)[0]


@pytest.mark.parametrize("to", ["pt2", "openvino", "onnx"])
def test_the_example_segments_without_gliamap(to: str, tmp_path: Path) -> None:
    model = certain(tmp_path / "model", tiny.spec())
    case = make.write_brats(tmp_path, make.case("oblique"))
    done = export_model(model, tmp_path / "out", to=to)
    assert {"model.json", "network.json", "README.md", "example.py"} < set(done.files)
    ours = by_gliamap(case, model)
    assert len(np.unique(ours)) > 2
    assert np.mean(by_example(case, done.folder, OTHERS[to]) != ours) <= 1e-3


@pytest.mark.slow
def test_the_shipped_model_finds_the_same_tumour_without_gliamap(tmp_path: Path) -> None:
    case = make.write_brats(tmp_path, tiny.phantom(kind="flipped"))
    export_model(shipped_model("phantom-demo"), tmp_path / "out", to="pt2")
    ours = by_gliamap(case, shipped_model("phantom-demo"))
    assert set(np.unique(ours)) == {0, 1, 2, 4}
    assert np.mean(by_example(case, tmp_path / "out", OTHERS["pt2"]) != ours) <= 1e-3


@pytest.mark.slow
def test_a_real_case_has_the_mask_of_the_command_without_gliamap(
    command: Callable[..., tuple[int, str, str]], tmp_path: Path, data_root: Path
) -> None:
    case = data_root / "brats21" / "BraTS2021_01481"
    model = Path(shutil.copytree(shipped_model("phantom-demo"), tmp_path / "model"))
    spec = read_spec(model)
    # What knows phantoms alone refuses patients; some of its windows are enough here.
    changes = {"phantom_only": False, "window": spec.window.model_copy(update={"overlap": 0.0})}
    (model / "model.json").write_text(spec.model_copy(update=changes).model_dump_json())
    code, _, err = command("segment", str(case), "--model", "model", "-o", "ours", "--precision", "fp32")
    assert code == 0, err
    ours = read_mask_file(tmp_path / "ours" / f"{case.name}.nii.gz")[0]
    assert ours.any()
    for to in ("openvino", "onnx"):
        code, _, err = command("export", "model", "--to", to, "-o", to)
        assert code == 0, err
        assert np.mean(by_example(case, tmp_path / to, OTHERS[to]) != ours) <= 1e-4


def test_a_bundle_is_what_monai_loads_and_segments_with(tmp_path: Path) -> None:
    model = Path(shutil.copytree(shipped_model("phantom-demo"), tmp_path / "model"))
    spec = read_spec(model)
    # No crop, so that all sizes are even: MONAI pads odd gaps one voxel further on.
    prep = spec.prep.model_copy(update={"crop_margin": 99})
    (model / "model.json").write_text(spec.model_copy(update={"prep": prep}).model_dump_json())
    case = make.write_brats(tmp_path / "scans", tiny.phantom())
    ours = by_gliamap(case, model)
    (case / f"{case.name}_t1ce.nii.gz").rename(case / f"{case.name}_t1c.nii.gz")
    done = export_model(model, tmp_path / "bundle", to="monai-bundle")
    parser = ConfigParser()
    parser.read_config(done.folder / "configs" / "inference.json")
    parser.read_meta(done.folder / "configs" / "metadata.json")
    parser["bundle_root"], parser["dataset_dir"] = str(done.folder), str(tmp_path / "scans")
    parser["device"] = "$torch.device('cpu')"
    parser["postprocessing"]["transforms"].pop()  # no files
    parser.get_parsed_content("load")
    network = parser.get_parsed_content("network")
    data = parser.get_parsed_content("dataset")[0]
    with torch.inference_mode():
        data["pred"] = parser.get_parsed_content("inferer")(data["image"][None], network)[0]
    mask = np.asarray(parser.get_parsed_content("postprocessing")(data)["pred"])
    assert set(np.unique(ours)) == {0, 1, 2, 4}
    assert mask.shape == (1, *ours.shape)
    assert np.mean(mask[0] != ours) <= 1e-3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, "the network unet is not one that MONAI builds by itself"),
        (
            {
                "network": NetConfig(dims=3, in_channels=4, out_channels=3, widths=(4, 6, 8)),
                "prep": PrepConfig(modalities=make.MODALITIES, foreground="head"),
                "clean_up": CleanUpConfig(min_size=1),
            },
            r"Found: normalised over whole heads; small parts removed \(min_size\)",
        ),
    ],
)
def test_what_monai_cannot_do_is_refused(changes: dict[str, object], message: str, tmp_path: Path) -> None:
    model = tiny.write_model(tmp_path / "model")
    spec = read_spec(model).model_copy(update=changes)
    (model / "model.json").write_text(spec.model_dump_json())
    with pytest.raises(ConfigError, match=message):
        export_model(model, tmp_path / "out", to="monai-bundle")
    assert not (tmp_path / "out").exists()


def test_nnunet_is_refused_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Python pickle"):
        export_model(tiny.write_model(tmp_path / "model"), tmp_path / "out", to="nnunet")


def test_nothing_is_overwritten_unasked(tmp_path: Path) -> None:
    export_model(shipped_model("phantom-demo"), tmp_path, to="monai-bundle")
    with pytest.raises(OutputError, match=r"configs/metadata\.json"):
        export_model(shipped_model("phantom-demo"), tmp_path, to="monai-bundle")
    export_model(shipped_model("phantom-demo"), tmp_path, to="monai-bundle", overwrite=True)


def test_the_command_says_what_it_wrote(command: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    tiny.write_model(tmp_path / "model")
    code, out, err = command("export", "model", "--to", "pt2", "-o", "out", "--json")
    assert code == 0, err
    assert json.loads(out)["files"] == ["README.md", "example.py", "model.json", "network.json", "network.pt2"]
    assert "| 4 | enhancing tumour |" in (tmp_path / "out" / "README.md").read_text()
    code, _, err = command("export", "model", "--to", "nnunet", "-o", "out")
    assert code == 2
    assert "pickle" in err

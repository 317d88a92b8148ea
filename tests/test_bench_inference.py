"""The benches of inference: the shared network, what is counted, and the tables."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import tables
import tiny
from gliamap.config import ModelSpec
from gliamap.io.checkpoint import read_spec
from gliamap.io.nifti import write_new
from gliamap.nets import zoo
from gliamap.nets.cost import count_parameters, forward_gflops
from gliamap.sources.splits import Split, write_split
from gliamap.volume import Grid

BENCH = Path(__file__).resolve().parent.parent / "bench"
SMALL = (4, 8, 8, 8, 8, 8)
PATCH = (32, 64, 32)


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """``inference_network``; what it adds to the networks is gone after the test."""
    monkeypatch.syspath_prepend(str(BENCH))
    monkeypatch.setattr(zoo, "NETWORKS", zoo.NETWORKS)
    import inference_network  # noqa: PLC0415

    return inference_network


@pytest.fixture
def bench(network: ModuleType) -> ModuleType:
    import inference  # noqa: PLC0415

    return inference


@pytest.fixture
def faithfulness(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCH))
    import faithfulness  # noqa: PLC0415

    return faithfulness


def test_the_network_is_the_one_that_nnunet_plans(network: ModuleType) -> None:
    network.register(one_pass=False)
    spec: ModelSpec = network.spec_of()
    assert count_parameters(spec.network) == 30_783_235
    assert spec.window.patch[::-1] == (128, 160, 112)
    assert not any(n % zoo.size_divisor(spec.network) for n in spec.window.patch)
    network.register(one_pass=True)
    assert zoo.size_divisor(spec.network) == 32


def test_the_same_weights_go_by_nnunets_names_with_kernels_turned(network: ModuleType) -> None:
    network.register(one_pass=False)
    model = zoo.build_network(network.spec_of(SMALL, PATCH).network)
    own = dict(model.named_parameters())
    theirs = network.renamed(own)
    assert len(theirs) == len(own) and sum(t.numel() for t in theirs.values()) == sum(t.numel() for t in own.values())
    for ours, name in (
        ("input_block.conv1.conv.weight", "encoder.stages.0.0.convs.0.conv.weight"),
        ("downsamples.3.conv2.conv.weight", "encoder.stages.4.0.convs.1.conv.weight"),
        ("bottleneck.conv1.conv.weight", "encoder.stages.5.0.convs.0.conv.weight"),
        ("upsamples.0.transp_conv.conv.weight", "decoder.transpconvs.0.weight"),
        ("upsamples.4.conv_block.conv1.conv.weight", "decoder.stages.4.convs.0.conv.weight"),
        ("output_block.conv.conv.weight", "decoder.seg_layers.4.weight"),
    ):
        assert torch.equal(theirs[name].transpose(2, 4), own[ours])
    assert torch.equal(theirs["encoder.stages.0.0.convs.1.norm.bias"], own["input_block.norm2.bias"])


def test_the_peer_must_answer_as_ours_does(network: ModuleType, tmp_path: Path) -> None:
    import inference_nnunet as peer  # noqa: PLC0415

    network.register(one_pass=False)
    spec = network.spec_of(SMALL, PATCH)
    folder, _ = network.write_both(tmp_path, spec)
    model = zoo.load_network(folder, read_spec(folder))
    before = read_spec(folder).weights_sha256
    assert network.write_both(tmp_path, spec)[0] == folder and read_spec(folder).weights_sha256 == before
    check = load_file(tmp_path / "check.safetensors")
    assert check["weight"].shape == PATCH[::-1]

    class Turned(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.own = model

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return network.turned(self.own(network.turned(image)))  # type: ignore[no-any-return]

    assert peer.difference(Turned(), check) < 1e-5
    with pytest.raises(ValueError, match="answer differently"):
        peer.difference(Turned(), check | {"answer": check["answer"] * 1.001})


def test_a_report_adds_up_stages_and_passes(network: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    import inference_process as process  # noqa: PLC0415

    report = process.Report(process.Job("t", "p", "w", "d", {"a": ["f"]}, "o", PATCH, threads=1), {})
    layer = report.counted(torch.nn.Identity(), turned=True)
    report.begin()
    for _ in range(2):
        with report.stage("network"):
            layer(torch.zeros(3, 1, 4, 5, 6))
    report.count((6, 5, 5))
    report.end()
    report.write()
    said = json.loads(capsys.readouterr().out)
    assert said["passes"] == {"6x5x4": 6, "6x5x5": 1}
    assert 0 < said["stages"]["network"] <= said["seconds"] and said["peak_mib"] > 50


def test_the_work_of_a_case_is_that_of_its_passes(bench: ModuleType) -> None:
    config = tiny.spec().network
    once = forward_gflops(config, (16, 16, 16))
    assert bench.gflops_of(config, {"16x16x16": 3, "32x16x16": 0.5}) == pytest.approx(4 * once)


def test_voxels_differ_among_those_that_either_calls_tumour(bench: ModuleType, tmp_path: Path) -> None:
    one, other = np.zeros((2, 4, 3, 2), np.uint8)
    one[0, 0], one[1, 0], other[1, 0], other[2] = 1, 2, 2, 3
    for name, mask in (("a", one), ("b", other)):
        (tmp_path / name).mkdir()
        write_new(tmp_path / name / "x.nii.gz", mask, Grid((4, 3, 2), np.eye(4)))
    # two voxels agree; two are missing and six are false
    assert bench.differing(tmp_path / "a", tmp_path / "b", ["x"]) == pytest.approx(8 / 10)


def test_every_system_has_a_title_of_its_own_and_peers_only_what_they_can(bench: ModuleType, tmp_path: Path) -> None:
    spec = tiny.spec()
    both = bench.Network(spec, tmp_path, tmp_path)
    titles = [title for title, _ in bench.systems(both, tmp_path)]
    assert len(set(titles)) == len(titles) and titles[:2] == ["nnU-Net", "nnU-Net, flips"]
    assert titles[2] == bench.ALIKE
    assert "gliamap, openvino fp32, one-pass, flips" in titles
    alone = [title for title, _ in bench.systems(bench.Network(spec, tmp_path), tmp_path)]
    assert alone == titles[3:]


def row(title: str, seconds: float, *, flips: bool = False, differ: float | None = None) -> dict[str, Any]:
    return {
        "title": title,
        "flips": flips,
        "seconds": seconds,
        "start_up_seconds": 2.0,
        "stages": {"read": 1.0, "network": seconds * 0.8, "write": 1.0},
        "gflops": 800.0,
        "peak_mib": 1500,
        "versions": {"torch": "2"},
        "commit": "c" * 40,
        "masks_differ": differ,
    }


def test_the_table_sets_systems_beside_their_peers() -> None:
    result = {
        "systems": [row("nnU-Net", 100.0), row("MONAI, the same windows", 50.0), row("ours", 10.0, differ=0.0125)],
        "network": {"name": "n", "parameters": 30_783_235, "patch": [1, 2, 3], "weights_sha256": "d" * 64},
        "matrix_peak_gflops": {"fp32": 193.2, "bf16": 400.4},
        "cases": ["a", "b"],
        "threads": 2,
        "machine": "m",
    }
    text = tables.KINDS["inference"]([("x", result), ("y", None)])
    assert "| ours | 10.0 | 2.0 | 20% | 0.80 | 100 | 1500 | 10.0x | 5.0x | 1.25% |" in text
    assert "193 GFLOP/s in fp32, 400 in bf16" in text and "30.8 M" in text and "| y | not run |" in text


def test_volumes_may_change_by_a_share_or_a_little(faithfulness: ModuleType) -> None:
    assert faithfulness.within(100.9, 100, in_ml=True) and not faithfulness.within(101.1, 100, in_ml=True)
    assert faithfulness.within(0.05, 0, in_ml=True) and not faithfulness.within(0.06, 0, in_ml=True)
    assert faithfulness.within(0, 0, in_ml=False) and not faithfulness.within(1, 0, in_ml=False)


def test_what_changed_is_told_by_way_and_region(faithfulness: ModuleType) -> None:
    fast = faithfulness.Way("openvino", "bf16", "windows")
    reference = faithfulness.REFERENCE

    def case(patient: str, dice: tuple[float, float], volume: tuple[float, float]) -> dict[str, Any]:
        names = (reference.name, fast.name)
        each = [{name: {"ET": value} for name, value in zip(names, both, strict=True)} for both in (dice, volume)]
        return {"patient_id": patient, "unit": "mm", "dice": each[0], "volume": each[1]}

    rows = [case("p", (0.8, 0.7), (10, 10.05)), case("q", (0.6, 0.62), (0.04, 0)), case("r", (1, 1), (20, 21))]
    same, changed = faithfulness.summary_of(rows, (reference, fast))
    assert (same["change"]["mean"], same["turned"], same["beyond"]) == (0, 0, 0)
    assert changed["change"]["mean"] == pytest.approx((-0.1 + 0.02) / 3)
    assert changed["largest_change"] == pytest.approx(-0.1)
    assert (changed["turned"], changed["beyond"]) == (1, 1)  # the second case's is gone, the third's grew by 5 %
    result = {"summary": [same, changed], "runs": [], "patients": 3, "commit": "c" * 40, "machine": "m"}
    result["runs"] = [{"weights_sha256": "d" * 64, "cases": 3, "network": {"name": "unet", "dims": 3}}]
    text = tables.KINDS["faithfulness"]([("x", result)])
    assert "| openvino bf16, windows | ET | 0.7733 | -0.0267" in text and "1 of 3 | 1 of 3 | 100.0%" in text


def test_every_held_out_case_is_predicted_in_every_way(
    faithfulness: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny.write_set(tmp_path / "scans", 3)
    run = tmp_path / "run"
    tiny.write_model(run / "best")
    write_split(
        run / "split.json",
        Split(train=("Phantom_00001",), val=(), test=("Phantom_00002", "Phantom_00003", "Elsewhere"), seed=0),
    )
    given = [
        str(run),
        "--data",
        str(tmp_path / "scans"),
        "--out",
        str(tmp_path / "out.json"),
        "--only",
        "openvino fp32",
    ]
    faithfulness.main(given)
    found = json.loads((tmp_path / "out.json").read_text())
    assert [case["case_id"] for case in found["by_case"]] == ["Phantom_00002", "Phantom_00003"]
    by_way = {(row["engine"], row["mode"], row["region"]): row for row in found["summary"]}
    assert len(by_way) == 3 * 3  # PyTorch's windows, OpenVINO's windows and one pass
    assert abs(by_way["openvino", "windows", "WT"]["largest_change"]) < 1e-3
    assert found["runs"][0]["cases"] == 2 and found["runs"][0]["lost"] == ["Elsewhere"]
    assert "1 of 3 held-out cases" in capsys.readouterr().err

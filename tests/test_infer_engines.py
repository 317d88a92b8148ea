"""All engines say what PyTorch says in single precision, and leave no trace but in the cache."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from gliamap.boxes import Shape
from gliamap.config import InputConfig, ModelSpec, NetConfig, OutputConfig, PrepConfig, WindowConfig
from gliamap.errors import ConfigError, FileError
from gliamap.infer import converted, engine, engines
from gliamap.infer.engine import Engine, EngineChoice, EngineName, Precision
from gliamap.infer.engines import build_engine
from gliamap.infer.openvino_engine import OpenVINOEngine, openvino
from gliamap.io.checkpoint import save_checkpoint
from gliamap.nets.network import Dims
from gliamap.nets.zoo import NETWORKS, build_network

SMALL = {
    "segresnet": (8, 16, 32),
    "mednext": (4, 8, 16),
    "unet++": (4, 4, 8, 8, 8),
    "swin-unetr": (12, 24, 48, 96, 192),
    "swin-unet": (8, 16, 32),
    "unetr": (4, 8, 16, 32, 64),
}
LARGEST: dict[str, Dims] = {name: max(network.widths) for name, network in NETWORKS.items()}
"""Every network, in 3D where it can be: in 2D it has the same layers."""
OTHERS: tuple[EngineName, ...] = ("openvino", "onnxruntime")


def make_model(
    folder: Path,
    name: str = "unet",
    dims: Dims = 3,
    *,
    kind: Literal["regions", "classes"] = "regions",
    presence: bool = False,
    temperature: float = 1.0,
) -> ModelSpec:
    """A checkpoint of a small network with random weights."""
    network = NETWORKS[name]
    widths = network.widths[dims] if network.fixed else SMALL.get(name, (4, 8, 8))
    unit = network.divisor(len(widths))
    patch: Shape = (2 * unit, unit, 1 if dims == 2 else unit)
    output = OutputConfig(kind=kind, convention="brats2023")
    inputs = InputConfig(presence=presence)
    config = NetConfig(
        name=name,
        dims=dims,
        in_channels=inputs.channels(2),
        out_channels=len(output.channels),
        widths=widths,
        deep_supervision=network.deep_supervision,
        input_size=patch if network.sized else None,
    )
    torch.manual_seed(0)
    spec = ModelSpec(
        name="test",
        network=config,
        output=output,
        prep=PrepConfig(modalities=("t1", "t1c")),
        inputs=inputs,
        window=WindowConfig(patch=patch),
        temperature=temperature,
    )
    return save_checkpoint(folder, build_network(config), spec)


def run_by(folder: Path, spec: ModelSpec, name: EngineName, precision: Precision = "fp32") -> Engine:
    return build_engine(folder, spec, EngineChoice(engine=name, precision=precision))


def patches(spec: ModelSpec, count: int = 3, *, times: Shape = (1, 1, 1)) -> NDArray[np.float32]:
    x, y, z = (n * t for n, t in zip(spec.window.patch, times, strict=True))
    made = np.random.default_rng(0).normal(size=(count, spec.network.in_channels, x, y, z)).astype(np.float32)
    if spec.inputs.presence:
        made[:, 2:] = np.array([1, 0])[:, None, None, None]
    return made


def check_same(folder: Path, spec: ModelSpec, name: EngineName, shown: NDArray[np.float32]) -> None:
    expected, found = run_by(folder, spec, "torch")(shown), run_by(folder, spec, name)(shown)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert np.ptp(expected) > 0.01  # a network that says something


class TestSameAsTorch:
    """The engines against PyTorch, network by network and output by output."""

    @pytest.mark.slow
    @pytest.mark.parametrize(("network", "dims"), LARGEST.items())
    def test_every_network_in_openvino(self, tmp_path: Path, network: str, dims: Dims) -> None:
        spec = make_model(tmp_path, network, dims)
        check_same(tmp_path, spec, "openvino", patches(spec))

    @pytest.mark.slow
    @pytest.mark.parametrize("network", ["residual-unet", "swin-unet", "deeplabv3"])
    def test_one_of_each_kind_in_onnx_runtime(self, tmp_path: Path, network: str) -> None:
        spec = make_model(tmp_path, network, LARGEST[network])
        check_same(tmp_path, spec, "onnxruntime", patches(spec))

    @pytest.mark.parametrize("kind", ["regions", "classes"])
    @pytest.mark.parametrize("dims", [2, 3])
    def test_the_usual_network_in_openvino(
        self, tmp_path: Path, dims: Dims, kind: Literal["regions", "classes"]
    ) -> None:
        spec = make_model(tmp_path, "dynunet", dims, kind=kind, presence=True, temperature=1.7)
        check_same(tmp_path, spec, "openvino", patches(spec, 5))

    def test_classes_in_onnx_runtime(self, tmp_path: Path) -> None:
        spec = make_model(tmp_path, "unet", 2, kind="classes", presence=True, temperature=1.7)
        check_same(tmp_path, spec, "onnxruntime", patches(spec))

    def test_half_precision_says_nearly_the_same(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(engine, "cpu_has_fast_bf16", lambda: True)
        spec = make_model(tmp_path)
        shown = patches(spec)
        full, half = (run_by(tmp_path, spec, "openvino", precision)(shown) for precision in ("fp32", "bf16"))
        assert np.abs(half - full).mean() < 0.02
        if engine.cpu_has_fast_bf16():
            assert not np.array_equal(half, full)


def test_sizes_may_change_from_call_to_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = make_model(tmp_path)
    made = run_by(tmp_path, spec, "openvino")
    expected = run_by(tmp_path, spec, "torch")
    compiled: list[tuple[int, ...]] = []
    compile_one = OpenVINOEngine._compile

    def counted(self: OpenVINOEngine, path: Path, shape: tuple[int, ...], precision: Precision) -> converted.Runner:
        compiled.append(shape)
        return compile_one(self, path, shape, precision)

    monkeypatch.setattr(OpenVINOEngine, "_compile", counted)
    monkeypatch.setattr(converted, "_KEPT", 2)
    a, b, c = (patches(spec, count, times=times) for count, times in ((2, (1, 1, 1)), (1, (1, 1, 1)), (1, (1, 3, 2))))
    for shown in (a, b, a, b, c, b, a):
        np.testing.assert_allclose(made(shown), expected(shown), atol=1e-4)
    assert compiled == [a.shape, b.shape, c.shape, a.shape]


@pytest.mark.parametrize("name", ["torch", "openvino"])
def test_the_engine_says_what_it_is(tmp_path: Path, name: EngineName) -> None:
    spec = make_model(tmp_path)
    made = run_by(tmp_path, spec, name)
    assert (made.name, made.precision, made.channels, made.divisor) == (name, "fp32", 3, 4)
    assert made.version[:1].isdigit()


def test_the_threads_are_those_that_torch_takes(tmp_path: Path) -> None:
    spec = make_model(tmp_path)
    torch.set_num_threads(1)
    asked: list[dict[str, object]] = []
    made = OpenVINOEngine(tmp_path, spec, "fp32")

    class Core:
        def read_model(self, path: Path) -> object:
            return openvino().Core().read_model(path)

        def compile_model(self, graph: object, device: str, settings: dict[str, object]) -> object:
            asked.append(settings)
            return openvino().Core().compile_model(graph, device, settings)

    made._core = Core()
    made(patches(spec))
    assert asked[0]["INFERENCE_NUM_THREADS"] == 1
    assert asked[0]["INFERENCE_PRECISION_HINT"] == "f32"


class TestChoice:
    """Which engine, in which precision."""

    @pytest.mark.parametrize(
        ("fast", "name", "asked", "found"),
        [
            (True, "auto", None, ("openvino", "bf16")),
            (False, "auto", None, ("openvino", "fp32")),
            (True, "openvino", "fp32", ("openvino", "fp32")),
            (True, "torch", None, ("torch", "bf16")),
            (True, "torch", "fp32", ("torch", "fp32")),
        ],
    )
    def test_on_a_processor(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        fast: bool,
        name: EngineName,
        asked: Precision | None,
        found: tuple[str, str],
    ) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        monkeypatch.setattr(engine, "cpu_has_fast_bf16", lambda: fast)
        spec = make_model(tmp_path)
        made = build_engine(tmp_path, spec, EngineChoice(engine=name, precision=asked))
        assert (made.name, made.precision) == found

    @pytest.mark.parametrize(
        ("name", "device", "asked", "expected"),
        [
            ("openvino", "cpu", "fp16", r"fp16 does not pay with openvino on this processor.*Expected: fp32\."),
            ("torch", "cpu", "bf16", r"To do: say --precision fp32, or leave --precision out"),
            ("onnxruntime", "cpu", "bf16", r"bf16 does not pay with onnxruntime"),
            ("openvino", "cuda", "fp16", r"on this processor"),
            ("torch", "mps", "bf16", r"on this GPU.*fp32 or fp16"),
        ],
    )
    def test_what_does_not_pay_is_refused(
        self, monkeypatch: pytest.MonkeyPatch, name: str, device: engine.Device, asked: Precision, expected: str
    ) -> None:
        monkeypatch.setattr(engine, "cpu_has_fast_bf16", lambda: False)
        with pytest.raises(ConfigError, match=expected):
            engines._precision(name, device, asked)

    def test_on_a_gpu_torch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        assert engine.best_device() == ("cuda", "bf16")
        assert engines._precision("torch", "cuda", "fp16") == "fp16"


def raise_(error: Exception) -> Callable[..., object]:
    def failing(*_: object, **__: object) -> object:
        raise error

    return failing


class TestTrouble:
    """What cannot be had."""

    def test_auto_does_without_openvino(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr("gliamap.infer.openvino_engine.openvino", raise_(ImportError("no libtbb")))
        spec = make_model(tmp_path)
        made = build_engine(tmp_path, spec, EngineChoice())
        assert made.name == "torch"
        assert "PyTorch runs the network: openvino cannot run the network 'unet'. Found: no libtbb." in caplog.text
        assert made(patches(spec)).shape[1] == 3

    def test_an_engine_asked_for_is_not_replaced(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("gliamap.infer.onnx_engine.onnxruntime", raise_(ImportError("No module")))
        spec = make_model(tmp_path)
        with pytest.raises(ConfigError, match=r"pip install 'gliamap\[onnx\]', or say --engine torch"):
            build_engine(tmp_path, spec, EngineChoice(engine="onnxruntime"))

    def test_a_graph_that_says_something_else_is_not_used(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(converted, "_TOLERANCE", 0.0)
        spec = make_model(tmp_path, "dynunet", kind="classes")
        with pytest.raises(ConfigError, match="apart from PyTorch's"):
            build_engine(tmp_path, spec, EngineChoice(engine="openvino"))
        assert build_engine(tmp_path, spec, EngineChoice()).name == "torch"

    @pytest.mark.parametrize("name", ["torch", "openvino", "auto"])
    def test_altered_weights_are_refused_by_all(self, tmp_path: Path, name: EngineName) -> None:
        spec = make_model(tmp_path)
        build_engine(tmp_path, spec, EngineChoice(engine=name))
        weights = tmp_path / spec.weights_file
        whole = weights.read_bytes()
        weights.write_bytes(whole[:-4] + b"\0\0\0\0")
        with pytest.raises(FileError, match=r"is not the file that model\.json describes"):
            build_engine(tmp_path, spec, EngineChoice(engine=name))
        weights.write_bytes(whole)
        other = spec.model_copy(update={"weights_sha256": "0" * 64})
        with pytest.raises(FileError, match=r"is not the file that model\.json describes"):
            build_engine(tmp_path, other, EngineChoice(engine=name))
        weights.unlink()
        with pytest.raises(FileError, match="is missing"):
            build_engine(tmp_path, spec, EngineChoice(engine=name))


@pytest.mark.parametrize("name", ["openvino", pytest.param("onnxruntime", marks=pytest.mark.slow)])
def test_nothing_is_written_at_home_and_nobody_is_called(tmp_path: Path, name: EngineName) -> None:
    folder, home, cache = tmp_path / "model", tmp_path / "home", tmp_path / "cache"
    home.mkdir()
    make_model(folder, dims=2)
    code = """
import os, sys
calls = []
sys.addaudithook(lambda event, args: calls.append(event) if event.startswith("socket.") else None)
from pathlib import Path
import numpy as np
from gliamap.infer.engine import EngineChoice
from gliamap.infer.engines import build_engine
from gliamap.io.checkpoint import read_spec
folder = Path(sys.argv[1])
spec = read_spec(folder)
engine = build_engine(folder, spec, EngineChoice(engine=sys.argv[2], precision="fp32"))
engine(np.zeros((1, 2, *spec.window.patch), np.float32))
files = [f"/proc/self/fd/{n}" for n in os.listdir("/proc/self/fd")]
sockets = [file for file in files if os.path.exists(file) and "socket" in os.readlink(file)]
# urllib3, which the ONNX exporter brings along, asks this machine for IPv6 by a bind when it is imported
print(engine.name, set(calls) - {"socket.__new__", "socket.bind"}, sockets)
"""
    known = {k: v for k, v in os.environ.items() if k not in ("CI", "ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME")}
    # The exporter imports matplotlib, which lists the fonts once.
    known |= {"HOME": str(home), "GLIAMAP_CACHE": str(cache), "MPLCONFIGDIR": str(tmp_path)}
    command = [sys.executable, "-c", code, str(folder), name]
    done = subprocess.run(command, env=known, capture_output=True, text=True, check=True)
    assert done.stdout == f"{name} set() []\n"
    assert [path for path in home.rglob("*") if path.is_file()] == []
    assert any(path.suffix in (".xml", ".onnx") for path in cache.rglob("*"))

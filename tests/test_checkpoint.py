"""Checkpoints: the same network comes back, and whatever does not belong together is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from gliamap.config import ModelSpec, NetConfig, OutputConfig, PrepConfig, WindowConfig
from gliamap.errors import FileError
from gliamap.io.checkpoint import load_weights, read_spec, save_checkpoint
from gliamap.nets.zoo import build_network


def make_spec(name: str = "dynunet", **network: object) -> ModelSpec:
    config = {"name": name, "dims": 2, "in_channels": 1, "out_channels": 3, "widths": (4, 6, 8)} | network
    return ModelSpec(
        name="test",
        network=NetConfig.model_validate(config),
        output=OutputConfig(kind="regions", convention="brats2023"),
        prep=PrepConfig(modalities=("t1c",)),
        window=WindowConfig(patch=(8, 8, 1)),
    )


def weights_of(folder: Path) -> Path:
    return next(folder.glob("weights*"))


def saved(folder: Path, spec: ModelSpec) -> torch.nn.Module:
    torch.manual_seed(0)
    model = build_network(spec.network)
    save_checkpoint(folder, model, spec)
    return model.eval()


@pytest.mark.parametrize("name", ["unet", "dynunet"])
def test_the_same_network_comes_back(tmp_path: Path, name: str) -> None:
    model = saved(tmp_path, make_spec(name))
    spec = read_spec(tmp_path)
    torch.manual_seed(1)
    other = build_network(spec.network).eval()
    x = torch.randn(2, 1, 8, 12)
    assert not torch.equal(other(x), model(x))
    load_weights(tmp_path, other, spec)
    assert torch.equal(other(x), model(x))


def test_layers_that_dynunet_registers_twice_are_stored_once(tmp_path: Path) -> None:
    spec = make_spec("dynunet", deep_supervision=True)
    model = saved(tmp_path, spec)
    names = set(load_file(weights_of(tmp_path)))
    assert len(names) == len(list(model.parameters())) < len(model.state_dict())
    other = build_network(spec.network)
    load_weights(tmp_path, other, read_spec(tmp_path))
    for (name, a), b in zip(model.state_dict().items(), other.state_dict().values(), strict=True):
        assert torch.equal(a, b), name


def test_the_spec_comes_back_sealed_with_the_hash_of_the_weights(tmp_path: Path) -> None:
    spec = make_spec()
    sealed = save_checkpoint(tmp_path, build_network(spec.network), spec)
    assert read_spec(tmp_path) == sealed
    assert sealed.weights_sha256
    assert sealed.model_copy(update={"weights_sha256": None, "weights_file": spec.weights_file}) == spec
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.json", weights_of(tmp_path).name]


def test_altered_weights_are_refused(tmp_path: Path) -> None:
    saved(tmp_path, make_spec())
    path = weights_of(tmp_path)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    spec = read_spec(tmp_path)
    with pytest.raises(FileError, match="hash differs"):
        load_weights(tmp_path, build_network(spec.network), spec)


def test_missing_weights_are_named(tmp_path: Path) -> None:
    saved(tmp_path, make_spec())
    weights_of(tmp_path).unlink()
    spec = read_spec(tmp_path)
    with pytest.raises(FileError, match=r"weights-\w+\.safetensors is missing"):
        load_weights(tmp_path, build_network(spec.network), spec)


@pytest.mark.parametrize("change", [{"name": "unet"}, {"widths": (4, 6, 10)}, {"in_channels": 2}, {"dims": 3}])
def test_weights_of_another_network_are_refused(tmp_path: Path, change: dict[str, object]) -> None:
    saved(tmp_path, make_spec())
    spec = read_spec(tmp_path)
    other = NetConfig.model_validate(spec.network.model_dump() | change)
    with pytest.raises(FileError, match="does not fit the network"):
        load_weights(tmp_path, build_network(other), spec)


def test_unsealed_rubbish_is_refused(tmp_path: Path) -> None:
    saved(tmp_path, make_spec())
    spec = read_spec(tmp_path).model_copy(update={"weights_sha256": None})
    weights_of(tmp_path).write_bytes(b"rubbish")
    with pytest.raises(FileError, match="does not fit the network"):
        load_weights(tmp_path, build_network(spec.network), spec)
    save_file({"a": torch.zeros(2)}, str(weights_of(tmp_path)))
    with pytest.raises(FileError, match="does not fit the network"):
        load_weights(tmp_path, build_network(spec.network), spec)


@pytest.mark.parametrize(
    ("change", "where"), [({"format": 2}, "format"), ({"new_field": 1}, "new_field"), ({"network": {}}, "network.dims")]
)
def test_a_spec_of_an_unknown_version_is_refused(tmp_path: Path, change: dict[str, object], where: str) -> None:
    saved(tmp_path, make_spec())
    path = tmp_path / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    wanted = rf"not describe a model of this version\. Found: {where}.*version that wrote it"
    with pytest.raises(FileError, match=wanted):
        read_spec(tmp_path)


def test_a_damaged_spec_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.json").write_text("{")
    with pytest.raises(FileError, match="not valid JSON"):
        read_spec(tmp_path)


@pytest.mark.parametrize("where", ["write_model", "file_sha256", "write_json"])
def test_an_interruption_leaves_the_checkpoint_of_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    old = saved(tmp_path, make_spec())

    def interrupted(*_: object, **_more: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(f"gliamap.io.checkpoint.{where}", interrupted)
        with pytest.raises(KeyboardInterrupt):
            save_checkpoint(tmp_path, build_network(make_spec().network), make_spec())
    spec = read_spec(tmp_path)
    model = build_network(spec.network)
    load_weights(tmp_path, model, spec)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), old.parameters(), strict=True))
    save_checkpoint(tmp_path, model, spec)
    assert len(list(tmp_path.iterdir())) == 2  # and nothing of the interrupted one

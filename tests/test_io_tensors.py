"""Tensor files appear whole or not at all, and a full disk is said."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, load_model
from torch import nn

from gliamap.errors import OutputError
from gliamap.io import atomic
from gliamap.io.tensors import write_model, write_tensors


def test_tensors_come_back(tmp_path: Path) -> None:
    path = tmp_path / "new" / "state.safetensors"
    write_tensors(path, {"a": torch.arange(3), "b": torch.tensor([[0.5]])}, {"step": "3"})
    back = load_file(path)
    assert back["a"].tolist() == [0, 1, 2] and back["b"].tolist() == [[0.5]]
    assert list(path.parent.iterdir()) == [path]


def test_the_file_may_be_read_by_whom_the_users_files_may(tmp_path: Path) -> None:
    (tmp_path / "other").touch()
    write_tensors(tmp_path / "a.safetensors", {"a": torch.zeros(1)}, {})
    assert (tmp_path / "a.safetensors").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_layers_registered_twice_come_back(tmp_path: Path) -> None:
    layer = nn.Linear(2, 2)
    write_model(tmp_path / "w.safetensors", nn.ModuleList([layer, layer]))
    other = nn.Linear(2, 2)
    load_model(nn.ModuleList([other, other]), str(tmp_path / "w.safetensors"))
    assert torch.equal(layer.weight, other.weight)


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), SafetensorError("No space left on device")])
def test_a_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    path = tmp_path / "state.safetensors"
    write_tensors(path, {"a": torch.zeros(1)}, {})

    def full(_: object, part: str, **_more: object) -> None:
        Path(part).write_bytes(b"half")
        raise error

    monkeypatch.setattr("gliamap.io.tensors.save_file", full)
    with pytest.raises(OutputError, match=r"state\.safetensors cannot be written\. Found: No space left"):
        write_tensors(path, {"a": torch.ones(1)}, {})
    assert load_file(path)["a"].tolist() == [0] and list(tmp_path.iterdir()) == [path]


def test_the_content_is_on_the_disk_before_its_name_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a power failure could leave the name, and nothing in it."""
    path = tmp_path / "state.safetensors"
    done: list[str] = []
    flush, replace = os.fsync, Path.replace

    def noting_flush(descriptor: int) -> None:
        done.append("folder" if Path(f"/proc/self/fd/{descriptor}").readlink() == tmp_path else "content")
        flush(descriptor)

    def noting_replace(part: Path, target: Path) -> Path:
        done.append("name")
        return replace(part, target)

    monkeypatch.setattr(atomic.os, "fsync", noting_flush)
    monkeypatch.setattr(Path, "replace", noting_replace)
    write_tensors(path, {"a": torch.zeros(1)}, {})
    assert done == ["content", "name", "folder"]
    done.clear()
    atomic.write_json(tmp_path / "a.json", {}, durable=True)
    assert done == ["content", "name", "folder"]
    done.clear()
    atomic.write_json(tmp_path / "b.json", {})
    assert done == ["name"]

"""The verb 'demo', on a phantom small enough to be quick; the shipped one in full among the slow tests."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import pytest

import tiny
from gliamap.errors import ConfigError, OutputError
from gliamap.io.checkpoint import read_spec
from gliamap.labels import Region
from gliamap.models.shipped import PHANTOM_DEMO, shipped_model
from gliamap.workflows.demo import demo

SMALL = ((24, 28, 26),)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder to demonstrate in; phantom and model are tiny."""
    monkeypatch.setattr("gliamap.sources.phantom.PHANTOM_SHAPES", SMALL)
    model = tiny.write_model(tmp_path / "model", tiny.spec(phantom_only=True))
    monkeypatch.setattr("gliamap.workflows.demo.shipped_model", lambda _name: model)
    return tmp_path / "demo"


def test_everything_to_look_at_is_there(small: Path) -> None:
    seen: list[tuple[float, int, str]] = []
    done = demo(small, progress=lambda *step: seen.append(step))
    case = [f"Phantom_00001{s}" for s in (".json", ".nii.gz", "_mosaic.png")]
    assert tiny.files_in(small / "masks") == [*case, "labels.ctbl", "labels.label", "segment.json"]
    assert done.mask == small / "masks" / "Phantom_00001.nii.gz"
    assert nib.Nifti1Image.from_filename(done.mask).shape == SMALL[0]
    assert done.picture.read_bytes().startswith(b"\x89PNG")
    assert "Against the reference" in done.report.read_text() and "phantoms only" in done.report.read_text()
    made = ["comparison.png", "masks", "report.html", "scans", "scores"]
    assert sorted(path.name for path in small.iterdir()) == made
    assert done.scores.cases == 1 and done.scores.regions.keys() == set(Region)
    assert done.summary["case_id"] == "Phantom_00001" and done.summary["model"]["phantom_only"]
    assert [step[0] for step in seen] == sorted(step[0] for step in seen)
    names = list(dict.fromkeys(step[2] for step in seen))
    assert names == ["making a phantom", "segmenting", "scoring", "drawing", ""]


def test_an_earlier_demonstration_is_replaced(small: Path) -> None:
    first = demo(small)
    second = demo(small)
    assert first.summary["regions"] == second.summary["regions"]


def test_other_folders_are_left_alone(small: Path) -> None:
    small.mkdir()
    (small / "thesis.tex").write_text("mine")
    with pytest.raises(OutputError, match="something else than a demonstration"):
        demo(small)
    assert tiny.files_in(small) == ["thesis.tex"]
    with pytest.raises(OutputError, match="is a file"):
        demo(small / "thesis.tex")


def test_without_its_model_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gliamap.workflows.demo.PHANTOM_DEMO", "no-such-model")
    with pytest.raises(ConfigError, match="no shipped model called 'no-such-model'"):
        demo(tmp_path / "demo")
    assert not (tmp_path / "demo").exists()


def test_the_shipped_model_says_what_it_is() -> None:
    spec = read_spec(shipped_model(PHANTOM_DEMO))
    assert spec.phantom_only and spec.output.convention == "brats2021"


@pytest.mark.slow
def test_the_shipped_model_finds_the_tumour(tmp_path: Path) -> None:
    done = demo(tmp_path / "demo")
    dice = {region: found.figures["dice"].mean for region, found in done.scores.regions.items()}
    assert dice[Region.WT] is not None and dice[Region.WT] > 0.75
    assert all(value is not None and value > 0.5 for value in dice.values())

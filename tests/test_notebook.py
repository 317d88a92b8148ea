"""notebooks/quickstart.ipynb runs from its first cell to its last in a real kernel, and is clean as it is committed."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from IPython.core.inputtransformer2 import TransformerManager
from nbclient import NotebookClient

import tiny
from gliamap.io.atomic import read_json

NOTEBOOK = Path(__file__).resolve().parent.parent / "notebooks" / "quickstart.ipynb"


def read() -> Any:
    """The notebook as it is committed."""
    return nbformat.read(NOTEBOOK, as_version=4)


def cell(notebook: Any, name: str) -> Any:
    """The cell with this id."""
    return next(one for one in notebook.cells if one.id == name)


@pytest.fixture
def execute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run the notebook in an empty folder with these lines added to its settings; the notebook with its outputs.

    Nothing is written into the home folder.
    """
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "jupyter"))
    folder = tmp_path / "empty"
    folder.mkdir()

    def run(settings: str) -> Any:
        notebook = read()
        cell(notebook, "settings").source += f"\n{settings}"
        where = {"metadata": {"path": str(folder)}}
        NotebookClient(notebook, kernel_name="python3", timeout=600, resources=where).execute()
        return notebook

    return run


def printed(notebook: Any, name: str) -> str:
    """What the cell printed."""
    return "".join(out.text for out in cell(notebook, name).outputs if out.output_type == "stream")


def shown(notebook: Any, name: str) -> set[str]:
    """The kinds of what the cell shows."""
    return {kind for out in cell(notebook, name).outputs for kind in out.get("data", ())}


def test_it_is_committed_without_outputs_and_without_traces_of_a_machine() -> None:
    notebook = read()
    nbformat.validate(notebook)
    code = [one for one in notebook.cells if one.cell_type == "code"]
    assert [one.id for one in code if one.outputs or one.execution_count is not None] == []
    assert notebook.metadata.keys() == {"kernelspec", "language_info"}
    text = NOTEBOOK.read_text(encoding="utf-8")
    assert re.findall(r"/(?:home|root|tmp|work|Users|content)\b|localhost|[A-Z]:\\\\", text) == []


def test_every_cell_of_code_follows_prose_that_explains_it() -> None:
    notebook = read()
    kinds = [one.cell_type for one in notebook.cells]
    assert kinds[0] == kinds[-1] == "markdown"
    assert "code code code" not in " ".join(kinds)
    prose = " ".join(one.source for one in notebook.cells if one.cell_type == "markdown")
    for word in (
        "whole tumour",
        "tumour core",
        "enhancing tumour",
        "by patient",
        "Dice",
        "HD95",
        "not a medical device",
    ):
        assert word in prose


@pytest.mark.parametrize(("importable", "installed"), [(True, []), (False, ['--quiet "$PACKAGE"'])])
def test_it_installs_gliamap_only_where_there_is_none(
    monkeypatch: pytest.MonkeyPatch, importable: bool, installed: list[str]
) -> None:
    asked: list[str] = []

    class Shell:
        def run_line_magic(self, name: str, line: str, **_: int) -> None:
            assert name == "pip"
            asked.append(line.removeprefix("install "))

    monkeypatch.setattr("importlib.util.find_spec", lambda name: name == "gliamap" if importable else None)
    source = TransformerManager().transform_cell(cell(read(), "install").source)
    exec(compile(ast.parse(source), "install", "exec"), {"get_ipython": Shell})
    assert asked == installed


def test_it_runs_on_a_folder_of_the_reader_s_own(tmp_path: Path, execute: Any) -> None:
    own = tiny.write_set(tmp_path / "own", 5)
    done = execute(f"DATA, STEPS = Path({str(own)!r}), 4")
    assert "5 cases, 5 with a mask; modalities: t1, t1c, t2, flair" in printed(done, "data")
    assert printed(done, "prepare") == "5 cases in quickstart/store\n"
    assert "3 cases to learn from, 1 to validate on, 1 to test on" in printed(done, "train")
    assert "image/png" in shown(done, "train")
    assert "application/vnd.jupyter.widget-view+json" in shown(done, "look")
    assert "text/html" in shown(done, "evaluate")
    assert "image/png" in shown(done, "gallery")
    noise = [out.text for one in done.cells for out in one.get("outputs", ()) if out.get("name") == "stderr"]
    assert noise == []


@pytest.mark.slow
def test_it_learns_to_segment_phantoms_and_can_be_run_again(tmp_path: Path, execute: Any) -> None:
    execute("")
    scores = read_json(tmp_path / "empty" / "quickstart" / "scores" / "scores.json")
    regions = scores["summary"]["regions"]
    assert all(regions[name]["figures"]["dice"]["mean"] > 0.8 for name in ("WT", "TC", "ET")), regions
    again = execute("")
    assert "image/png" in shown(again, "train")

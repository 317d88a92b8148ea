"""What a comparison leaves: every file, whole or not at all, over what was there before."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from comparisons import FIGSHARE, MSD, arm, comparison, four
from gliamap.comparison.nouns import from_json
from gliamap.errors import OutputError
from gliamap.workflows.studies.compare_files import write_comparison


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_every_file_is_written_and_written_again(tmp_path: Path) -> None:
    write_comparison(tmp_path, comparison(arm("other")), runs=())
    write_comparison(tmp_path, four(), runs=())
    assert names(tmp_path) == [
        "cases.csv", "comparison.csv", "comparison.html", "comparison.json", "comparison.md",
        "figures/dice-WT.png", "figures/gain-WT.png", "figures/pareto-WT.png",
    ]  # fmt: skip
    assert from_json(json.loads((tmp_path / "comparison.json").read_text())) == four()


def test_each_of_several_data_sets_has_a_folder_of_figures(tmp_path: Path) -> None:
    found = comparison(arm("a"), arm("a", data=FIGSHARE.name), data=(MSD, FIGSHARE))
    write_comparison(tmp_path, found, runs=())
    assert [name for name in names(tmp_path) if "gain" in name] == ["figures/1/gain-WT.png", "figures/2/gain-WT.png"]


def test_what_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(OutputError):
        write_comparison(tmp_path / "out", four(), runs=())

"""The verb report in the terminal, of a case."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import make
import tiny

Command = Callable[..., tuple[int, str, str]]
CASE = "Phantom_00001"


@pytest.fixture
def words(tmp_path: Path) -> tuple[str, ...]:
    """A case and its own mask as prediction."""
    folder = make.write_brats(tmp_path / "scans", tiny.phantom())
    return (str(folder), "--prediction", str(folder / f"{CASE}_seg.nii.gz"))


def test_it_says_volumes_and_where_the_page_is(command: Command, words: tuple[str, ...], tmp_path: Path) -> None:
    code, said, _ = command("report", *words, "-o", "page.html", "--pdf", "sheet.pdf")
    assert code == 0
    assert "Volumes and diameters" in said and "whole tumour (WT)" in said
    assert "page.html" in said and "sheet.pdf" in said
    assert (tmp_path / "page.html").is_file() and (tmp_path / "sheet.pdf").is_file()


def test_as_json(command: Command, words: tuple[str, ...]) -> None:
    code, said, _ = command("report", *words, "--reference", words[-1], "--json")
    found = json.loads(said)
    assert code == 0 and found["page"] == "report.html" and found["pdf"] is None
    assert found["scores"]["WT"]["dice"] == 1.0
    assert found["measures"]["regions"]["WT"]["volume"] == found["reference"]["regions"]["WT"]["volume"]


def test_what_is_there_is_kept(command: Command, words: tuple[str, ...]) -> None:
    assert command("report", *words)[0] == 0
    code, _, aside = command("report", *words)
    assert code == 2 and "report.html is there already" in aside and "--overwrite" in aside
    assert command("report", *words, "--overwrite")[0] == 0


@pytest.mark.parametrize("extra", [["another"], ["--prediction", "second.nii.gz"]], ids=["cases", "masks"])
def test_one_case_and_one_mask(command: Command, words: tuple[str, ...], extra: list[str]) -> None:
    code, _, aside = command("report", *words, *extra)
    assert code == 2 and "--follow-up" in aside


def test_a_folder_without_a_run_is_said_to_be_none(command: Command, words: tuple[str, ...]) -> None:
    code, _, aside = command("report", words[0], "--scores", "scores")
    assert code == 2 and "segment.json does not exist" in aside


@pytest.mark.parametrize("option", [["--dates", "2020-01-01"], ["--scores", "scores"], ["--scans", "scans"]])
def test_options_of_the_others_are_refused(command: Command, words: tuple[str, ...], option: list[str]) -> None:
    code, _, aside = command("report", *words, *option)
    assert code == 2 and f"{option[0]} does not go with the report of a case" in aside

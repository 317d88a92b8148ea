"""Bad input: every way of tests/ways.py goes through the command line and ends as the table says.

``python tests/test_bad_input.py`` does all of them and prints them as a table.
"""

from __future__ import annotations

import io
import logging
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import pytest

import make
import tiny
from damage import CASE, SEG, time_limit
from gliamap.cli import app
from gliamap.config import PrepConfig
from ways import WAYS, Way

MAX_SECONDS = 10.0
MAX_WORDS = 200  # characters of a message in the table


def make_fixtures(root: Path) -> None:
    """One case of BraTS 2021 with its prediction, two slices with masks, a store, and models for all of them."""
    one = tiny.phantom(1, case_id=CASE)
    make.write_brats(root / "scans", one)
    make.write_brats(root / "head-of", tiny.with_skull(tiny.phantom(1, case_id=f"{CASE}-head")))
    (root / "head-of" / f"{CASE}-head").rename(root / "head")
    (root / "head-of").rmdir()
    (root / "masks").mkdir()
    shutil.copyfile(root / SEG, root / f"masks/{CASE}.nii.gz")
    make.write_pairs(root / "pairs", 2)
    tiny.write_model(root / "model")
    tiny.write_model(root / "model-2d", tiny.slice_spec())
    tiny.write_model(root / "model-phantom", tiny.spec(phantom_only=True))
    tiny.write_model(root / "model-head", tiny.spec(prep=PrepConfig(modalities=make.MODALITIES, foreground="head")))
    net = tiny.spec().network.model_copy(update={"in_channels": 1})
    tiny.write_model(
        root / "model-t1c", tiny.spec(network=net, prep=PrepConfig(modalities=("t1c",), foreground="head"))
    )
    for visit in range(2):
        make.write_brats(root / "twice", tiny.phantom(1, case_id=f"BraTS-GLI-00001-00{visit}"), convention="brats2023")
    run("prepare scans -o store", root)
    run("prepare twice -o store-twice", root)


@dataclass(frozen=True)
class Ran:
    """What a command left: its exit code and all that it wrote."""

    code: int
    text: str


def run(line: str, work: Path) -> Ran:
    """Run the command in this process, in the folder ``work``, with a wide terminal."""
    written = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")  # as strict as a terminal
    argv = ["gliamap", *line.split()]
    with (
        chdir(work),
        mock.patch.object(sys, "argv", argv),
        mock.patch.dict(os.environ, {"COLUMNS": "500"}),
        redirect_stdout(written),
        redirect_stderr(written),
    ):
        try:
            app.main()
            code = 0
        except SystemExit as stop:
            code = int(stop.code or 0)
    written.seek(0)
    return Ran(code, written.read())


def state(work: Path) -> dict[str, bytes | str]:
    """Every file and folder under ``work`` but ``out``, with its content."""
    found: dict[str, bytes | str] = {}
    for path in sorted(work.rglob("*")):
        name = str(path.relative_to(work))
        if name != "out" and not name.startswith("out/"):
            plain = path.is_file() and not path.is_symlink()
            found[name] = path.read_bytes() if plain else "link" if path.is_symlink() else "other"
    return found


def files_left(out: Path) -> list[str]:
    """What lies under ``out``."""
    return tiny.files_in(out) if out.is_dir() else []


def go(way: Way, fixtures: Path, work: Path) -> Ran:
    """Damage a copy of the fixtures in ``work`` and run the command there; ``AssertionError`` where it ends wrongly."""
    shutil.copytree(fixtures, work, dirs_exist_ok=True)
    way.damage(work)
    before = state(work)
    logging.disable()
    with way.during(), time_limit(MAX_SECONDS):
        ran = run(way.line, work)
    logging.disable(logging.NOTSET)
    assert ran.code == way.code, ran
    assert "Traceback" not in ran.text and "unexpected" not in ran.text, ran
    for part in way.says:
        assert part in ran.text, ran
    if way.code == 2:
        assert ran.text.startswith("error     ") and re.search(r"\n(expected |to do    ) ", ran.text), ran
    if way.code == 1:
        assert "to do: " in ran.text.lower(), ran
    assert state(work) == before
    left = files_left(work / "out")
    if way.code != 2:  # masks come with these, those of volumes with the last two
        left = [name for name in left if name not in ("segment.json", "labels.ctbl", "labels.label")]
    patterns = [re.escape(name).replace(r"\*", ".*") for name in way.leaves]
    assert all(any(re.fullmatch(p, name, re.DOTALL) for p in patterns) for name in left), left
    assert all(any(re.fullmatch(p, name, re.DOTALL) for name in left) for p in patterns), left
    way.proof(work)
    return ran


@pytest.fixture(scope="module")
def fixtures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("fixtures")
    make_fixtures(root)
    return root


def test_the_docs_list_every_way() -> None:
    text = (Path(__file__).parent.parent / "docs" / "how-to" / "bad-input.md").read_text(encoding="utf-8")
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")][2:]
    assert [(row[0], int(row[-1])) for row in rows] == [(way.name, way.code) for way in WAYS]
    assert f"{len(WAYS)} ways" in text


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_bad_input(way: Way, fixtures: Path, tmp_path: Path) -> None:
    go(way, fixtures, tmp_path / "work")


def test_there_are_enough_ways_and_no_name_occurs_twice() -> None:
    names = [way.name for way in WAYS]
    assert len(names) == len(set(names)) and sum(way.code != 0 for way in WAYS) >= 45


def table() -> Iterator[str]:
    """The lines of a markdown table: the damage, what gliamap says, the exit code."""
    yield "| Damage | gliamap says | Exit code |"
    yield "| --- | --- | ---: |"
    with tempfile.TemporaryDirectory() as name:
        fixtures = Path(name) / "fixtures"
        fixtures.mkdir()
        make_fixtures(fixtures)
        for number, way in enumerate(WAYS):
            work = Path(name) / str(number)
            ran = go(way, fixtures, work)
            yield f"| {way.name} | {first_words(way, ran).replace(f'{work}/', '')} | {ran.code} |"
            shutil.rmtree(work)


def first_words(way: Way, ran: Ran) -> str:
    """The message in a line: what was wrong and what was found; of what is accepted, the remark."""
    lines = ran.text.splitlines()
    if way.code == 0:
        text = "accepted" + "".join(f", says '{part}'" for part in way.says[:1])
    elif way.code == 1:
        text = next(line.partition(": ")[2] for line in lines if line.startswith("  ")).partition(" Expected: ")[0]
    else:
        found = (line.removeprefix("found     ") for line in lines if line.startswith("found     "))
        text = "; found ".join((lines[0].removeprefix("error     "), *found))
    text = re.sub(r"a{50,}", "a...", text).replace("|", "\\|")
    return text if len(text) <= MAX_WORDS else text[: MAX_WORDS - 3] + "..."


if __name__ == "__main__":
    sys.stdout.writelines(f"{row}\n" for row in table())

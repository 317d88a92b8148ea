"""README and docs say nothing that is not so: their commands run, their options, links and tables are true."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.main import get_command

import tiny
from gliamap.checks.findings import RULES
from gliamap.cli.app import app
from gliamap.io.cases import read_mask_file, write_mask
from gliamap.io.images import write_mask as write_image
from gliamap.labels import CONVENTIONS, Convention, Region, region_mask
from gliamap.sources.phantom import make_phantom, write_phantoms

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
HOWTO = ROOT / "docs" / "how-to" / "start.md"
PICTURES = ROOT / "docs" / "pictures"
TEXTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]

VERBS: dict[str, Any] = vars(get_command(app))["commands"]
"""The commands by name, as click has them (of which typer may bring its own copy, hence no type)."""

SMALL = "--steps 4 --widths 4,8,16"
"""Added to every ``gliamap train`` of the texts when the slow test runs it: the last value of an option counts."""

FORBIDDEN = ("/work/", "/tmp/", "pypi.org", "pythonhosted", "download.pytorch.org", "localhost")


def blocks(text: Path, language: str) -> list[str]:
    """The fenced blocks of ``language`` (a pattern), in order."""
    every = re.findall(r"^```(\w*)\n(.*?)^```", text.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return [body for tag, body in every if re.fullmatch(language, tag)]


def spans(text: Path) -> list[str]:
    """What stands between single backticks outside fenced blocks."""
    prose = re.sub(r"^```.*?^```", "", text.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return re.findall(r"`([^`\n]+)`", prose)


def options_of(verb: str) -> set[str]:
    """The options of a verb as they are typed."""
    return {"--help", "-h"} | {name for parameter in VERBS[verb].params for name in parameter.opts}


def cell_list(values: tuple[int, ...]) -> str:
    return ", ".join(map(str, values)) or "-"


def label_row(convention: Convention) -> str:
    """The row of the README's table of labels."""
    values = ", ".join(f"{value} {tissue.name}" for value, tissue in sorted(convention.values.items()))
    regions = " | ".join(cell_list(convention.region_values(region)) for region in Region)
    return f"| `{convention.name}` | {convention.title} | {values} | {regions} |"


def run(script: str, folder: Path) -> str:
    """Run a shell script, or Python where it begins with an import; its standard output. Any failure fails the test."""
    is_python = script.startswith(("from ", "import "))
    program = [sys.executable, "-c", script] if is_python else ["bash", "-euo", "pipefail", "-c", script]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        program, cwd=folder, env=os.environ | {"PATH": path}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def small(script: str) -> str:
    """The script with tiny trainings."""
    return re.sub(r"^(gliamap train .*)$", rf"\1 {SMALL}", script, flags=re.MULTILINE)


def test_the_readme_s_first_example_and_its_python_run_as_they_stand(tmp_path: Path) -> None:
    example = blocks(README, "sh")[0]
    assert [line.split()[1] for line in example.splitlines()] == ["phantom", "prepare", "train", "segment", "evaluate"]
    printed = run(example, tmp_path)
    for words in (
        "6 phantoms in phantoms",
        "6 cases (6 patients",
        "trained on 4 cases",
        "scores of every case in scores",
    ):
        assert words in printed
    left = ["store/store.json", "run/best/model.json", "run/last/model.json", "run/log.csv", "run/curves.png"]
    left += ["run/split.json", "run/run.json", "scores/scores.csv", "scores/scores.json"]
    (mask,) = (tmp_path / "masks").glob("*.nii.gz")
    case = mask.name.removesuffix(".nii.gz")
    left += [f"masks/{case}.json", f"masks/{case}_mosaic.png"]
    assert [name for name in left if not (tmp_path / name).is_file()] == []
    (python,) = blocks(README, "python")
    regions = run(python, tmp_path)
    assert "'WT':" in regions
    assert regions.count("Phantom_") == 5  # the missing ones that the text speaks of


@pytest.mark.slow
def test_the_readme_s_way_for_real_data_runs(tmp_path: Path) -> None:
    write_phantoms(tmp_path / "BraTS2021", 6)
    run(small(blocks(README, "sh")[1]), tmp_path)
    assert (tmp_path / "scores" / "scores.json").is_file()


@pytest.mark.slow
def test_the_recipes_for_other_programs_run(tmp_path: Path) -> None:
    write_phantoms(tmp_path / "BraTS2021", 6)
    for recipe in blocks(HOWTO.parent / "labels.md", "sh"):
        run(recipe, tmp_path)
    left = ("masks-back/labels.ctbl", "nnUNet_raw/Dataset501_Glioma/dataset.json", "folds/fold2.json")
    assert [name for name in left if not (tmp_path / name).exists()] == []


@pytest.mark.slow
def test_the_recipes_run_one_after_the_other(tmp_path: Path) -> None:
    write_phantoms(tmp_path / "BraTS2021", 6)
    write_slices(tmp_path / "slices")
    write_own(tmp_path / "own", tmp_path / "BraTS2021")
    for recipe in blocks(HOWTO, "sh|python"):
        run(small(recipe), tmp_path)
    left = ("scores/gallery.png", "scores-slices/scores.json", "scores-test/scores.json", "store-own/store.json")
    assert [name for name in (*left, "run-small/best") if not (tmp_path / name).exists()] == []


def write_slices(out: Path) -> None:
    """Slices of phantoms in a skull, with binary masks, as ``images/ masks/``."""
    for folder in ("images", "masks"):
        (out / folder).mkdir(parents=True)
    for seed in range(6):
        case = tiny.with_skull(make_phantom(seed, (40, 44, 36)))
        assert case.labels is not None
        picture = 255 * case.image[1] / case.image[1].max()
        for z in (22, 28, 34):
            name = f"{100 * seed + z}.png"
            write_image(out / "images" / name, picture[..., z : z + 1].astype(np.uint8))
            write_image(out / "masks" / name, region_mask(case.labels[..., z : z + 1], Region.WT).astype(np.uint8))


def write_own(out: Path, phantoms: Path) -> None:
    """Three cases as the recipe for own scans names them: two modalities, binary masks, a manifest."""
    for name, source in zip(("anna", "anna2", "bert"), sorted(phantoms.glob("Phantom_*")), strict=False):
        (out / name).mkdir(parents=True)
        for part in ("t1ce", "flair"):
            (out / name / f"{name}_{part}.nii.gz").write_bytes((source / f"{source.name}_{part}.nii.gz").read_bytes())
        mask = source / f"{source.name}_seg.nii.gz"
        write_mask(out / name / f"{name}_seg.nii.gz", (read_mask_file(mask)[0] > 0).astype(np.uint8), mask)
    (manifest,) = (block for block in blocks(HOWTO, "") if block.startswith("case,patient"))
    (out / "manifest.csv").write_text(manifest)


@pytest.mark.parametrize("text", TEXTS, ids=lambda path: path.name)
def test_every_command_in_a_block_is_one_that_gliamap_takes(text: Path) -> None:
    for line in filter(None, "".join(blocks(text, "sh")).splitlines()):
        program, verb, *arguments = shlex.split(line, comments=True)
        assert program == "gliamap", line
        VERBS[verb].make_context(verb, arguments)  # raises on an unknown option, a wrong value, a missing argument


@pytest.mark.parametrize("text", TEXTS, ids=lambda path: path.name)
def test_every_verb_option_and_target_named_in_passing_exists(text: Path) -> None:
    anywhere = set().union(*(options_of(verb) for verb in VERBS))
    targets = set(re.findall(r"^([a-z-]+%?):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for span in spans(text):
        program, *words = span.split()
        if program == "gliamap" and words and not words[0].startswith("-"):
            assert words[0] in VERBS, span
            assert {word for word in words if word.startswith("-")} <= options_of(words[0]), span
        elif program.startswith("--"):
            assert program in anywhere, span
        elif "make" in (program, *words):
            named = [re.sub("^model-.+", "model-%", word) for word in span.split("make", 1)[1].split()[:1]]
            assert named in [[target] for target in targets] + [[]], span


def anchors(text: Path) -> set[str]:
    """The places in a text that a link can name."""
    headings = re.findall(r"^#+ (.+)$", text.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("text", TEXTS, ids=lambda path: path.name)
def test_every_relative_link_and_picture_exists(text: Path) -> None:
    to_draw = []
    for target in re.findall(r"\]\(([^)\s]+)\)", text.read_text(encoding="utf-8")):
        if target.startswith("http"):
            continue
        name, _, anchor = target.partition("#")
        path = (text.parent / name).resolve() if name else text
        if path.parent == PICTURES and not PICTURES.is_dir():
            to_draw.append(path.name)
            continue
        assert path.exists(), target
        assert not anchor or anchor in anchors(path), target
    if to_draw:
        pytest.skip(f"the pictures of the docs are not drawn yet: {', '.join(to_draw)}")


def test_the_table_of_labels_is_the_code_s() -> None:
    text = README.read_text(encoding="utf-8")
    table = text.split("| Name | Data sets |", 1)[1].split("\n\n", 1)[0].splitlines()[2:]
    assert table == [label_row(convention) for convention in CONVENTIONS.values()]


def test_the_table_of_rules_is_the_code_s() -> None:
    text = (HOWTO.parent / "check.md").read_text(encoding="utf-8")
    table = text.split("| Level | Rule |", 1)[1].split("\n\n", 1)[0].splitlines()[2:]
    assert table == [f"| {r.level} | `{r.code}` | {r.title} | {r.remedy} |" for r in RULES.values()]


@pytest.mark.parametrize("text", TEXTS, ids=lambda path: path.name)
def test_no_text_names_a_place_on_a_machine_or_a_registry(text: Path) -> None:
    content = text.read_text(encoding="utf-8")
    assert [word for word in FORBIDDEN if word in content] == []

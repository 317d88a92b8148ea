"""The verb 'plan': facts from a store, a recipe in a file, a training that starts from it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import make
import tiny
from gliamap.errors import ConfigError, FileError, OutputError
from gliamap.io.store import read_case, read_store
from gliamap.recipes.facts import Tails
from gliamap.recipes.named import RECIPES, find_recipe
from gliamap.recipes.recipe import Recipe
from gliamap.workflows.common import memory as memory_module
from gliamap.workflows.common.memory import memory_at_hand, parse_memory
from gliamap.workflows.data.prepare import PrepareOptions, prepare
from gliamap.workflows.training import train as train_module
from gliamap.workflows.training.plan import PlanOptions, gather_facts, look_at, plan

Run = Callable[..., tuple[int, str, str]]
SMALL = PlanOptions(memory="4GB")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three prepared phantoms."""
    return tiny.write_store(tmp_path_factory.mktemp("phantoms"), 3)


@pytest.fixture
def run(command: Run) -> Run:
    """A line of the command in this process; exit code, standard output, standard error."""
    return lambda line: command(*line.split())


def test_facts_are_those_of_the_prepared_cases(store: Path) -> None:
    info = read_store(store)
    facts = gather_facts(store, info, Recipe())
    assert [case.shape for case in facts.cases] == [entry.shape for entry in info.cases]
    assert facts.outputs == 3 and facts.unit == "mm" and not facts.slices and not facts.spacings_differ
    for case, entry in zip(facts.cases, info.cases, strict=True):
        index = read_case(store, entry.case_id).index
        assert index is not None
        largest = max(index.lesions, key=lambda lesion: lesion.voxels)
        assert (case.lesion, case.lesion_size) == (largest.box.shape, largest.size)
        assert case.tails is not None and 1 < case.tails.farthest < 20 and 0.2 < case.tails.spread < 2
    assert gather_facts(store, info, Recipe(output="classes")).outputs == 4
    assert gather_facts(store, info, Recipe(output="binary")).outputs == 1
    assert gather_facts(store, info, Recipe()) == facts  # looked at with a generator of the case's name


def test_axes_are_those_of_the_prepared_grid(tmp_path: Path) -> None:
    make.write_brats(tmp_path / "scans", replace(make.case("flipped", seed=1), case_id="BraTS2021_00001"))
    prepare([tmp_path / "scans"], tmp_path / "store")
    facts = gather_facts(tmp_path / "store", read_store(tmp_path / "store"), Recipe())
    assert facts.spacing == (1.2, 0.9, 2.0)  # in the file: 2.0, 0.9, 1.2, of which the first runs along Z


def test_tails_by_eye(store: Path) -> None:
    case = read_case(store, read_store(store).cases[0].case_id)
    image = np.zeros((2, 40, 40, 40), np.float16)
    assert look_at(replace(case, image=image), brain=True) is None
    assert look_at(replace(case, image=image), brain=False) is None
    image[1] = np.where(np.arange(40) % 2, 1, -1)
    image[1, ..., :20] *= 3
    assert look_at(replace(case, image=image), brain=True) == Tails(3.0, 3.0)
    image[0] = np.where(np.arange(40) % 10, 0.1, 12)  # every tenth voxel far away, the others close together
    assert look_at(replace(case, image=image), brain=True) == Tails(12.0, 0.0)


def test_a_training_starts_from_the_recipe(
    store: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = []

    def note(job: train_module.Job, **_: object) -> object:
        jobs.append(job)
        return job.spec

    monkeypatch.setattr(train_module, "run_training", note)
    done = plan(store, out=tmp_path / "recipe.json", options=SMALL)
    recipe = find_recipe(str(tmp_path / "recipe.json"))
    assert recipe.model_dump(mode="json") == done.proposal.recipe.model_dump(mode="json")
    assert run(f"train {store} -o one --recipe recipe.json")[0] == 0
    assert run(f"train {store} -o two --recipe recipe.json --batch 5 --network unet --widths 4,8 --seed 3")[0] == 0
    assert run(f"train {store} -o three --recipe any-modality --output classes")[0] == 0
    assert run(f"train {store} -o four")[0] == 0
    first, second, third, fourth = jobs
    assert first.spec.network.widths == recipe.widths
    assert list(first.config.patch) == recipe.config["patch"] and first.config.batch == 2 and first.config.seed == 0
    assert (second.config.batch, second.config.seed, second.spec.network.name) == (5, 3, "unet")
    assert second.config.patch == first.config.patch and second.spec.network.widths == (4, 8)
    assert third.config.modality_dropout == 0.5 and third.spec.output.kind == "classes"
    assert fourth.config.modality_dropout == 0 and fourth.spec.output.kind == "regions" and fourth.config.seed == 0


def test_nothing_is_overwritten_unasked(store: Path, tmp_path: Path) -> None:
    out = tmp_path / "recipe.json"
    plan(store, out=out, options=SMALL)
    before = out.read_bytes()
    with pytest.raises(OutputError, match="exists already"):
        plan(store, out=out, options=PlanOptions(memory="1GB"))
    assert out.read_bytes() == before
    plan(store, out=out, options=PlanOptions(memory="1GB", recipe=RECIPES["strong"], overwrite=True))
    assert find_recipe(str(out)).name == "strong-planned"
    with pytest.raises(OutputError, match="exists already"):
        plan(store, out=tmp_path, options=PlanOptions(memory="1GB", overwrite=True))


def test_what_is_no_store_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="is not a prepared data set"):
        plan(tmp_path, out=tmp_path / "recipe.json", options=SMALL)
    assert tiny.files_in(tmp_path) == []


def test_the_command_to_prepare_anew_does_what_is_proposed(tmp_path: Path, run: Run) -> None:
    for number, kind in enumerate(("plain", "flipped", "oblique"), start=1):
        make.write_brats(tmp_path / "scans", tiny.phantom(number, kind=kind))
    options = PrepareOptions(modalities=("flair", "t1c"))
    prepare([tmp_path / "scans"], tmp_path / "store", options=options)
    done = plan(tmp_path / "store", options=SMALL)
    assert done.proposal.spacing == done.facts.spacing == (1.1, 1.5, 2.0)
    assert done.prepare == (
        "gliamap prepare scans -o store-planned --modality flair --modality t1c --foreground brain --spacing 1.1 1.5 2"
    )
    assert run(done.prepare.removeprefix("gliamap "))[0] == 0
    again = plan(tmp_path / "store-planned", options=SMALL)
    assert again.prepare is None and again.proposal.spacing is None
    assert read_store(tmp_path / "store-planned").prep.modalities == ("flair", "t1c")


def test_specks_lead_to_robust_normalisation(tmp_path: Path, run: Run) -> None:
    for number in (1, 2):
        one = tiny.phantom(number)
        one.image[:, ::5, ::5, ::5] *= 400
        make.write_brats(tmp_path / "scans", one)
    prepare([tmp_path / "scans"], tmp_path / "store")
    done = plan(tmp_path / "store", options=SMALL)
    assert done.proposal.normalise == "robust"
    assert done.prepare is not None and done.prepare.endswith("--foreground brain --normalise robust")
    code, out, _ = run(f"prepare {tmp_path / 'scans'} -o robust --normalise robust")
    assert code == 0 and "normalised over the brain, tails cut" in out
    assert read_store(tmp_path / "robust").prep.normalise == "robust"
    assert plan(tmp_path / "robust", options=SMALL).prepare is None
    code, _, err = run(f"prepare {tmp_path / 'scans'} -o robust")
    assert code == 2 and "normalise robust" in err and "normalise zscore" in err


def test_the_table_says_what_and_why(store: Path, run: Run) -> None:
    code, out, err = run(f"plan {store} --memory 4GB")
    assert code == 0
    for word in (
        "3 cases",
        "lesions",
        "4.0 GB, as asked",
        "dynunet, 3D",
        "levels",
        "patch",
        "keep (zscore)",
        "because",
    ):
        assert word in out
    assert "mm in all cases" in out
    assert "-o recipe.json" in err
    assert max(len(line) for line in out.splitlines() if "│" in line) <= 80


def test_json_is_all_that_standard_output_holds(store: Path, tmp_path: Path, run: Run) -> None:
    code, out, _ = run(f"plan {store} --memory 4GB -o recipe.json --json")
    found = json.loads(out)
    assert code == 0 and found["out"] == "recipe.json" and found["memory_bytes"] == 4 * 10**9
    assert found["recipe"] == json.loads((tmp_path / "recipe.json").read_text())
    assert found["recipe"]["reasons"].keys() == {"network", "levels", "patch", "batch", "spacing", "normalisation"}
    parts = found["estimated_bytes"]
    assert parts["total"] == parts["program"] + parts["parameters"] + parts["patches"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("--memory lots", "'lots' is no amount of memory"),
        ("--memory 500MB", "too small for any training"),
        ("--memory 4GB --recipe nonsense", "there is no recipe 'nonsense'"),
        ("--memory 4GB --recipe any-modality -o .", "exists already"),
    ],
)
def test_what_does_not_fit_is_a_plain_error(store: Path, run: Run, line: str, words: str) -> None:
    code, out, err = run(f"plan {store} {line}")
    assert code == 2 and out == "" and words in err and "Traceback" not in err


def test_help_shows_an_example(run: Run) -> None:
    code, out, _ = run("plan --help")
    assert code == 0 and "gliamap plan store" in out.split("Examples:", 1)[1]
    assert max(len(line) for line in out.splitlines()) <= 80


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("8GB", 8 * 10**9),
        ("8", 8 * 10**9),
        ("8g", 8 * 10**9),
        (" 7.5 GiB ", 7.5 * 2**30),
        ("512MB", 512 * 10**6),
        ("0.1TB", 10**11),
    ],
)
def test_amounts_of_memory(text: str, amount: float) -> None:
    assert parse_memory(text) == int(amount)


@pytest.mark.parametrize("text", ["", "0GB", "-1GB", "GB", "8 apples", "1e9", "٨GB", "8PB", "99999999999999GB"])
def test_what_is_no_amount_of_memory(text: str) -> None:
    with pytest.raises(ConfigError, match=r"is no amount of memory.*one such as 8GB"):
        parse_memory(text)


def test_the_memory_at_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal:  16000000 kB\nMemFree:  1000 kB\nMemAvailable:   8000000 kB\n")
    monkeypatch.setattr(memory_module, "_MEMINFO", meminfo)
    monkeypatch.setattr(memory_module, "_CGROUP", tmp_path)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert memory_at_hand() == (8_192_000_000, "available on this machine")
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("1000000000\n")
    assert memory_at_hand() == (8_192_000_000, "available on this machine")
    (tmp_path / "memory.max").write_text("3000000000\n")
    assert memory_at_hand() == (2_000_000_000, "left to this container or job")
    meminfo.unlink()
    with pytest.raises(ConfigError, match="say --memory"):
        memory_at_hand()
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda: (5 * 10**9, 8 * 10**9))
    monkeypatch.setattr("torch.cuda.get_device_name", lambda: "Some GPU")
    assert memory_at_hand() == (5 * 10**9, "free on Some GPU")

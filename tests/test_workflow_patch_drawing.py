"""Training on the patches of a table: the run says which, only training cases are drawn, a stop changes nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

import tiny
from gliamap.errors import ConfigError, FileError
from gliamap.io.patch_list import open_rows
from gliamap.io.patch_table import read_columns, read_info
from gliamap.io.store import read_store, write_store
from gliamap.training.progress import StepReport
from gliamap.workflows.data.patches import make_patch_table
from gliamap.workflows.data.prepare import prepare
from gliamap.workflows.training.train import TrainOptions, train
from gliamap.workflows.training.train_settings import full_settings
from processes import Task, together

STRIDE = 8
SIZE = (16, 16, 16)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five prepared phantoms: three to train on, one to validate on, one to test on."""
    return tiny.write_store(tmp_path_factory.mktemp("phantoms"), 5)


@pytest.fixture(scope="module")
def table(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The table of all five."""
    path = tmp_path_factory.mktemp("table") / "patches.parquet"
    make_patch_table(store, path, size=SIZE, stride=STRIDE)
    return path


def options(*, patches: Path | None = None, stride: int | None = STRIDE, **config: Any) -> TrainOptions:
    """The tiny training, from a table: made by itself, or ``patches``."""
    stride = None if patches else stride
    return tiny.options(**config).model_copy(update={"patches": patches, "stride": stride})


def record_of(run: Path) -> dict[str, Any]:
    return dict(json.loads((run / "run.json").read_text()))


def interrupted(store: Path, run: Path, wanted: TrainOptions) -> None:
    def observe(report: StepReport) -> None:
        if report.step == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(store, run, options=wanted, observe=observe)


def edit(table: Path, copy: Path) -> Path:
    """The table again, with one patch elsewhere."""
    content = pq.read_table(table)
    x = content["x"].to_numpy().copy()
    x[0] += 1
    changed = content.set_column(content.schema.get_field_index("x"), content.schema.field("x"), [x])
    pq.write_table(changed, copy)
    return copy


def test_the_run_folder_says_what_was_drawn(store: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    done = train(store, run, options=options(ratio="1:1", batch=4))
    assert read_info(run / "patches.parquet").size == SIZE
    columns = read_columns(run / "patches.parquet", ["case_id", "tumour"])
    assert set(columns["case_id"]) == set(done.split.train)
    tumour, healthy = int(columns["tumour"].sum()), int((~columns["tumour"]).sum())
    rows = open_rows(run / "patches.npy")
    assert rows["tumour"].tolist() == [True] * tumour + [False] * healthy
    few = min(tumour, healthy)
    assert done.epoch is not None
    assert (done.epoch.there, done.epoch.drawn) == ((tumour, healthy), (few, few))
    assert done.epoch.steps == few / 2
    record = record_of(run)
    assert record["settings"]["patches"] == {"stride": STRIDE} and record["settings"]["train"]["ratio"] == "1:1"
    found = record["data"]["patches"]
    assert found.pop("fingerprint") and found == {"tumour": tumour, "healthy": healthy, "epoch": 2 * few}


def test_a_table_of_all_cases_gives_the_same_training_as_one_of_its_own(
    store: Path, table: Path, tmp_path: Path
) -> None:
    one, two = tmp_path / "one" / "run", tmp_path / "two" / "run"
    train(store, one, options=options(ratio="1:1"))
    train(store, two, options=options(ratio="1:1", patches=table))
    assert tiny.same(tiny.weights(one / "last"), tiny.weights(two / "last"))
    assert record_of(one)["data"] == record_of(two)["data"]
    assert not (two / "patches.parquet").exists()
    train(store, two, options=options(ratio="1:1", patches=one / "patches.parquet"), resume=True)  # the same patches


def test_ratios_make_different_trainings(store: Path, table: Path, tmp_path: Path) -> None:
    names = ("natural", "tumour", "healthy", "1:2")
    for name in names:
        train(store, tmp_path / name, options=options(patches=table, ratio=name))
    trained = [tiny.weights(tmp_path / name / "last") for name in names]
    assert not any(tiny.same(one, other) for n, one in enumerate(trained) for other in trained[:n])


@pytest.mark.parametrize("files", ["kept", "lost"])
def test_interrupted_and_resumed_is_as_in_one_go(store: Path, tmp_path: Path, files: str) -> None:
    one, two = tmp_path / "one" / "run", tmp_path / "two" / "run"
    wanted = options(ratio="2:1", batch=2, workers=1)
    train(store, one, options=wanted)
    interrupted(store, two, wanted)
    if files == "lost":
        (two / "patches.npy").unlink()
        (two / "patches.parquet").write_bytes(b"PAR1")
    train(store, two, options=wanted, resume=True)
    assert tiny.same(tiny.weights(one / "last"), tiny.weights(two / "last"))
    for name in ("patches.npy", "patches.parquet"):
        assert (one / name).read_bytes() == (two / name).read_bytes()


def test_a_changed_table_is_not_gone_on_with_unless_accepted(store: Path, table: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    interrupted(store, run, options(patches=table))
    changed = options(patches=edit(table, tmp_path / "changed.parquet"))
    before = (run / "patches.npy").read_bytes()
    with pytest.raises(ConfigError, match=r"data\.patches\.fingerprint.*--accept-changes"):
        train(store, run, options=changed, resume=True)
    with pytest.raises(ConfigError, match=r"train\.ratio 1:1"):
        train(store, run, options=options(patches=table, ratio="1:1"), resume=True)
    with pytest.raises(ConfigError, match=r"data\.patches\.fingerprint None.*patches\.stride None"):
        train(store, run, options=options(stride=None), resume=True)
    assert (run / "patches.npy").read_bytes() == before
    train(store, run, options=changed, resume=True, accept_changes=True)
    assert (run / "patches.npy").read_bytes() != before
    assert record_of(run)["resumed"][-1]["changes"].keys() == {"data.patches.fingerprint"}


def test_a_table_of_cases_left_out_since_is_made_again(store: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    interrupted(store, run, options())
    other = options()
    other = other.model_copy(update={"split": other.split.model_copy(update={"seed": 3})})
    done = train(store, run, options=other, resume=True, accept_changes=True)
    assert set(read_columns(run / "patches.parquet", ["case_id"])["case_id"]) == set(done.split.train)


@pytest.mark.slow
def test_two_processes_draw_what_one_does(store: Path, tmp_path: Path) -> None:
    wanted = options(ratio="1:1", batch=2, micro_batch=1, workers=1)
    one, two = (Task(store, tmp_path / name / "run", wanted, deny=tmp_path) for name in ("one", "two"))
    assert together(1, one) == ["done"]
    assert together(2, two) == ["done", "done"]
    assert tiny.same(tiny.weights(one.run / "last"), tiny.weights(two.run / "last"))
    assert tiny.files_in(one.run) == tiny.files_in(two.run)


Change = Callable[[TrainOptions], TrainOptions]


def with_config(**config: Any) -> Change:
    return lambda base: base.model_copy(update={"config": base.config | config})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (with_config(patch=(16, 16, 8)), r"has another patch.*\(16, 16, 16\).*\(16, 16, 8\).*leave out --patch"),
        (lambda base: base.model_copy(update={"stride": 4}), "has another stride. Found: 8. Expected: 4"),
        (with_config(balance="sizes", foreground_share=0.7), "by their ratio alone.*balance sizes, foreground_share"),
        (with_config(ratio="1:0"), "two numbers such as 1:2"),
        (lambda base: base.model_copy(update={"patches": None}), "needs a patch table.*ratio 1:1.*--stride"),
    ],
)
def test_what_does_not_agree_with_the_table_is_refused(
    store: Path, table: Path, tmp_path: Path, change: Change, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        train(store, tmp_path / "run", options=change(options(patches=table, ratio="1:1")))
    assert not (tmp_path / "run").exists()


def test_tables_that_do_not_fit_the_store_are_refused(store: Path, table: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    with pytest.raises(FileError, match="no patch table"):
        train(store, run, options=options(patches=store / "store.json"))
    make_patch_table(store, tmp_path / "few.parquet", size=SIZE, stride=STRIDE, cases=["Phantom_00001"])
    with pytest.raises(ConfigError, match=r"lacks cases.*of 3 missing: Phantom"):
        train(store, run, options=options(patches=tmp_path / "few.parquet"))
    older = tmp_path / "store"
    older.mkdir()
    (older / "cases").symlink_to(store / "cases")
    info = read_store(store)
    write_store(older, info.model_copy(update={"cases": info.cases[:4]}))
    with pytest.raises(ConfigError, match=r"of another store.*gliamap patches"):
        train(older, run, options=options(patches=table))
    assert not run.exists()


def test_no_healthy_patch_to_draw_is_an_error_before_anything_is_written(store: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no patches for the ratio healthy.*0 healthy ones"):
        train(store, tmp_path / "run", options=options(stride=32, ratio="healthy", patch=(32, 32, 32)))
    assert not (tmp_path / "run").exists()


def test_patches_of_slices_are_for_a_network_for_slices(store: Path, tmp_path: Path) -> None:
    make_patch_table(store, tmp_path / "flat.parquet", size=(16, 16, 1), stride=8)
    wanted = options(patches=tmp_path / "flat.parquet")
    del wanted.config["patch"]
    done = train(store, tmp_path / "run", options=wanted)
    assert (done.spec.network.dims, done.spec.window.patch) == (2, (16, 16, 1))


def test_a_ratio_without_a_table_is_refused_by_every_verb_that_plans_a_training(store: Path) -> None:
    with pytest.raises(ConfigError, match="needs a patch table"):
        full_settings(read_store(store), tiny.options(ratio="tumour"), "run")


def test_the_command_says_what_an_epoch_is(store: Path, command: Callable[..., tuple[int, str, str]]) -> None:
    (Path("recipe.json")).write_text(json.dumps({"network": "unet", "widths": [4, 8], "config": tiny.CONFIG}))
    words = ("train", str(store), "--recipe", "recipe.json", "--stride", "8", "--ratio", "1:2", "--batch", "2")
    code, out, err = command(*words, "-o", "run")
    assert code == 0, err
    found = record_of(Path("run"))["data"]["patches"]
    assert f"patches: {found['tumour']} with tumour : {found['healthy']} healthy; in an epoch of " in out
    code, out, err = command(*words, "-o", "again", "--json")
    epoch = json.loads(out)["epoch"]
    assert epoch["there"] == [found["tumour"], found["healthy"]] and sum(epoch["drawn"]) == found["epoch"]


def test_slices_of_real_patients(data_root: Path, tmp_path: Path) -> None:
    """A few MSD slices: tumour in every second patch, and none twice."""
    few = tmp_path / "few"
    for folder in ("training_images", "training_labels"):
        (few / folder).mkdir(parents=True)
        for path in sorted((data_root / "msd-t1gd-2d" / folder).iterdir())[:30]:
            (few / folder / path.name).symlink_to(path)
    prepare([few], tmp_path / "store")
    config = {"patch": (64, 64, 1), "batch": 2, "ratio": "1:1", "steps": 2, "validate_every": 2}
    done = train(tmp_path / "store", tmp_path / "run", options=options(stride=32, **config))
    assert done.epoch is not None and done.epoch.drawn.tumour == done.epoch.drawn.healthy > 0
    rows = open_rows(tmp_path / "run" / "patches.npy")
    assert len(np.unique(rows)) == len(rows)

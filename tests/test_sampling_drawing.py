"""Drawing from a patch table: the ratio in every batch, no patch twice in an epoch, every kind its share."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gliamap.boxes import Box
from gliamap.config import TrainConfig
from gliamap.errors import ConfigError, FileError
from gliamap.io.patch_list import ROW, write_rows
from gliamap.sampling.drawing import PatchOrder, Sides, count_sides, plan_epoch, sort_rows

ROOT = Path(__file__).resolve().parent.parent
LINUX = pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="looks into /proc, which Linux has")

RATIOS = st.one_of(
    st.sampled_from(["natural", "tumour", "healthy"]),
    st.builds("{}:{}".format, st.integers(1, 9), st.integers(1, 9)),
)
SIDES = st.builds(Sides, st.integers(1, 60), st.integers(1, 60))


def columns(cases: str, tumour: str, lesions: list[float]) -> dict[str, np.ndarray[Any, Any]]:
    """A table of a letter a patch for its case and for whether it holds tumour (t or h); x counts the patches."""
    count = len(cases)
    return {
        "case_id": np.array(list(cases), object),
        **{axis: np.arange(count) * (axis == "x") for axis in "xyz"},
        "tumour": np.array([letter == "t" for letter in tumour]),
        "largest_lesion": np.array(lesions, np.float32),
    }


def make_order(folder: Path, there: Sides, ratio: str, *, seed: int = 0, cases: int = 1) -> PatchOrder:
    """The order of so many patches, whose x is their number in the sorted list; cases take turns."""
    rows = np.zeros(sum(there), ROW)
    rows["start"][:, 0] = np.arange(len(rows))
    rows["case"] = np.arange(len(rows)) % cases
    rows["tumour"][: there.tumour] = True
    write_rows(folder / "patches.npy", rows)
    config = TrainConfig(ratio=ratio, seed=seed, patch=(8, 6, 4))
    return PatchOrder(folder / "patches.npy", [f"case {n}" for n in range(cases)], config)


def drawn(order: PatchOrder, numbers: range) -> list[int]:
    """The rows of these draws, each with the generator of the patch of that number."""
    return [order.row(np.random.default_rng((0, number)), number) for number in numbers]


def test_like_patches_lie_side_by_side() -> None:
    patients = {"c": "bob", "a": "ann", "b": "bob"}
    table = columns("abcabcabx", "ttthttttt", [9, 5, 1, 0, 5, 1, 9, 9, 5])
    rows = sort_rows(table, patients)
    # Small lesions are bob's, middling ones too; of the large ones ann's come first. Healthy patches are the last.
    assert "".join("cab"[case] for case in rows["case"]) == "cc" + "bb" + "aab" + "a"
    assert rows["start"][:, 0].tolist() == [2, 5, 1, 4, 0, 6, 7, 3]
    assert count_sides(rows) == (7, 1)


def test_the_order_of_the_table_does_not_matter_but_within_a_case() -> None:
    table = columns("aabb", "tttt", [1, 1, 1, 1])
    turned = {name: values[[2, 3, 0, 1]] for name, values in table.items()}
    patients = {"a": "one", "b": "one"}
    assert sort_rows(table, patients).tobytes() == sort_rows(turned, patients).tobytes()


def test_tables_without_tumour_or_without_our_cases_are_sorted_too() -> None:
    table = columns("aa", "hh", [0, 0])
    assert count_sides(sort_rows(table, {"a": "one"})) == (0, 2)
    assert count_sides(sort_rows(table, {"b": "one"})) == (0, 0)


@pytest.mark.parametrize(
    ("ratio", "there", "epoch"),
    [
        ("natural", (30, 70), (30, 70)),
        ("tumour", (30, 70), (30, 0)),
        ("healthy", (30, 70), (0, 70)),
        ("1:1", (30, 70), (30, 30)),
        ("1:2", (30, 70), (30, 60)),
        ("1:3", (30, 70), (23, 70)),
        ("2:1", (30, 70), (30, 15)),
        ("1:9", (30, 5), (1, 5)),  # fewer than 1:9, but at least one
        ("natural", (0, 5), (0, 5)),
    ],
)
def test_an_epoch_by_eye(ratio: str, there: tuple[int, int], epoch: tuple[int, int]) -> None:
    assert plan_epoch(ratio, Sides(*there)) == epoch


@pytest.mark.parametrize(
    ("ratio", "there"),
    [("tumour", (0, 5)), ("healthy", (5, 0)), ("1:1", (0, 5)), ("2:1", (5, 0)), ("natural", (0, 0))],
)
def test_a_side_that_is_asked_for_and_empty_is_refused(ratio: str, there: tuple[int, int]) -> None:
    with pytest.raises(ConfigError, match=rf"ratio {ratio}.*{there[0]} patches with tumour, {there[1]} healthy"):
        plan_epoch(ratio, Sides(*there))


@given(SIDES, RATIOS, st.integers(0, 5))
def test_no_patch_comes_twice_in_an_epoch(
    tmp_path_factory: pytest.TempPathFactory, there: Sides, ratio: str, epoch: int
) -> None:
    order = make_order(tmp_path_factory.mktemp("order"), there, ratio)
    length = sum(order.epoch)
    rows = drawn(order, range(epoch * length, (epoch + 1) * length))
    assert len(set(rows)) == length
    assert sum(row < there.tumour for row in rows) == order.epoch.tumour
    assert all(0 <= row < sum(there) for row in rows)


@given(SIDES, RATIOS, st.integers(0, 200), st.integers(1, 40))
def test_any_run_of_draws_keeps_the_ratio(
    tmp_path_factory: pytest.TempPathFactory, there: Sides, ratio: str, first: int, count: int
) -> None:
    order = make_order(tmp_path_factory.mktemp("order"), there, ratio)
    found = sum(row < there.tumour for row in drawn(order, range(first, first + count)))
    assert abs(found - count * order.epoch.tumour / sum(order.epoch)) < 1


def test_tumour_and_healthy_patches_take_turns(tmp_path: Path) -> None:
    order = make_order(tmp_path, Sides(10, 100), "1:2")
    assert "".join("t" if row < 10 else "h" for row in drawn(order, range(12))) == "hhthhthhthht"


def test_a_draw_is_a_function_of_seed_and_number(tmp_path: Path) -> None:
    one, other = (make_order(tmp_path / name, Sides(40, 90), "1:1") for name in ("one", "other"))
    numbers = range(500)
    assert [drawn(one, range(n, n + 1)) for n in reversed(numbers)][::-1] == [[row] for row in drawn(other, numbers)]
    assert drawn(make_order(tmp_path / "seed", Sides(40, 90), "1:1", seed=1), range(80)) != drawn(one, range(80))


def test_each_epoch_is_shuffled_in_another_way(tmp_path: Path) -> None:
    order = make_order(tmp_path, Sides(40, 90), "tumour")
    first, second = np.array(drawn(order, range(80))).reshape(2, 40)
    assert len(set((second - first) % 40)) > 10  # not the same order from another beginning


def test_like_patches_are_spread_over_an_epoch_and_an_epoch_over_the_list(tmp_path: Path) -> None:
    """Of 900 healthy patches every ninth is drawn: of each stretch of 90, a patient say, nine to eleven."""
    order = make_order(tmp_path, Sides(100, 900), "1:1")
    for epoch in range(5):
        rows = np.array(drawn(order, range(200 * epoch, 200 * (epoch + 1))))
        healthy = rows[rows >= 100] - 100
        assert set(Counter(healthy // 90).values()) <= {9, 10, 11} and len(set(healthy // 90)) == 10
        assert len(set(healthy[:20] // 90)) > 5  # not one patient after the other


def test_over_the_epochs_each_patch_is_as_likely(tmp_path: Path) -> None:
    """67 of 100: were the stretches the same each time, a third of the patches would come each time."""
    order = make_order(tmp_path, Sides(67, 100), "1:1")
    count = Counter(row for row in drawn(order, range(134 * 100)) if row >= 67)
    assert len(count) == 100
    assert min(count.values()) > 45 and max(count.values()) < 90  # 67 each, give or take


def test_case_and_box_are_those_of_the_row(tmp_path: Path) -> None:
    order = make_order(tmp_path, Sides(3, 4), "natural", cases=2)
    for number in range(14):
        row = order.row(np.random.default_rng((0, number)), number)
        case_id, box = order.draw(np.random.default_rng((0, number)), number)
        assert (case_id, box) == (f"case {row % 2}", Box((row, 0, 0), (row + 8, 6, 4)))


def test_the_order_travels_without_its_rows(tmp_path: Path) -> None:
    order = make_order(tmp_path, Sides(20_000, 80_000), "1:1")
    packed = pickle.dumps(order)
    assert len(packed) < 2000
    assert drawn(pickle.loads(packed), range(50)) == drawn(order, range(50))  # noqa: S301 (its own bytes)


def test_a_missing_list_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"patches\.npy is missing"):
        PatchOrder(tmp_path / "patches.npy", ["a"], TrainConfig())


DRAW_ON = """
import sys
from pathlib import Path
import numpy as np
from gliamap.config import TrainConfig
from gliamap.sampling.drawing import PatchOrder

order = PatchOrder(Path(sys.argv[1]), ["a"], TrainConfig(ratio="1:2"))
for number in range(5000):
    order.draw(np.random.default_rng(number), number * 7919)
status = Path("/proc/self/status").read_text().splitlines()
print(next(line for line in status if line.startswith("RssAnon")).split()[1])
"""


@LINUX
def test_memory_does_not_grow_with_the_number_of_patches(tmp_path: Path) -> None:
    used = []
    for count in (2_000, 2_000_000):
        rows = np.zeros(count, ROW)
        rows["tumour"][: count // 4] = True
        write_rows(tmp_path / "patches.npy", rows)
        command = [sys.executable, "-c", DRAW_ON, str(tmp_path / "patches.npy")]
        done = subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ)
        used.append(int(done.stdout))
    assert abs(used[1] - used[0]) < 2048  # KiB; the rows are 34 MB

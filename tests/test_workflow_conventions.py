"""Which label convention a data set has: what is asked for, the layout, the values, the anatomy, or doubt."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gliamap.case import CaseFiles, CaseIdentity, DataSet
from gliamap.errors import LabelError
from gliamap.labels import CONVENTIONS, Convention
from gliamap.workflows.common import conventions
from gliamap.workflows.common.conventions import How, evenly, settle_convention

YEARS = ("brats2023", "brats2024")


@pytest.fixture(autouse=True)
def anatomy(monkeypatch: pytest.MonkeyPatch) -> list[Sequence[str]]:
    """The anatomy says nothing; the list tells for which candidates it was asked."""
    asked: list[Sequence[str]] = []

    def settle(_: object, candidates: Sequence[Convention]) -> tuple[Convention | None, str]:
        asked.append([candidate.name for candidate in candidates])
        return None, "nothing is seen"

    monkeypatch.setattr(conventions, "tell_convention", lambda *_: None)
    monkeypatch.setattr(conventions, "settle", settle)
    return asked


def write(root: Path, masks: Sequence[Sequence[int]], allowed: tuple[str, ...] = ()) -> list[CaseFiles]:
    """A case for each mask, which holds just those values."""
    cases = []
    for number, values in enumerate(masks):
        path = root / f"{len(list(root.iterdir()))}.png"
        pixels = np.zeros((4, 6), np.uint8)
        pixels.flat[: len(values)] = values
        Image.fromarray(pixels).save(path)
        name = f"{path.stem}-{number}"
        cases.append(CaseFiles(CaseIdentity(name, name), {"t1": path}, path, allowed))
    return cases


def data_set(root: Path, *groups: Sequence[CaseFiles]) -> DataSet:
    return DataSet(root, "test", tuple(case for group in groups for case in group), "brain")


def test_what_is_asked_for_wins(tmp_path: Path) -> None:
    settled = settle_convention(data_set(tmp_path, write(tmp_path, [(1, 2, 4)], ("brats2021",))), "msd")
    assert settled.convention is CONVENTIONS["msd"]
    assert settled.groups[0].how == How.CHOSEN
    with pytest.raises(LabelError, match="no label convention called 'mds'"):
        settle_convention(data_set(tmp_path), "mds")


def test_a_layout_that_allows_one_is_believed_without_a_look(tmp_path: Path) -> None:
    cases = write(tmp_path, [(1, 2, 3)], ("brats2021",))
    (tmp_path / "0.png").unlink()
    settled = settle_convention(data_set(tmp_path, cases))
    assert settled.convention is CONVENTIONS["brats2021"]
    assert settled.why == "the layout says so"


@pytest.mark.parametrize(
    ("masks", "expected"),
    [
        ([(1, 2, 3), (1, 2, 3)], "brats2023"),
        ([(1, 2, 3), (2, 3, 4)], "brats2024"),
        ([(1, 2, 3), ()], "brats2023"),
        ([()], "brats2023"),
        ([(1, 2, 3), (1, 2, 3), (1, 2, 9)], "brats2023"),  # the last mask fits none: its own affair
    ],
)
def test_all_masks_together_tell_by_their_values(
    tmp_path: Path, masks: list[tuple[int, ...]], expected: str, anatomy: list[Sequence[str]]
) -> None:
    settled = settle_convention(data_set(tmp_path, write(tmp_path, masks, YEARS)))
    assert settled.convention is CONVENTIONS[expected]
    assert settled.groups[0].how == How.VALUES
    assert not anatomy


def test_many_masks_of_ones_are_plain_tumour_and_few_are_not(tmp_path: Path) -> None:
    cases = write(tmp_path, [(1,)] * 5)
    assert settle_convention(data_set(tmp_path, cases)).convention is CONVENTIONS["binary"]
    assert settle_convention(data_set(tmp_path, cases[:4])).convention is None


def test_one_meaning_is_enough(tmp_path: Path, anatomy: list[Sequence[str]]) -> None:
    """BraTS 2023 and 2024 mean the same by 1, 2, 3: they are not asked apart."""
    settle_convention(data_set(tmp_path, write(tmp_path, [(1, 2, 3)])))
    assert anatomy == [["brats2023", "msd", "brats-ped", "brats2013"]]


def test_the_anatomy_decides_where_values_do_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conventions, "settle", lambda *_: (CONVENTIONS["msd"], "value 1 is bright on FLAIR"))
    data = data_set(tmp_path, write(tmp_path, [(1, 2, 3)]))
    settled = settle_convention(data)
    assert settled.convention is CONVENTIONS["msd"]
    assert settled.why == "the anatomy says so: value 1 is bright on FLAIR"
    assert [case.conventions for case in settled.apply(data).cases] == [("msd",)]


def test_the_anatomy_is_that_of_cases_that_show_every_value(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    monkeypatch.setattr(conventions, "_evidence", lambda case, _: seen.append(case.case_id))
    monkeypatch.setattr(conventions, "_SLICES", 1)
    cases = write(tmp_path, [(2,), (1, 2, 3), (1, 2, 3), (1, 2, 3), (1, 2), (4,), (1, 2, 3)])
    settle_convention(data_set(tmp_path, cases), sample=3)
    assert seen == ["1-1", "5-5", "3-3"]
    seen.clear()
    settle_convention(data_set(tmp_path, cases), sample=1)
    assert seen == ["1-1"]


def test_doubt_is_told_and_never_applied(tmp_path: Path) -> None:
    data = data_set(tmp_path, write(tmp_path, [(1, 2, 3), (1, 2)]))
    settled = settle_convention(data)
    assert settled.convention is None and not settled.told
    assert [candidate.name for candidate in settled.candidates] == ["brats2023", "msd", "brats-ped", "brats2013"]
    assert settled.why.startswith("the values 1, 2, 3 of 2 masks fit brats2023 and msd")
    assert settled.narrow(data) == data
    with pytest.raises(LabelError, match="mean different things") as raised:
        settled.apply(data)
    assert "--labels brats2023" in str(raised.value)
    assert str(tmp_path) in str(raised.value)


def test_values_of_no_convention(tmp_path: Path) -> None:
    data = data_set(tmp_path, write(tmp_path, [(1, 7), (9,)], YEARS))
    settled = settle_convention(data)
    assert settled.why == "the values 1, 7, 9 of 2 masks fit none"
    with pytest.raises(LabelError, match="outside its label convention"):
        settled.apply(data)


def test_masks_that_cannot_be_read_are_passed_over(tmp_path: Path) -> None:
    cases = write(tmp_path, [(1, 2, 4), (1, 2, 3)], YEARS)
    (tmp_path / "0.png").write_bytes(b"")
    assert settle_convention(data_set(tmp_path, cases)).convention is CONVENTIONS["brats2023"]
    (tmp_path / "1.png").write_bytes(b"")
    settled = settle_convention(data_set(tmp_path, cases))
    assert settled.why == "no mask could be read"
    with pytest.raises(LabelError, match="not told"):
        settled.apply(data_set(tmp_path, cases))


def test_groups_of_one_folder_keep_their_own(tmp_path: Path) -> None:
    data = data_set(tmp_path, write(tmp_path, [(1, 2, 4)], ("brats2021",)), write(tmp_path, [(1, 2, 3)], YEARS))
    settled = settle_convention(data)
    assert settled.told and settled.convention is None
    assert settled.why == "brats2021: the layout says so; brats2023: the values 1, 2, 3 of 1 mask say so"
    assert [case.conventions for case in settled.apply(data).cases] == [("brats2021",), ("brats2023",)]


def test_without_masks_there_is_nothing_to_settle(tmp_path: Path) -> None:
    data = data_set(tmp_path, [CaseFiles(CaseIdentity("a", "a"), {"t1": tmp_path / "a.png"})])
    settled = settle_convention(data)
    assert settled.told and settled.convention is None and settled.candidates == ()
    assert settled.apply(data) == data


def test_a_few_masks_are_read_where_few_are_asked_for(tmp_path: Path) -> None:
    cases = write(tmp_path, [(1, 2, 3)] * 6 + [(4,)], YEARS)
    assert settle_convention(data_set(tmp_path, cases), masks=3).convention is CONVENTIONS["brats2023"]
    assert settle_convention(data_set(tmp_path, cases)).convention is CONVENTIONS["brats2024"]


def test_evenly() -> None:
    assert evenly([1, 2], 3) == [1, 2]
    assert evenly(list(range(10)), 3) == [1, 5, 8]
    assert evenly(list(range(10)), 1) == [5]

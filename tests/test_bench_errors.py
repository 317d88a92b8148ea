"""The bench that says where errors sit, on masks that can be checked by eye."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from gliamap.labels import Tissue

BENCH = Path(__file__).resolve().parent.parent / "bench"
CODES = {".": Tissue.BACKGROUND, "e": Tissue.ED, "n": Tissue.NCR, "t": Tissue.ET}


@pytest.fixture
def errors(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCH))
    import errors  # noqa: PLC0415

    return errors


def line(text: str) -> np.ndarray:
    """A map of one line of voxels."""
    return np.array([[[CODES[letter]] for letter in text]], np.uint8)


@pytest.mark.parametrize(
    ("predicted", "reference", "missed", "false"),
    [
        ("..tttt..", "..tttt..", [0, 0, 0, 0], [0, 0, 0, 0]),
        (".tttt...", "..tttt..", [1, 0, 0, 0], [1, 0, 0, 0]),
        ("t.......", "t.tttttt", [0, 0, 0, 6], [0, 0, 0, 0]),
        ("t.tttttt", "t.......", [0, 0, 0, 0], [0, 0, 0, 6]),
        ("tttttttt", "t.......", [0, 0, 0, 0], [1, 2, 4, 0]),
        ("........", "..tt....", [0, 0, 0, 2], [0, 0, 0, 0]),
        ("..tt....", "........", [0, 0, 0, 0], [0, 0, 0, 2]),
        ("........", "........", [0, 0, 0, 0], [0, 0, 0, 0]),
    ],
)
def test_wrong_voxels_by_their_distance_from_the_border(
    errors: ModuleType, predicted: str, reference: str, missed: list[int], false: list[int]
) -> None:
    found = errors.by_distance(line(predicted) == Tissue.ET, line(reference) == Tissue.ET)
    assert found.tolist() == [missed, false]


def test_false_enhancement_is_told_by_where_it_lies(errors: ModuleType) -> None:
    reference = line("..nntte.....")
    predicted = line(".tnttttt..tt")
    # One voxel of the core, one of edema, one outside that hangs together with them, three that do not.
    assert errors.false_enhancing(predicted, reference).tolist() == [1, 1, 1, 3]


def test_thirds_are_by_size_and_count_what_was_missed(errors: ModuleType) -> None:
    sizes = (10, 500, 20, 90, 30, 40, 800, 60, 70)
    tally = errors.Tally(cases=[(f"p{size}", size, 0.0 if size == 10 else 0.9) for size in sizes])
    assert [row[1:4] + row[5:] for row in errors.size_rows("x", tally)] == [
        ["small", "10 to 30", 3, 1],
        ["medium", "40 to 70", 3, 0],
        ["large", "90 to 800", 3, 0],
    ]
    tally.cases.pop()
    assert errors.size_rows("x", tally) == []

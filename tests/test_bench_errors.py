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
    tally = errors.Tally(cases=[("a", 10, 0.0), ("b", 500, 0.9), ("c", 20, 0.5), ("d", 90, 0.7)])
    assert [row[1:4] + row[5:] for row in errors.size_rows("x", tally)] == [
        ["small", "10 to 20", 2, 1],
        ["medium", "90 to 90", 1, 0],
        ["large", "500 to 500", 1, 0],
    ]

"""Messages say what was wrong, what was found, what was expected and what to do."""

from __future__ import annotations

import re

from gliamap import errors
from gliamap.errors import CasesFailed, GliamapError


def test_message_by_eye() -> None:
    error = GliamapError(
        "the files do not share a grid", found="t1.nii.gz 4x5x6", expected="3x5x6", remedy="register them."
    )
    assert str(error) == (
        "the files do not share a grid. Found: t1.nii.gz 4x5x6. Expected: 3x5x6. To do: register them."
    )
    assert str(GliamapError("no case here.")) == "no case here."


def test_the_drawing_shows_the_tree() -> None:
    drawn = re.findall(r"[├└]── (\w+)", errors.__doc__ or "")
    assert drawn == [kind.__name__ for kind in GliamapError.__subclasses__() if kind.__module__ == errors.__name__]


def test_wrong_input_ends_with_2_and_failed_cases_with_1() -> None:
    assert GliamapError("x").exit_code == 2
    assert CasesFailed("x").exit_code == 1

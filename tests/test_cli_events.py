from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from gliamap.cli.events import progress_lines, write_done
from gliamap.errors import FileError
from gliamap.models.shipped import PHANTOM_DEMO, shipped_model

Command = Callable[..., tuple[int, str, str]]


def lines(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


def test_progress_of_a_case_is_told_by_stages(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_lines() as tell:
        for done in (0.0, 0.5, 1.0):
            tell(done, 1, "Jane_Doe, read 1.0 s")
        tell(1, 1, "")
    write_done([1], {})
    out = capsys.readouterr().out
    assert [(one["event"], one.get("stage"), one.get("share")) for one in lines(out)] == [
        ("progress", "read", 0.0),
        ("progress", "network", 0.0),
        ("progress", "network", 0.45),
        ("progress", "write", 0.9),
        ("progress", "end", 1.0),
        ("done", None, None),
    ]
    assert "Jane" not in out


def test_cases_are_numbered(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_lines() as tell:
        tell(1.5, 3, "B")
    assert lines(capsys.readouterr().out)[-1] | {"seconds_left": 0} == {
        **{"event": "progress", "stage": "network", "share": 0.45, "case": 2, "cases": 3, "seconds_left": 0}
    }


def test_error_is_told_and_raised(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(FileError), progress_lines():
        raise FileError("it is broken", found="nothing")
    error = {"event": "error", "what": "it is broken", "found": "nothing", "expected": None, "remedy": None}
    assert lines(capsys.readouterr().out)[-1] == error


def test_segment_prints_nothing_but_events(command: Command, tmp_path: Path) -> None:
    command("phantom", "-n", "1", "phantoms")
    code, out, _ = command("segment", "phantoms", "-o", "out", "--model", str(shipped_model(PHANTOM_DEMO)), "--events")
    assert code == 0
    told = lines(out)
    assert [told[0]["stage"], told[-1]["event"], told[-1]["cases"]] == ["read", "done", 1]
    assert {"network", "write", "end"} <= {one.get("stage") for one in told}
    assert [one["share"] for one in told[:-1]] == sorted(one["share"] for one in told[:-1])  # type: ignore[type-var]


def test_error_of_segment_is_the_last_event(command: Command) -> None:
    model = str(shipped_model(PHANTOM_DEMO))
    code, out, err = command("segment", "nowhere", "-o", "out", "--model", model, "--events")
    assert code == 2
    assert lines(out)[-1]["event"] == "error"
    assert "does not exist" in err

"""The verbs inspect and check on the command line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

import make
import tiny
from gliamap.case import CaseFiles
from gliamap.checks.case import CheckedCase, Expected
from gliamap.checks.findings import CaseReport, Finding
from gliamap.workflows.data import check as module

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(command: Run) -> Run:
    """The command in this process; exit code, standard output, standard error."""
    return command


@pytest.fixture
def findings(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What is found of a case, a code by its id, in place of a look at it."""
    found: dict[str, str] = {}

    def check_case(files: CaseFiles, _: Expected) -> CheckedCase:
        codes = [found[files.case_id]] if files.case_id in found else []
        report = CaseReport(files.case_id, "p", tuple(Finding(code, "t1: so it is") for code in codes))
        return CheckedCase(report)

    monkeypatch.setattr(module, "check_case", check_case)
    return found


def test_inspect_prints_a_line_a_fact(run: Run, tmp_path: Path) -> None:
    make.write_brats_set(tmp_path / "data")
    code, out, err = run("inspect", "data")
    assert (code, err) == (0, "")
    assert out.splitlines()[0] == "data"
    lines = {line[:11].strip(): line[11:].strip() for line in out.splitlines()[1:] if line[:11].strip()}
    assert lines["layout"] == "brats"
    assert lines["cases"] == "3, 3 with a mask"
    assert lines["modalities"] == "t1, t1c, t2, flair in all cases"
    assert lines["labels"].startswith("brats2021: 1 necrotic / non-enhancing core")
    assert lines["values"] == "1, 2, 4 in 3 masks"
    assert lines["foreground"] == "skull-stripped (the layout says so)"
    assert "oblique" in out


def test_inspect_as_json(run: Run, tmp_path: Path) -> None:
    make.write_brats_set(tmp_path / "data")
    code, out, _ = run("inspect", "data", "--json")
    assert code == 0
    assert json.loads(out)["modalities"] == {"t1": 3, "t1c": 3, "t2": 3, "flair": 3}


def test_inspect_names_what_is_odd(run: Run, tmp_path: Path) -> None:
    first, second, _ = make.write_brats_set(tmp_path / "data")
    (first / f"{first.name}_t2.nii.gz").unlink()
    (second / f"{second.name}_t1.nii.gz").write_bytes(b"")
    _, out, _ = run("inspect", "data")
    joined = " ".join(out.split())
    assert "t1, t1c, flair in all cases t2 in 2 cases" in joined
    assert f"missing {first.name}: t2" in joined
    assert f"unreadable {second.name}/{second.name}_t1.nii.gz:" in joined


def test_check_passes(run: Run, tmp_path: Path, findings: dict[str, str]) -> None:
    make.write_brats_set(tmp_path / "data")
    code, out, err = run("check", "data", "--workers", "1")
    assert (code, err) == (0, "")
    assert out == "data: 3 cases, 3 patients, layout brats, labels brats2021\nPASS 3, WARN 0, FAIL 0\n"


def test_check_warns_with_exit_code_0_and_fails_with_1(run: Run, tmp_path: Path, findings: dict[str, str]) -> None:
    make.write_brats_set(tmp_path / "data")
    findings["BraTS2021_00001"] = "saturated"
    code, out, _ = run("check", "data", "--workers", "1")
    assert code == 0
    assert "WARN BraTS2021_00001\n     saturated: t1: so it is\n" in out
    findings["BraTS2021_00002"] = "empty-image"
    code, out, _ = run("check", "data", "--workers", "1", "-o", "out")
    assert code == 1
    assert out.index("FAIL BraTS2021_00002") < out.index("WARN BraTS2021_00001")
    assert "to do: replace the file" in out
    assert "report in out/check.html" in out
    assert (tmp_path / "out" / "check.json").is_file()


def test_check_as_json_fails_too(run: Run, tmp_path: Path, findings: dict[str, str]) -> None:
    make.write_brats_set(tmp_path / "data")
    findings["BraTS2021_00002"] = "empty-image"
    code, out, _ = run("check", "data", "--workers", "1", "--json")
    assert code == 1
    assert json.loads(out)["counts"] == {"PASS": 2, "WARN": 0, "FAIL": 1}


def test_ctrl_c_that_a_library_swallows_is_heard_all_the_same(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make.write_pairs(tmp_path / "data", 100)
    looked: list[str] = []

    def check_case(files: CaseFiles, _: Expected) -> CheckedCase:
        looked.append(files.case_id)
        with suppress(KeyboardInterrupt):
            if len(looked) == 3:
                os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.1)
        return CheckedCase(CaseReport(files.case_id, "p"))

    monkeypatch.setattr(module, "check_case", check_case)
    with tiny.listening_to_ctrl_c():
        code, out, err = run("check", "data", "--workers", "1", "-o", "out")
    assert (code, out) == (130, ""), err
    assert 3 < len(looked) < 100
    assert tiny.files_in(tmp_path / "out") == []


def test_check_prints_the_first_forty_cases(run: Run, tmp_path: Path, findings: dict[str, str]) -> None:
    make.write_pairs(tmp_path / "data", 43)
    findings.update({str(number): "saturated" for number in range(1, 44)})
    _, out, err = run("check", "data", "--workers", "1")
    assert out.count("\nWARN ") == 40
    assert "... and 3 more cases; --out names them all" in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("check", "nowhere"), "nowhere does not exist"),
        (("inspect", "nowhere"), "nowhere does not exist"),
        (("check", "data", "--labels", "mds"), "no label convention called 'mds'"),
        (("check", "data", "--split", "nowhere.json"), "nowhere.json does not exist"),
        (("check", "data", "-o", "file"), "file is a file"),
        (("check", "data", "--workers", "0"), "--workers"),
        (("check",), "Missing argument"),
    ],
)
def test_wrong_input_ends_with_exit_code_2(run: Run, tmp_path: Path, words: tuple[str, ...], message: str) -> None:
    make.write_brats_set(tmp_path / "data")
    (tmp_path / "file").touch()
    code, _, err = run(*words)
    assert code == 2
    assert message in err


def test_names_that_would_steer_the_terminal_do_not(run: Run, tmp_path: Path, findings: dict[str, str]) -> None:
    name = "Case_\x1b[31m[bold]\udcff_1"
    try:
        make.write_brats(tmp_path / "data", make.case(case_id=name))
    except (OSError, UnicodeError):
        pytest.skip("this file system takes no such names")
    findings[name] = "saturated"
    for verb in ("inspect", "check"):
        code, out, _ = run(verb, "data", *(("--workers", "1", "-o", "out") if verb == "check" else ()))
        assert code == 0
        assert "\x1b" not in out and "\udcff" not in out
    assert r"WARN Case_\x1b[31m[bold]\udcff_1" in out


@pytest.mark.slow
def test_check_in_processes_of_its_own(tmp_path: Path) -> None:
    """The command itself, with the real checks: the tiny heads are too small, which is what it says."""
    make.write_brats_set(tmp_path / "data")
    command = [str(Path(sys.executable).parent / "gliamap"), "check", "data", "--workers", "2", "--json"]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False, env=os.environ
    )
    assert done.returncode == 1, done.stderr
    said = json.loads(done.stdout)
    assert {rule["code"] for rule in said["rules"]} >= {"spacing-implausible"}
    assert [case["case_id"][-1] for case in said["cases"]] == ["0", "1", "2"]
    assert "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["1", "2"])
def test_ctrl_c_leaves_nothing_and_no_traceback(tmp_path: Path, workers: str) -> None:
    folder = make.write_brats(tmp_path / "data", make.case(case_id="BraTS2021_00000"))
    for number in range(1, 2000):
        copy = tmp_path / "data" / f"BraTS2021_{number:05d}"
        copy.mkdir()
        for path in folder.iterdir():
            (copy / path.name.replace(folder.name, copy.name)).hardlink_to(path)
    with tiny.interrupted(["check", "data", "--workers", workers, "-o", "out"], tmp_path, after_s=4) as running:
        out, err = running.communicate(timeout=60)
    assert running.returncode == 130, err
    assert out == ""
    assert "Traceback" not in err
    assert tiny.files_in(tmp_path / "out") == []

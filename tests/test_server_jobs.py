from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from fastapi.testclient import TestClient

from gliamap.errors import OutputError
from gliamap.io.atomic import read_json, write_json
from gliamap.server import cases
from gliamap.server.process import end_leftover, start
from gliamap.server.settings import Limits
from servers import fake_models, in_state, new_case, nifti, put, settings_in, signed_in, wait_for


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    with signed_in(settings_in(tmp_path)) as client:
        yield client


def started(client: TestClient, model: str | None) -> str:
    case_id = str(new_case(client, model)["id"])
    assert client.post(f"/api/cases/{case_id}/start").status_code == 202
    return case_id


def is_alive(pid: int) -> bool:
    """Whether a process runs, and is not only waited for."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def is_ended(pid: int) -> bool:
    """Whether a process has ended, or does so at once: the system takes its time after a signal."""
    until = time.monotonic() + 5
    while is_alive(pid) and time.monotonic() < until:
        time.sleep(0.01)
    return not is_alive(pid)


def in_network(case: dict[str, Any]) -> bool:
    return bool(case["job"] and case["job"]["stage"] == "network")


# From start to end


def test_case_is_segmented_and_its_files_can_be_fetched(client: TestClient) -> None:
    case_id = started(client, "quick")
    case = wait_for(client, case_id, in_state("done", "failed"))
    assert case["result"] == {
        "regions": {"WT": 12.5},
        "unit": "mL",
        "seconds": 0.1,
        "warnings": [{"code": "a", "text": "b"}],
        "files": ["mask", "numbers", "report", "picture"],
    }
    assert (case["job"], case["error"], case["ready"]) == (None, None, True)
    mask = client.get(f"/api/cases/{case_id}/mask?download=1")
    assert mask.content == nifti()
    assert mask.headers["content-disposition"] == f'attachment; filename="case-{case_id[:8]}.nii.gz"'
    assert client.get(f"/api/cases/{case_id}/numbers").json()["unit"] == "mL"


def test_where_models_are_chosen_a_case_without_one_is_segmented_by_none_that_is_named(tmp_path: Path) -> None:
    with signed_in(settings_in(tmp_path, choosing=True, models=fake_models(tmp_path / "models", ["quick"]))) as client:
        case_id = started(client, None)
        assert client.get("/api/info").json()["choosing"]
        assert wait_for(client, case_id, in_state("done", "failed"))["state"] == "done"
        assert "--model" not in read_json(tmp_path / "data" / case_id / "words.json")
        client.patch(f"/api/cases/{case_id}", json={"model": "quick"})
        assert client.patch(f"/api/cases/{case_id}", json={"model": None}).json()["model"] is None


def test_report_is_shown_without_the_apps_rights(client: TestClient) -> None:
    case_id = started(client, "quick")
    wait_for(client, case_id, in_state("done"))
    report = client.get(f"/api/cases/{case_id}/report")
    policy = report.headers["content-security-policy"]
    assert report.text == "<title>_report.html</title>"
    assert policy.startswith("sandbox allow-scripts; default-src 'none'")
    assert "same-origin" not in policy and "connect-src" not in policy
    assert report.headers["cross-origin-opener-policy"] == "unsafe-none"


def test_job_is_told_names_of_ours_and_no_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLIAMAP_PASSWORD", "correct horse battery")
    with signed_in(settings_in(tmp_path)) as client:
        case = new_case(client, "quick", **{"--model=evil_t1c": nifti()})
        url = f"/api/cases/{case['id']}"
        client.patch(url, json={"options": {"flips": True, "resample_to": "t1c"}, "title": "; rm -rf /"})
        client.post(f"{url}/start")
        wait_for(client, case["id"], in_state("done"))
        folder = tmp_path / "data" / case["id"]
        words = read_json(folder / "words.json")
    model = str(tmp_path / "models" / "quick")
    assert words == [
        *("input", "--out", "out", "--model", model, "--report", "--events"),
        *("--pattern", "{case}_{modality}", "--flips", "--resample-to", "t1c", "no password"),
    ]
    assert [path.name for path in (folder / "input").iterdir()] == [f"case-{case['id'][:8]}_t1c.nii.gz"]


def test_stage_share_and_time_left_are_told(client: TestClient) -> None:
    case_id = started(client, "slow")
    job = wait_for(client, case_id, in_network)["job"]
    assert (job["stage"], job["share"], job["seconds_left"], job["position"]) == ("network", 0.5, 1.5, 0)


@pytest.mark.parametrize(
    ("model", "what", "found"),
    [
        ("failing", "the scan is not one", "case-"),
        ("crashing", "the case could not be segmented for a reason that nobody foresaw", None),
        ("killed", "the work was ended by the system", "SIGKILL"),
    ],
)
def test_failures_are_told_without_paths(client: TestClient, model: str, what: str, found: str | None) -> None:
    case_id = started(client, model)
    error = wait_for(client, case_id, in_state("failed", "done"))["error"]
    assert (error["code"], error["what"]) == ("failed", what)
    assert (error["found"] or "").startswith(found or "")
    assert "/" not in json.dumps(error)


def test_command_that_is_not_there_is_a_failure_and_the_queue_goes_on(tmp_path: Path) -> None:
    with signed_in(settings_in(tmp_path, command=("/nowhere/gliamap",))) as client:
        for _ in range(2):
            wait_for(client, started(client, "quick"), in_state("failed"))


def test_result_of_a_changed_case_stays_until_it_is_started_again(client: TestClient) -> None:
    case_id = started(client, "quick")
    result = wait_for(client, case_id, in_state("done"))["result"]
    for case in (
        client.patch(f"/api/cases/{case_id}", json={"options": {"flips": True}, "model": "slow"}).json(),
        put(client, case_id, 2, nifti(), "A_t1.nii.gz").json(),
        client.delete(f"/api/cases/{case_id}/files/2").json(),
    ):
        assert (case["state"], case["result"]) == ("done", result)
    assert client.get(f"/api/cases/{case_id}/mask").status_code == 200
    assert client.post(f"/api/cases/{case_id}/start").json()["result"] is None
    assert client.get(f"/api/cases/{case_id}/mask").status_code == 404


def test_failed_case_that_is_changed_is_new(client: TestClient) -> None:
    case_id = started(client, "failing")
    wait_for(client, case_id, in_state("failed"))
    changed = client.patch(f"/api/cases/{case_id}", json={"model": "quick"}).json()
    assert (changed["state"], changed["error"]) == ("new", None)


def test_report_that_is_gone_is_said_in_a_sentence(client: TestClient, tmp_path: Path) -> None:
    case_id = started(client, "quick")
    wait_for(client, case_id, in_state("done"))
    (tmp_path / "data" / case_id / "out" / f"case-{case_id[:8]}_report.html").unlink()
    answer = client.get(f"/api/cases/{case_id}/report")
    assert answer.status_code == 404
    assert "<p>The report of this case is not on the disk any more." in answer.text
    assert "frame-ancestors 'self'" in answer.headers["content-security-policy"]


# The queue


def test_one_at_a_time_in_order_and_bounded(tmp_path: Path) -> None:
    with signed_in(settings_in(tmp_path, limits=Limits(queue=2, free_bytes=0))) as client:
        first = started(client, "slow")
        wait_for(client, first, in_network)
        waiting = [started(client, "quick") for _ in range(2)]
        assert [client.get(f"/api/cases/{one}").json()["job"]["position"] for one in waiting] == [1, 2]
        answer = client.post(f"/api/cases/{new_case(client)['id']}/start")
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "full")
        client.post(f"/api/cases/{first}/cancel")
        for one in waiting:
            wait_for(client, one, in_state("done"))


def test_busy_case_cannot_be_changed(client: TestClient) -> None:
    case_id = started(client, "slow")
    url = f"/api/cases/{case_id}"
    answers = [
        client.post(f"{url}/start"),
        client.patch(url, json={"options": {"flips": True}}),
        client.put(f"{url}/files/1", content=nifti()),
        client.delete(f"{url}/files/1"),
    ]
    assert [one.status_code for one in answers] == [409] * 4
    assert client.patch(url, json={"title": "still mine"}).status_code == 200


def test_case_that_is_not_ready_cannot_be_started(client: TestClient) -> None:
    case = new_case(client, "quick", A_t2=nifti())
    assert [one["code"] for one in case["problems"]] == ["missing-modality", "not-looked-at"]
    answer = client.post(f"/api/cases/{case['id']}/start")
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "not-now")


# Cancelled for certain


def test_stubborn_job_and_its_children_are_ended(client: TestClient, tmp_path: Path) -> None:
    case_id = started(client, "stubborn")
    child = tmp_path / "data" / case_id / "child"
    wait_for(client, case_id, lambda _: child.exists() and bool(child.read_text()))
    pids = [int(child.read_text()), read_json(tmp_path / "data" / case_id / "process.json")["pid"]]
    assert all(map(is_alive, pids))
    case = client.post(f"/api/cases/{case_id}/cancel").json()
    assert (case["state"], case["ready"]) == ("cancelled", True)
    assert all(map(is_ended, pids))
    assert client.post(f"/api/cases/{case_id}/cancel").status_code == 409


def test_child_that_a_job_leaves_behind_is_ended(client: TestClient, tmp_path: Path) -> None:
    case_id = started(client, "leaving")
    wait_for(client, case_id, in_state("done"))
    assert is_ended(int((tmp_path / "data" / case_id / "child").read_text()))


def test_app_without_time_to_close_ends_its_jobs_at_once(client: TestClient, tmp_path: Path) -> None:
    case_id = started(client, "stubborn")
    child = tmp_path / "data" / case_id / "child"
    wait_for(client, case_id, lambda _: child.exists() and bool(child.read_text()))
    client.app.state.desk.jobs.kill()  # type: ignore[attr-defined]
    assert wait_for(client, case_id, in_state("failed"))["error"]["found"] == "SIGKILL"
    assert is_ended(int(child.read_text()))


def test_waiting_job_is_cancelled_without_being_started(client: TestClient, tmp_path: Path) -> None:
    started(client, "slow")
    waiting = started(client, "quick")
    assert client.post(f"/api/cases/{waiting}/cancel").json()["state"] == "cancelled"
    assert not (tmp_path / "data" / waiting / "words.json").exists()


def test_deleting_ends_the_job_and_removes_everything(client: TestClient, tmp_path: Path) -> None:
    case_id = started(client, "slow")
    pid = wait_for(client, case_id, in_network) and read_json(tmp_path / "data" / case_id / "process.json")["pid"]
    assert client.delete(f"/api/cases/{case_id}").status_code == 204
    assert is_ended(pid)
    assert [path.name for path in (tmp_path / "data").iterdir()] == [".lock"]
    assert client.get("/api/cases").json() == {"cases": []}


# The app's end, and its next beginning


def test_end_of_the_app_is_the_end_of_its_jobs(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    with signed_in(settings) as client:
        running, waiting = started(client, "stubborn"), started(client, "quick")
        child = tmp_path / "data" / running / "child"
        wait_for(client, running, lambda _: child.exists() and bool(child.read_text()))
    assert is_ended(int(child.read_text()))
    with signed_in(settings) as client:
        found = {case["id"]: case for case in client.get("/api/cases").json()["cases"]}
        assert [found[one]["state"] for one in (running, waiting)] == ["interrupted"] * 2
        client.post(f"/api/cases/{waiting}/start")
        wait_for(client, waiting, in_state("done"))


def test_finished_cases_are_found_again_without_names(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    with signed_in(settings) as client:
        case_id = started(client, "quick")
        before = wait_for(client, case_id, in_state("done"))
    with signed_in(settings) as client:
        after = client.get(f"/api/cases/{case_id}").json()
        assert client.get(f"/api/cases/{case_id}/mask").status_code == 200
    assert before["files"][0].pop("name") == "A_t1c.nii.gz"
    assert after["files"][0].pop("name") is None
    assert {**after, "version": 0} == {**before, "version": 0}


def started_anew(tmp_path: Path, state: str) -> dict[str, Any]:
    """What is shown of a case that has files of a result, when the app was killed with it in this state."""
    settings = settings_in(tmp_path)
    with signed_in(settings) as client:
        case_id = started(client, "quick")
        wait_for(client, case_id, in_state("done"))
    record = tmp_path / "data" / case_id / "case.json"
    write_json(record, read_json(record) | {"state": state, "result": None})
    with signed_in(settings) as client:
        case: dict[str, Any] = client.get(f"/api/cases/{case_id}").json()
    return case


def test_case_that_ended_after_the_app_was_killed_is_done(tmp_path: Path) -> None:
    assert started_anew(tmp_path, "running")["result"]["regions"] == {"WT": 12.5}


def test_case_that_waited_when_the_app_was_killed_is_not_done_by_an_older_result(tmp_path: Path) -> None:
    case = started_anew(tmp_path, "queued")
    assert (case["state"], case["result"]) == ("interrupted", None)


PARENT = "import subprocess, time; print(subprocess.Popen(['sleep', '600']).pid, flush=True); "


@pytest.mark.parametrize("then", ["time.sleep(600)", "raise SystemExit"])
def test_job_of_an_app_that_was_killed_is_ended_with_its_children(tmp_path: Path, then: str) -> None:
    with start(tmp_path, [sys.executable, "-c", PARENT + then]) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        if "Exit" in then:
            process.wait(timeout=10)
        assert is_alive(child)
        end_leftover(tmp_path)
        process.wait(timeout=5)
        assert is_ended(child)
    assert not (tmp_path / "process.json").exists()


def test_stranger_who_has_the_number_of_a_job_that_ended_is_left_alone(tmp_path: Path) -> None:
    case, elsewhere = tmp_path / "case", tmp_path / "elsewhere"
    case.mkdir()
    elsewhere.mkdir()
    with start(elsewhere, ["sleep", "600"]) as stranger:
        write_json(case / "process.json", {"pid": stranger.pid})
        end_leftover(case)
        time.sleep(0.1)
        assert stranger.poll() is None
        stranger.kill()


def test_job_that_cannot_be_noted_is_ended(tmp_path: Path) -> None:
    (tmp_path / "process.json").mkdir()
    with pytest.raises(OutputError):
        start(tmp_path, [sys.executable, "-c", "import time; time.sleep(0.1); open('done', 'w')"])
    time.sleep(0.4)
    assert not (tmp_path / "done").exists()


def test_queue_goes_on_though_the_disk_was_full_when_a_job_ended(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = started(client, "slow")
    wait_for(client, first, in_network)
    with monkeypatch.context() as full:
        full.setattr(cases, "write_json", Mock(side_effect=OutputError("the record cannot be written")))
        assert client.post(f"/api/cases/{first}/cancel").json()["state"] == "cancelled"
    wait_for(client, started(client, "quick"), in_state("done"))


@pytest.mark.parametrize("said", ["[]", "{}", '{"pid": 1}', '{"pid": -1}', '{"pid": null}', "x"])
def test_odd_note_of_a_job_ends_nobody(tmp_path: Path, said: str) -> None:
    (tmp_path / "process.json").write_text(said)
    end_leftover(tmp_path)


def test_job_looks_for_no_module_in_the_cases_folder(tmp_path: Path) -> None:
    (tmp_path / "gliamap.py").write_text("open('pwned', 'w')")
    settings = settings_in(tmp_path)
    command = type(settings)(tmp_path / "x", fake_models(tmp_path / "m", ["quick"])).command
    done = subprocess.run([*command, "--help"], cwd=tmp_path, capture_output=True, check=True, env=dict(os.environ))
    assert b"Segment scans" in done.stdout
    assert not (tmp_path / "pwned").exists()

"""The app as its own process, as users start it."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from gliamap.errors import ConfigError
from gliamap.server.serve import serve
from gliamap.sources.phantom import write_phantoms
from servers import nifti, settings_in


@dataclass
class Served:
    """A running app: its process, the folder of its cases, a client that came by its first link."""

    process: subprocess.Popen[str]
    data: Path
    client: httpx.Client
    log: Path

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()


def start(tmp_path: Path) -> Served:
    """An app with the model for phantoms alone, whichever others come along."""
    log = tmp_path / "log"
    words = ["--port", "0", "--data", str(tmp_path / "data"), "--model", "phantom-demo"]
    command = [sys.executable, "-m", "gliamap", "serve", *words]
    environment = os.environ | {"COLUMNS": "100", "OMP_NUM_THREADS": "1"}
    with log.open("a") as errors:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment, start_new_session=True
        )
    assert process.stdout is not None
    said = process.stdout.readline()
    link = re.fullmatch(r"open (http://127\.0\.0\.1:\d+)/enter\?token=([\w-]{43})\n", said)
    assert link, said + log.read_text()
    client = httpx.Client(base_url=link[1], headers={"Origin": link[1]}, timeout=30, trust_env=False)
    until = time.monotonic() + 30
    while True:
        try:
            assert client.get("/enter", params={"token": link[2]}).status_code == 200
            break
        except httpx.TransportError:
            assert time.monotonic() < until
            time.sleep(0.1)
    return Served(process, tmp_path / "data", client, log)


def end(served: Served, number: int = signal.SIGTERM) -> int:
    served.client.close()
    if served.process.poll() is None:
        served.process.send_signal(number)
    code = served.process.wait(timeout=20)
    if served.process.stdout:
        served.process.stdout.close()
    return code


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    served = start(tmp_path)
    yield served
    end(served)


def events(served: Served, path: str) -> Iterator[tuple[str, Any]]:
    """The events of a stream, as they come; without beats."""
    with served.client.stream("GET", path) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        name = ""
        for line in answer.iter_lines():
            if line.startswith("event: "):
                name = line[7:]
            elif line.startswith("data: ") and name != "beat":
                yield name, json.loads(line[6:])


def upload(served: Served, case_id: str, files: dict[str, bytes]) -> dict[str, Any]:
    case: dict[str, Any] = {}
    for number, (name, content) in enumerate(files.items(), 1):
        answer = served.client.put(
            f"/api/cases/{case_id}/files/{number}", content=content, headers={"X-File-Name": name}
        )
        assert answer.status_code == 200, answer.text
        case = answer.json()
    return case


def phantom(tmp_path: Path) -> dict[str, bytes]:
    """The scans of a phantom under a patient's name."""
    write_phantoms(tmp_path / "phantoms", 1, seed=0)
    paths = sorted((tmp_path / "phantoms").rglob("*.nii.gz"))
    return {f"Jane_Doe_{p.name.rpartition('_')[2]}": p.read_bytes() for p in paths if "seg" not in p.name}


def test_phantom_from_upload_to_mask(served: Served, tmp_path: Path) -> None:
    """Also: nothing is logged, and nothing on the disk is for others."""
    case_id = served.client.post("/api/cases").json()["id"]
    case = upload(served, case_id, phantom(tmp_path))
    assert (case["ready"], case["model"], case["problems"]) == (True, "phantom-demo", [])
    stream = events(served, f"/api/cases/{case_id}/events")
    assert next(stream)[1]["state"] == "new"
    assert served.client.post(f"/api/cases/{case_id}/start").status_code == 202
    told = []
    for _, case in stream:
        told.append((case["state"], (case["job"] or {}).get("stage")))
        if case["state"] not in ("new", "queued", "running"):
            break
    assert case["state"] == "done", case["error"]
    assert ("running", "network") in told
    assert case["result"]["files"] == ["mask", "numbers", "report", "picture"]
    assert case["result"]["regions"]["WT"] > 1
    mask = served.client.get(f"/api/cases/{case_id}/mask?download=1")
    assert mask.content[:2] == b"\x1f\x8b"
    report = served.client.get(f"/api/cases/{case_id}/report").text
    assert f"case-{case_id[:8]}" in report and "Jane" not in report and str(tmp_path) not in report
    modes = {stat.S_IMODE(path.lstat().st_mode) & 0o077 for path in (served.data, *served.data.rglob("*"))}
    assert modes == {0}
    names = [path for path in served.data.rglob("*") if "Jane" in path.name or _holds(path, b"Jane")]
    assert names == []
    assert end(served) == -signal.SIGTERM
    assert "Jane" not in served.log.read_text() and "Traceback" not in served.log.read_text()


def _holds(path: Path, text: bytes) -> bool:
    return path.is_file() and text in path.read_bytes()


def test_used_link_is_followed_by_another(served: Served) -> None:
    again = served.line()
    token = again.strip().partition("token=")[2]
    assert served.client.get("/enter", params={"token": token}).status_code == 200
    assert served.client.get("/enter", params={"token": token}).status_code == 403


def test_nothing_is_said_of_requests_or_of_the_software(served: Served) -> None:
    answer = served.client.get("/api/cases/Jane-Doe", headers={"X-File-Name": "Jane"})
    assert answer.status_code == 404
    assert "server" not in answer.headers
    assert served.client.get("/api/cases?name=Jane").status_code == 200
    end(served)
    assert "Jane" not in served.log.read_text()
    assert "GET" not in served.log.read_text()


def test_upload_that_stops_in_the_middle_leaves_nothing(served: Served) -> None:
    case_id = served.client.post("/api/cases").json()["id"]

    def broken() -> Iterator[bytes]:
        yield nifti()[:50]
        raise OSError("the cable was pulled")

    with pytest.raises(OSError, match="cable"):
        served.client.put(f"/api/cases/{case_id}/files/1", content=broken())
    until = time.monotonic() + 5
    while list((served.data / case_id / "files").iterdir()) and time.monotonic() < until:
        time.sleep(0.05)
    assert list((served.data / case_id / "files").iterdir()) == []
    assert upload(served, case_id, {"t1.nii.gz": nifti()})["files"][0]["modality"] == "t1"


@pytest.mark.slow
def test_killed_app_finds_its_cases_again_and_ends_the_job_that_it_left(tmp_path: Path) -> None:
    served = start(tmp_path)
    case_id = served.client.post("/api/cases").json()["id"]
    upload(served, case_id, phantom(tmp_path))
    assert served.client.post(f"/api/cases/{case_id}/start").status_code < 300
    note = served.data / case_id / "process.json"
    while not note.exists():
        time.sleep(0.02)
    pid = json.loads(note.read_text())["pid"]
    assert end(served, signal.SIGKILL) == -signal.SIGKILL
    assert Path(f"/proc/{pid}").exists()
    served = start(tmp_path)
    until = time.monotonic() + 5
    while Path(f"/proc/{pid}").exists() and time.monotonic() < until:
        time.sleep(0.05)
    assert not Path(f"/proc/{pid}").exists()
    assert served.client.get(f"/api/cases/{case_id}").json()["state"] == "interrupted"
    end(served)


def test_stream_tells_all_cases_once_then_changes_and_ends_with_the_session(served: Served) -> None:
    old = served.client.post("/api/cases").json()["id"]
    stream = events(served, "/api/events")
    name, told = next(stream)
    assert (name, [case["id"] for case in told["cases"]]) == ("cases", [old])
    new = served.client.post("/api/cases").json()
    assert next(stream) == ("changes", {"cases": [new], "gone": []})
    served.client.delete(f"/api/cases/{new['id']}")
    assert next(stream) == ("changes", {"cases": [], "gone": [new["id"]]})
    began = time.monotonic()
    assert served.client.post("/api/logout").status_code == 204
    assert list(stream) == []
    assert time.monotonic() - began < 10  # the next beat would come after 15 s


def test_end_of_the_app_is_quick_though_somebody_watches(served: Served) -> None:
    stream = events(served, "/api/events")
    next(stream)
    began = time.monotonic()
    served.process.send_signal(signal.SIGINT)
    assert served.process.wait(timeout=20) in (0, 130)
    assert time.monotonic() - began < 10
    assert "Traceback" not in served.log.read_text()


def refused(*words: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "gliamap", "serve", "--port", "0", *words],
        capture_output=True, text=True, env=os.environ | environment, stdin=subprocess.DEVNULL, check=False,
    )  # fmt: skip
    assert done.returncode == 2, done.stdout + done.stderr
    return done.stderr


def test_other_interfaces_need_a_flag(tmp_path: Path) -> None:
    said = refused("--host", "0.0.0.0", "--data", str(tmp_path / "data"), GLIAMAP_PASSWORD="x" * 20)
    assert "can be reached by others" in said


@pytest.mark.slow
def test_other_interfaces_need_a_long_password(tmp_path: Path) -> None:
    data = str(tmp_path / "data")
    short = refused("--host", "0.0.0.0", "--allow-network", "--data", data, GLIAMAP_PASSWORD="short")
    assert "at least 12" in short and "short" not in short.replace("'short'", "")


@pytest.mark.slow
def test_open_folder_is_refused_before_anything_is_served(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data").chmod(0o755)
    assert "chmod 700" in refused("--data", str(tmp_path / "data"))


def test_server_needs_no_torch() -> None:
    code = (
        "import sys, gliamap.server.serve; "
        "sys.exit(bool({'torch', 'monai', 'matplotlib', 'openvino'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_config_error_is_what_a_taken_port_gives(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(ConfigError, match="cannot be used"):
        serve(settings_in(tmp_path, port=taken.getsockname()[1]), lambda *_: None)

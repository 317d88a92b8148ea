from __future__ import annotations

import errno
import gzip
import io
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from gliamap.server import desk, intake
from gliamap.server.settings import Limits
from servers import new_case, nifti, pack, put, settings_in, signed_in, zipped

LIMITS = Limits(file_bytes=200_000, case_bytes=300_000, files=4, free_bytes=0, idle=0.3)


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    with signed_in(settings_in(tmp_path, limits=LIMITS)) as client:
        yield client


@pytest.fixture
def case_id(client: TestClient) -> str:
    return str(client.post("/api/cases").json()["id"])


def post(client: TestClient, case_id: str, content: bytes, name: str) -> Any:
    """Add a file to those that are there."""
    return client.post(f"/api/cases/{case_id}/files", content=content, headers={"X-File-Name": name})


def png(size: tuple[int, int] = (7, 5)) -> bytes:
    out = io.BytesIO()
    Image.new("L", size, 9).save(out, "PNG")
    return out.getvalue()


def on_disk(tmp_path: Path) -> list[str]:
    """All names under the folder of the cases, without the cases' own."""
    data = tmp_path / "data"
    return sorted("/".join(p.relative_to(data).parts[1:]) for p in data.rglob("*") if p.parent != data)


def test_file_is_recognised_by_its_name_and_stored_under_its_number(
    client: TestClient, case_id: str, tmp_path: Path
) -> None:
    case = put(client, case_id, 1, nifti(), "visit/M%C3%BCller_t1ce.nii.gz").json()
    (file,) = case["files"]
    assert file["name"] == "visit/Müller_t1ce.nii.gz"
    assert (file["modality"], file["told_by"]) == ("t1c", "name")
    assert file["grid"] == {"shape": [4, 5, 6], "spacing": [1.0, 1.0, 2.0], "unit": "mm"}
    assert on_disk(tmp_path) == ["case.json", "files", "files/1.nii.gz"]


@pytest.mark.parametrize(
    "name",
    [
        "../../../evil.nii.gz",
        "/etc/passwd",
        "..%2F..%2Fevil.nii",
        "a%00b.nii",
        "C:\\x.nii",
        "%2e%2e/%2e%2e/x",
        "x" * 4000,
    ],
)
def test_clients_names_are_no_paths(client: TestClient, case_id: str, tmp_path: Path, name: str) -> None:
    before = set(tmp_path.rglob("*"))
    answer = put(client, case_id, 1, nifti(), name)
    assert answer.status_code == 200
    assert {path.name for path in set(tmp_path.rglob("*")) - before} == {"1.nii.gz"}
    assert answer.json()["files"][0]["name"].isprintable()


def test_names_are_nowhere_on_the_disk(client: TestClient, case_id: str, tmp_path: Path) -> None:
    put(client, case_id, 1, nifti(), "Jane_Doe_t1.nii.gz")
    put(client, case_id, 2, zipped({"Jane_Doe/Jane_Doe_t2.nii.gz": nifti()}), "Jane_Doe.zip")
    for path in (tmp_path / "data").rglob("*"):
        assert "Jane" not in str(path)
        assert path.is_dir() or b"Jane" not in path.read_bytes()


def test_kind_is_told_by_the_content(client: TestClient, case_id: str, tmp_path: Path) -> None:
    put(client, case_id, 1, nifti(packed=False), "t1.nii.gz")
    put(client, case_id, 2, png(), "t1.nii.gz")
    put(client, case_id, 3, nifti(), "t1.png")
    assert on_disk(tmp_path)[2:] == ["files/1.nii", "files/2.png", "files/3.nii.gz"]


def test_numbers_of_a_zip_go_round_at_the_end(client: TestClient, case_id: str) -> None:
    case = put(client, case_id, 999, zipped({"t1.nii.gz": nifti(), "t2.nii.gz": nifti()})).json()
    assert [one["number"] for one in case["files"]] == [1, 999]


def test_number_that_is_there_is_replaced(client: TestClient, case_id: str, tmp_path: Path) -> None:
    put(client, case_id, 1, nifti(), "t1.nii.gz")
    case = put(client, case_id, 1, png(), "slice.png").json()
    assert [(one["name"], one["modality"]) for one in case["files"]] == [("slice.png", "t1c")]
    assert on_disk(tmp_path)[2:] == ["files/1.png"]


BAD: dict[str, Any] = {
    "empty": b"",
    "text": b"not a scan",
    "html": b"<!doctype html><script>alert(1)</script>",
    "cut short": nifti(packed=False)[:-1],
    "cut short, packed": nifti()[:-20],
    "more than declared": nifti(packed=False) + b"x",
    "bomb": pack(nifti(packed=False) + bytes(10**7)),
    "bomb of nothing": gzip.compress(bytes(10**7)),
    "header alone": nifti(packed=False)[:100],
    "larger than allowed when unpacked": nifti((60, 60, 60)),
    "4D": nifti((4, 5, 6, 2)),
    "damaged gzip": nifti()[:50] + b"\0\0\0\0\0\0" + nifti()[56:],
    "image cut short": png()[:20],
    "zip without scans": zipped({"readme.txt": b"x"}),
    "zip that leads out": zipped({"../t1.nii.gz": nifti()}),
    "zip with a bad scan": zipped({"t1.nii.gz": nifti(), "t2.nii.gz": b"bad"}),
    "zip in a scan's clothes": zipped({"t1.nii.gz": zipped({"t1.nii.gz": nifti()})}),
    "zip bomb": zipped({"t1.nii": bytes(10**7)}),
    "zip of too many": zipped({f"{n}_t1.nii.gz": nifti() for n in range(5)}),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files_are_refused_and_leave_nothing(client: TestClient, case_id: str, tmp_path: Path, name: str) -> None:
    answer = put(client, case_id, 1, BAD[name], "Jane_t1.nii.gz")
    assert answer.status_code == 422, answer.text
    error = answer.json()["error"]
    assert error["code"] == "refused"
    assert str(tmp_path) not in answer.text and ".part-" not in answer.text
    assert client.get(f"/api/cases/{case_id}").json()["files"] == []
    assert on_disk(tmp_path) == ["case.json", "files"]


@pytest.mark.parametrize(("method", "path", "body"), [("POST", "/start", None), ("PATCH", "", {"title": "mine"})])
def test_nothing_of_a_case_changes_while_a_file_is_looked_through(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, method: str, path: str, body: Any
) -> None:
    def slowly(*said: Any) -> Any:
        looking.set()
        time.sleep(0.2)
        return intake.take_in(*said)

    looking, case_id = threading.Event(), new_case(client)["id"]
    monkeypatch.setattr(desk, "take_in", slowly)
    with ThreadPoolExecutor() as threads:
        second = threads.submit(put, client, case_id, 2, nifti(), "t2.nii.gz")
        assert looking.wait(10)
        answer = client.request(method, f"/api/cases/{case_id}{path}", json=body)
        assert (answer.status_code // 100, second.result().status_code) == (2, 200)
    assert [one["modality"] for one in answer.json()["files"]] == ["t1c", "t2"]


def test_two_windows_that_add_files_at_a_time_lose_none(client: TestClient, case_id: str) -> None:
    with ThreadPoolExecutor() as threads:
        names = ["t1.nii.gz", "t2.nii.gz", "flair.nii.gz"]
        answers = list(threads.map(lambda name: post(client, case_id, nifti(), name), names))
    assert [answer.status_code for answer in answers] == [200, 200, 200]
    files = client.get(f"/api/cases/{case_id}").json()["files"]
    assert ([one["number"] for one in files], {one["name"] for one in files}) == ([1, 2, 3], set(names))


def test_added_files_take_the_first_free_numbers(client: TestClient, case_id: str) -> None:
    put(client, case_id, 2, nifti(), "t1.nii.gz")
    case = post(client, case_id, zipped({"t1c.nii.gz": nifti(), "t2.nii.gz": nifti()}), "a.zip").json()
    assert [(one["number"], one["modality"]) for one in case["files"]] == [(1, "t1c"), (2, "t1"), (3, "t2")]


def test_zip_gives_its_scans_the_free_numbers(client: TestClient, case_id: str, tmp_path: Path) -> None:
    put(client, case_id, 2, nifti(), "x_flair.nii.gz")
    case = put(client, case_id, 1, zipped({"a/t1.nii.gz": nifti(), "a/t2.nii": nifti(packed=False)}), "a.zip").json()
    assert [(one["number"], one["name"], one["modality"]) for one in case["files"]] == [
        (1, "a/t1.nii.gz", "t1"),
        (2, "x_flair.nii.gz", "flair"),
        (3, "a/t2.nii", "t2"),
    ]
    assert on_disk(tmp_path)[2:] == ["files/1.nii.gz", "files/2.nii.gz", "files/3.nii"]


def test_file_that_is_too_large_is_refused_before_and_while_it_comes(
    client: TestClient, case_id: str, tmp_path: Path
) -> None:
    body = bytes(LIMITS.file_bytes + 1)
    for content in (body, iter([body[:1000], body])):
        answer = client.put(f"/api/cases/{case_id}/files/1", content=content)
        assert answer.status_code == 413
        assert answer.json()["error"]["code"] == "too-large"
    assert on_disk(tmp_path) == ["case.json", "files"]


def test_case_holds_so_many_files_and_bytes(client: TestClient, case_id: str) -> None:
    for number in range(1, 5):
        assert put(client, case_id, number, nifti()).status_code == 200
    assert put(client, case_id, 5, nifti()).status_code == 413
    assert put(client, case_id, 4, nifti()).status_code == 200
    other = client.post("/api/cases").json()["id"]
    plain = nifti((40, 40, 50), packed=False)
    assert [put(client, other, n, plain).status_code for n in (1, 2)] == [200, 413]


@pytest.mark.parametrize("number", ["0", "-1", "1000", "1.5", "x", "..", "01", "%31%0a"])
def test_number_is_a_number(client: TestClient, case_id: str, number: str) -> None:
    assert client.put(f"/api/cases/{case_id}/files/{number}", content=nifti()).status_code in (400, 404)


@pytest.mark.parametrize("case_id", ["x", "..", "%2e%2e", "a" * 26, "../../etc"])
def test_case_is_one_of_ours(client: TestClient, case_id: str) -> None:
    assert client.put(f"/api/cases/{case_id}/files/1", content=nifti()).status_code == 404
    assert client.get(f"/api/cases/{case_id}").status_code == 404
    assert client.get(f"/api/cases/{case_id}/mask").status_code == 404
    assert client.delete(f"/api/cases/{case_id}").status_code == 404


def test_image_is_not_read_into_memory_whatever_its_size(
    client: TestClient, case_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "_IMAGE_BYTES", 1000)
    padding = b"\0\0\x27\x10teSt" + bytes(10_000) + b"\xef\x1e\x5c\x21"
    answer = put(client, case_id, 1, png()[:33] + padding + png()[33:])
    assert answer.json()["error"]["what"] == "the file is too large"


def test_disk_that_fills_up_while_a_file_comes_is_noticed(
    client: TestClient, case_id: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(client.app.state.desk.cases, "room", lambda: 0)  # type: ignore[attr-defined]
    answer = client.put(f"/api/cases/{case_id}/files/1", content=iter([nifti()]))  # without its size
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "full")
    assert on_disk(tmp_path) == ["case.json", "files"]


def test_record_that_cannot_be_written_is_the_disks_fault_and_no_path_is_told(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_self: Path, _text: str, **_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    answer = client.post("/api/cases")
    assert (answer.status_code, answer.json()["error"]["what"]) == (503, "the disk is full")


def test_full_disk_is_said_in_time(tmp_path: Path) -> None:
    with signed_in(settings_in(tmp_path, limits=Limits(free_bytes=2**62))) as client:
        assert client.post("/api/cases").json()["error"]["code"] == "full"


def test_zip_is_not_unpacked_beyond_what_the_disk_has_room_for(
    client: TestClient, case_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = zipped({"t1.nii": nifti((30, 30, 30), packed=False)})
    monkeypatch.setattr(client.app.state.desk.cases, "room", lambda: 10_000)  # type: ignore[attr-defined]
    assert "more than that when unpacked" in put(client, case_id, 1, archive).text
    assert client.get(f"/api/cases/{case_id}").json()["files"] == []


def test_file_can_be_taken_out_again(client: TestClient, tmp_path: Path) -> None:
    case = new_case(client, A_t1=nifti(), A_t2=nifti())
    left = client.delete(f"/api/cases/{case['id']}/files/1").json()
    assert [one["modality"] for one in left["files"]] == ["t2"]
    assert client.delete(f"/api/cases/{case['id']}/files/1").status_code == 404
    assert on_disk(tmp_path) == ["case.json", "files", "files/2.nii.gz"]

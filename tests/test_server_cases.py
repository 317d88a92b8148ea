from __future__ import annotations

import asyncio
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from gliamap.errors import ConfigError
from gliamap.server.cases import Cases
from gliamap.server.nouns import CaseRecord
from gliamap.server.settings import Limits
from servers import in_state, new_case, nifti, settings_in, signed_in, wait_for

# Who may look into the folder


def test_folder_is_made_for_the_user_alone(tmp_path: Path) -> None:
    with signed_in(settings_in(tmp_path)) as client:
        case = new_case(client)
        client.post(f"/api/cases/{case['id']}/start")
        wait_for(client, case["id"], in_state("done"))
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "data" / case["id"]).stat().st_mode) == 0o700
    scan = tmp_path / "data" / case["id"] / "files" / "1.nii.gz"
    out = tmp_path / "data" / case["id"] / "out"
    assert stat.S_IMODE(scan.stat().st_mode) == 0o600
    assert {stat.S_IMODE(path.stat().st_mode) & 0o077 for path in (out, *out.iterdir())} == {0}


@pytest.mark.parametrize("mode", [0o755, 0o750, 0o707, 0o701])
def test_folder_that_is_open_to_others_is_refused(tmp_path: Path, mode: int) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data").chmod(mode)
    with pytest.raises(ConfigError, match="open to others"), signed_in(settings_in(tmp_path)):
        pass


def test_link_and_file_in_the_place_of_the_folder_are_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (tmp_path / "data").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match="no folder"), signed_in(settings_in(tmp_path)):
        pass


def test_folder_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data").mkdir(mode=0o700)
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    with pytest.raises(ConfigError, match="open to others"):
        Cases(tmp_path / "data", Limits()).open()


# What is found in it


def test_what_is_no_case_of_ours_is_passed_over(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    names = [letter * 26 for letter in "abcdef"]
    (data / names[0]).symlink_to("/etc")
    for name, content in zip(
        names[1:], ["", "[]", '{"id": 1}', '{"id": "x", "created": ""}', "{" * 10_000], strict=True
    ):
        (data / name).mkdir()
        (data / name / "case.json").write_text(content)
    (data / "notes.txt").write_text("mine")
    with signed_in(settings_in(tmp_path)) as client:
        assert client.get("/api/cases").json() == {"cases": []}
    assert (data / "notes.txt").read_text() == "mine"


def test_record_must_be_that_of_its_folder(tmp_path: Path) -> None:
    with signed_in(settings_in(tmp_path)) as client:
        case = new_case(client)
    (tmp_path / "data" / case["id"]).rename(tmp_path / "data" / ("a" * 26))
    with signed_in(settings_in(tmp_path)) as client:
        assert client.get("/api/cases").json() == {"cases": []}


def test_what_was_cut_off_is_swept_away(tmp_path: Path) -> None:
    with signed_in(settings_in(tmp_path)) as client:
        case_id = new_case(client)["id"]
    data = tmp_path / "data"
    (data / case_id / "files" / ".part-0123").write_text("half a scan")
    (data / ".gone-0123").mkdir()
    (data / ".gone-0123" / "scan").write_text("deleted")
    with signed_in(settings_in(tmp_path)):
        assert sorted(path.name for path in data.iterdir()) == [".lock", case_id]
        assert [path.name for path in (data / case_id / "files").iterdir()] == ["1.nii.gz"]


def test_second_app_on_the_same_folder_is_refused(tmp_path: Path) -> None:
    code = "import fcntl,sys; f=open(sys.argv[1],'a'); fcntl.lockf(f,fcntl.LOCK_EX); print(1,flush=True); input()"
    (tmp_path / "data").mkdir(mode=0o700)
    words = [sys.executable, "-c", code, str(tmp_path / "data" / ".lock")]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None and other.stdout.readline() == b"1\n"
        with pytest.raises(ConfigError, match="another gliamap serve"), signed_in(settings_in(tmp_path)):
            pass
        other.kill()


# Records


def test_record_comes_back_from_the_disk_without_names(tmp_path: Path) -> None:
    with signed_in(settings_in(tmp_path)) as client:
        case_id = new_case(client, A_t1=nifti(), A_t2=nifti(shift=1.5))["id"]
        record = client.app.state.desk.cases.get(case_id)  # type: ignore[attr-defined]
    kept = record.to_disk()
    assert "name" not in kept["files"][0]
    back = CaseRecord.from_disk(kept)
    assert back.to_disk() == kept
    assert back.files[1].grid == record.files[1].grid


def test_so_many_cases_and_no_more(tmp_path: Path) -> None:
    with signed_in(settings_in(tmp_path, limits=Limits(cases=2, free_bytes=0))) as client:
        assert [client.post("/api/cases").status_code for _ in range(3)] == [201, 201, 503]


def test_versions_grow_with_every_change(tmp_path: Path) -> None:
    with signed_in(settings_in(tmp_path)) as client:
        case = client.post("/api/cases", json={"title": "one"}).json()
        changed = client.patch(f"/api/cases/{case['id']}", json={"title": "two"}).json()
        assert (case["version"], changed["version"]) == (1, 2)


def test_cases_of_one_second_come_newest_first(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    with signed_in(settings) as client:
        made = [client.post("/api/cases").json()["id"] for _ in range(8)]
        assert [case["id"] for case in client.get("/api/cases").json()["cases"]] == made[::-1]
    with signed_in(settings) as client:
        assert [case["id"] for case in client.get("/api/cases").json()["cases"]] == made[::-1]


# Watching


def test_changes_are_told_and_nothing_else(tmp_path: Path) -> None:
    with signed_in(settings_in(tmp_path)) as client:
        desk = client.app.state.desk  # type: ignore[attr-defined]
        old, changed, gone = (client.post("/api/cases").json()["id"] for _ in range(3))
        with desk.cases.watched(None) as all_of_them, desk.cases.watched(old) as another:
            client.patch(f"/api/cases/{changed}", json={"title": "mine"})
            client.delete(f"/api/cases/{gone}")
            new = client.post("/api/cases").json()["id"]
            told = desk.show_changes(asyncio.run(all_of_them.changes(0.0)))
            assert asyncio.run(another.changes(0.0)) == set()
    assert [(case["id"], case["title"]) for case in told["cases"]] == [(new, ""), (changed, "mine")]
    assert told["gone"] == [gone]


def test_too_many_watchers_are_refused(tmp_path: Path) -> None:
    with signed_in(settings_in(tmp_path, limits=Limits(watchers=0, free_bytes=0))) as client:
        assert client.get("/api/events").status_code == 503

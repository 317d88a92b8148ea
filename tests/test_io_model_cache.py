"""What is kept between runs: found again, made anew where damaged, made once by two processes, bounded."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from gliamap.errors import FileError
from gliamap.io import model_cache
from gliamap.io.model_cache import cache_folder, kept_files


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GLIAMAP_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


class Maker:
    """Writes one file, and counts how often it is asked to."""

    def __init__(self, text: str = "network") -> None:
        self.text, self.asked = text, 0

    def __call__(self, folder: Path) -> None:
        self.asked += 1
        (folder / "a.bin").write_text(self.text)


def read(make: Callable[[Path], None], **made_of: str) -> str:
    with kept_files(made_of, make) as kept:
        return (kept / "a.bin").read_text()


def entries(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.name != ".lock"]


def test_what_was_made_once_is_found_again(folder: Path) -> None:
    make = Maker()
    assert [read(make, weights="1"), read(make, weights="1")] == ["network", "network"]
    assert make.asked == 1
    assert len(entries(folder)) == 1


def test_what_was_made_of_something_else_is_another_thing() -> None:
    first, second = Maker("first"), Maker("second")
    assert read(first, weights="1", torch="2.13") == "first"
    assert read(second, weights="1", torch="2.14") == "second"
    assert read(first, weights="1", torch="2.13") == "first"
    assert (first.asked, second.asked) == (1, 1)


@pytest.mark.parametrize("file", ["a.bin", "entry.json"])
@pytest.mark.parametrize(
    "damage", [Path.unlink, lambda path: path.write_text("netw0rk"), lambda path: path.chmod(0o600)]
)
def test_a_damaged_entry_is_made_anew(
    folder: Path, file: str, damage: Callable[[Path], object], caplog: pytest.LogCaptureFixture
) -> None:
    make = Maker()
    read(make, weights="1")
    (entry,) = entries(folder)
    whole = (entry / file).read_bytes()
    damage(entry / file)
    harmless = (entry / file).exists() and (entry / file).read_bytes() == whole
    assert read(make, weights="1") == "network"
    assert make.asked == (1 if harmless else 2)
    assert ("was damaged and is made anew" in caplog.text) is not harmless
    assert entries(folder) == [entry]


def test_a_file_in_the_place_of_an_entry_is_replaced(folder: Path) -> None:
    make = Maker()
    read(make, weights="1")
    (entry,) = entries(folder)
    (entry / "a.bin").unlink()
    (entry / "entry.json").unlink()
    entry.rmdir()
    entry.write_text("")
    assert read(make, weights="1") == "network"


def test_a_failure_is_passed_on_and_leaves_nothing(folder: Path) -> None:
    def fail(part: Path) -> None:
        (part / "a.bin").write_text("half")
        raise FileError("the weights are missing")

    with pytest.raises(FileError, match="weights are missing"):
        read(fail, weights="1")
    assert entries(folder) == []
    assert read(Maker(), weights="1") == "network"


def test_what_a_killed_process_left_goes(folder: Path) -> None:
    (folder / ".part-abc" / "entry").mkdir(parents=True)
    read(Maker(), weights="1")
    assert [path.name[:6] for path in entries(folder)] != [".part-"]
    assert len(entries(folder)) == 1


def test_without_a_folder_that_can_be_written_it_works_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GLIAMAP_CACHE", str(tmp_path / "file" / "cache"))
    make = Maker()
    with kept_files({"weights": "1"}, make) as kept:
        assert (kept / "a.bin").read_text() == "network"
    assert not kept.exists()
    assert make.asked == 1
    assert "made ready for this time alone" in caplog.text


def test_a_folder_that_can_only_be_read_is_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    make = Maker()
    read(make, weights="1")

    def refused(*_: object, **__: object) -> object:
        raise PermissionError("read-only")

    monkeypatch.setattr(model_cache, "alone", refused)
    assert read(make, weights="1") == "network"
    assert make.asked == 1
    assert caplog.text == ""
    (entry,) = entries(folder)
    (entry / "a.bin").write_text("netw0rk")
    assert [read(make, weights="1"), read(make, weights="2")] == ["network", "network"]
    assert make.asked == 3
    assert entries(folder) == [entry]


def test_what_was_not_used_for_longest_goes_first(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_cache, "MOST_BYTES", 3600)
    makers = {name: Maker(name * 1000) for name in "abcd"}
    for name in "abc":
        read(makers[name], weights=name)
        for entry in entries(folder):
            then = (entry / "entry.json").stat().st_mtime - 100
            os.utime(entry / "entry.json", (then, then))
    read(makers["a"], weights="a")  # now b is the one
    read(makers["d"], weights="d")
    assert {(path / "a.bin").read_text()[0] for path in entries(folder)} == {"a", "c", "d"}
    monkeypatch.setattr(model_cache, "MOST_BYTES", 0)
    read(makers["b"], weights="b")
    assert {(path / "a.bin").read_text()[0] for path in entries(folder)} == {"b"}


def test_two_processes_at_once_make_it_once(folder: Path, tmp_path: Path) -> None:
    code = """
import sys, time
from pathlib import Path
from gliamap.io.model_cache import kept_files
def make(part):
    with Path(sys.argv[1]).open("a") as log:
        log.write("made\\n")
    time.sleep(1)
    (part / "a.bin").write_text("network")
with kept_files({"weights": "1"}, make) as kept:
    print((kept / "a.bin").read_text())
"""
    both = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "log")], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    assert [process.communicate()[0] for process in both] == ["network\n"] * 2
    assert (tmp_path / "log").read_text() == "made\n"
    assert len(entries(folder)) == 1


def test_the_folder_is_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.setenv("XDG_CACHE_HOME", "/caches")
    assert cache_folder().name == "cache"
    monkeypatch.delenv("GLIAMAP_CACHE")
    assert cache_folder() == Path("/caches/gliamap")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path("/home/somebody/.cache/gliamap")

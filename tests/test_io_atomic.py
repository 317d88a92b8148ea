"""Files appear whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from gliamap.errors import FileError, OutputError
from gliamap.io.atomic import atomic_path, read_json, remove_leftovers, write_json, write_text


def test_the_target_appears_only_when_the_block_ends(tmp_path: Path) -> None:
    target = tmp_path / "new" / "folder" / "mask.nii.gz"
    with atomic_path(target) as part:
        part.write_text("half")
        assert part.parent == target.parent
        assert part.name.startswith(".part-")
        assert part.suffixes[-2:] == [".nii", ".gz"]
        assert not target.exists()
    assert target.read_text() == "half"
    assert list(target.parent.iterdir()) == [target]


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(KeyError), atomic_path(target) as part:
        part.write_text("new")
        raise KeyError
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_what_cannot_be_written_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"file/a\.txt cannot be written"):
        write_text(tmp_path / "file" / "a.txt", "text")


def test_leftovers_of_killed_writers_are_removed_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    for name in (".part-12-ab-a.json", ".tmpU3CEcX", "a.json", ".hidden", ".tmp-mine", "inner/.part-1-a"):
        (tmp_path / name).write_text("")
    remove_leftovers(tmp_path)
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")) == [
        *(".hidden", ".tmp-mine", "a.json", "inner", "inner/.part-1-a")
    ]
    remove_leftovers(tmp_path / "nothing")


def test_json_comes_back(tmp_path: Path) -> None:
    data = {"names": ["β", "b"], "none": None, "number": 1.5}
    write_json(tmp_path / "a.json", data)
    assert read_json(tmp_path / "a.json") == data


def test_nan_is_not_json(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"dice": float("nan")})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b'{"a": ', b"\xff\xfe"])
def test_damaged_json_names_the_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(FileError, match=r"a\.json is not valid JSON"):
        read_json(path)


def test_missing_json_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"a\.json does not exist"):
        read_json(tmp_path / "a.json")
    with pytest.raises(FileError, match="cannot be read"):
        read_json(tmp_path)

from __future__ import annotations

import stat
import struct
import tracemalloc
import zipfile
from contextlib import suppress
from pathlib import Path

import pytest

from gliamap.errors import FileError
from gliamap.io.zipped import ZipLimits, unzip

LIMITS = ZipLimits(members=3, member_bytes=1000, total_bytes=1500)


def archive(path: Path, *members: tuple[str | zipfile.ZipInfo, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        for name, content in members:
            out.writestr(name, content)
    return path


def content(path: Path, limits: ZipLimits = LIMITS) -> dict[str, bytes]:
    return {name: b"".join(chunks) for name, chunks in unzip(path, limits)}


def test_plain_files_are_given_with_their_names(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.zip", ("scan/t1.nii", b"one"), ("scan/", b""), ("t2.nii", b"two"))
    assert content(path) == {"scan/t1.nii": b"one", "t2.nii": b"two"}


def test_what_systems_leave_is_passed_over(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.zip", ("__MACOSX/._t1.nii", b"x"), (".DS_Store", b"x"), ("t1.nii", b"one"))
    assert content(path) == {"t1.nii": b"one"}


@pytest.mark.parametrize("name", ["../t1.nii", "a/../../t1.nii", "/etc/t1.nii", "\\t1.nii", "..\\t1.nii", "C:/t1.nii"])
def test_names_that_lead_out_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(FileError, match="leads out"):
        content(archive(tmp_path / "a.zip", (name, b"x")))


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
def test_links_and_devices_are_refused(tmp_path: Path, kind: int) -> None:
    member = zipfile.ZipInfo("t1.nii")
    member.external_attr = (kind | 0o777) << 16
    with pytest.raises(FileError, match="a link or a device"):
        content(archive(tmp_path / "a.zip", (member, b"/etc/passwd")))


def test_sizes_are_counted_not_believed(tmp_path: Path) -> None:
    bomb = archive(tmp_path / "a.zip", ("t1.nii", bytes(50 * 2**20)))
    raw = bytearray(bomb.read_bytes())
    size = struct.pack("<I", 50 * 2**20)
    while size in raw:  # in the file's own header and in the table of contents
        at = raw.find(size)
        raw[at : at + 4] = struct.pack("<I", 10)
    lying = tmp_path / "b.zip"
    lying.write_bytes(raw)
    tracemalloc.start()
    for path in (bomb, lying):
        with pytest.raises(FileError):
            content(path)
    assert tracemalloc.get_traced_memory()[1] < 2**23
    tracemalloc.stop()


def test_members_count_together(tmp_path: Path) -> None:
    two = archive(tmp_path / "a.zip", ("1.nii", bytes(800)), ("2.nii", bytes(800)))
    with pytest.raises(FileError, match="more than that"):
        content(two)
    many = archive(tmp_path / "b.zip", *((f"{n}.nii", b"x") for n in range(4)))
    with pytest.raises(FileError, match="4 files"):
        content(many)


def test_huge_table_of_contents_is_refused_unread(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.zip", *((f"{n}{'x' * 200}.txt", b"") for n in range(4500)))
    with pytest.raises(FileError, match="table of contents"):
        content(path)


def test_format_for_large_archives_is_refused(tmp_path: Path) -> None:
    raw = archive(tmp_path / "a.zip", ("1.nii", b"x")).read_bytes()
    end = raw.rfind(b"PK\5\6")
    path = tmp_path / "b.zip"
    path.write_bytes(raw[:end] + b"PK\6\7" + bytes(16) + raw[end:])
    with pytest.raises(FileError, match="4 GB"):
        content(path)


def test_password_and_odd_compression_are_refused(tmp_path: Path) -> None:
    raw = bytearray(archive(tmp_path / "a.zip", ("1.nii", b"x")).read_bytes())
    raw[raw.find(b"PK\1\2") + 8] |= 1
    path = tmp_path / "b.zip"
    path.write_bytes(raw)
    with pytest.raises(FileError, match="password"):
        content(path)
    with zipfile.ZipFile(tmp_path / "c.zip", "w", zipfile.ZIP_LZMA) as out:
        out.writestr("1.nii", b"x")
    with pytest.raises(FileError, match="compression"):
        content(tmp_path / "c.zip")


@pytest.mark.parametrize("raw", [b"", b"PK\3\4", b"PK\5\6", b"PK\5\6" + bytes(17), b"x" * 100_000])
def test_what_is_no_archive_is_refused(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(raw)
    with pytest.raises(FileError):
        content(path)


def test_every_broken_archive_is_refused_or_read(tmp_path: Path) -> None:
    """Each byte of an archive changed, one at a time."""
    raw = archive(tmp_path / "a.zip", ("t1.nii", b"some content that packs " * 4)).read_bytes()
    path = tmp_path / "b.zip"
    for at in range(len(raw)):
        for value in (0, 255, raw[at] ^ 1):
            path.write_bytes(raw[:at] + bytes([value]) + raw[at + 1 :])
            with suppress(FileError):
                assert all(isinstance(part, bytes) for part in content(path).values())

"""Files in tar archives: read where they lie, and every archive that no data set needs refused."""

from __future__ import annotations

import contextlib
import errno
import gc
import gzip
import io
import os
import random
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gliamap.errors import FileError, GliamapError
from gliamap.io import archive, tar
from gliamap.io.archive import is_archive, is_file, is_folder, list_members, open_binary, origin_of, size_of

FILES = {"Set/imagesTr/A_001.nii.gz": b"first" * 300, "Set/imagesTr/A_002.nii.gz": b"second", "Set/dataset.json": b"{}"}
KINDS = ("a.tar", "a.tar.gz", "a.tgz", "A.TAR", "packed.tar")  # the last is packed in spite of its name


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    archive._read_index.cache_clear()
    yield
    archive._read_index.cache_clear()


def member(name: str, data: bytes = b"", **fields: Any) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for key, value in fields.items():
        setattr(info, key, value)
    return info, data


def write(path: Path, *members: tuple[tarfile.TarInfo, bytes], form: int = tarfile.GNU_FORMAT) -> Path:
    packed = path.name.lower().endswith("gz") or path.name == "packed.tar"
    with tarfile.open(path, "w:gz" if packed else "w", format=form) as file:
        for info, data in members:
            file.addfile(info, io.BytesIO(data))
    return path


def write_files(path: Path, files: Mapping[str, bytes] = FILES) -> Path:
    return write(path, *[member(name, data) for name, data in files.items()])


def read(path: Path) -> bytes:
    with open_binary(path) as stream:
        return stream.read()


# What can be read


@pytest.mark.parametrize("name", KINDS)
def test_a_path_leads_into_an_archive(tmp_path: Path, name: str) -> None:
    root = write_files(tmp_path / name)
    assert is_archive(root)
    for inside, data in FILES.items():
        assert read(root / inside) == data
        assert size_of(root / inside) == len(data)
        assert is_file(root / inside) and not is_folder(root / inside)
    assert list_members(root) == {"Set": True}
    assert list_members(root / "Set") == {"imagesTr": True, "dataset.json": False}
    assert list_members(root / "Set" / "imagesTr") == {"A_001.nii.gz": False, "A_002.nii.gz": False}
    assert is_folder(root) and is_folder(root / "Set") and not is_file(root / "Set")
    assert is_file(root)  # the archive itself
    assert size_of(root) == root.stat().st_size and read(root) == root.read_bytes()


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz"])
def test_streams_seek_and_do_not_disturb_each_other(tmp_path: Path, name: str) -> None:
    root = write_files(tmp_path / name, {"x": b"0123456789", "y": b"abcdefghij"})
    with open_binary(root / "x") as x, open_binary(root / "y") as y:
        assert (x.read(3), y.read(2), x.read(2), y.tell()) == (b"012", b"ab", b"34", 2)
        assert x.seek(-4, os.SEEK_END) == 6 and x.read() == b"6789" and x.read() == b""
        assert x.seek(-2, os.SEEK_CUR) == 8 and x.read(1) == b"8"
        assert x.seek(40) == 40 and x.read() == b""
        with pytest.raises(ValueError, match="negative"):
            x.seek(-1)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # of newer Pythons, where there are threads
def test_a_forked_process_reads_the_same_unpacked_file(tmp_path: Path) -> None:
    root = write_files(tmp_path / "a.tgz", {"x": b"0123456789"})
    with open_binary(root / "x") as stream:
        assert stream.read(2) == b"01"
        child = os.fork()
        if child == 0:
            os._exit(0 if read(root / "x") == b"0123456789" else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert stream.read() == b"23456789"


def test_other_paths_are_as_ever(tmp_path: Path) -> None:
    (tmp_path / "folder.tar").mkdir()
    (tmp_path / "folder.tar" / "x").write_bytes(b"1")
    assert not is_archive(tmp_path / "folder.tar")
    assert read(tmp_path / "folder.tar" / "x") == b"1" and is_file(tmp_path / "folder.tar" / "x")
    assert list_members(tmp_path / "folder.tar") is None and is_folder(tmp_path / "folder.tar")
    stat = (tmp_path / "folder.tar" / "x").stat()
    assert origin_of(tmp_path / "folder.tar" / "x") == (1, stat.st_mtime_ns)
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "none.tar" / "x")


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz"])
def test_what_is_not_there(tmp_path: Path, name: str) -> None:
    root = write_files(tmp_path / name)
    for call in (read, size_of, list_members):
        with pytest.raises(FileNotFoundError, match="No such file"):
            call(root / "Set" / "none")
    for inside in ("none", "Set/none", "Set/dataset.json/none", "../x"):
        assert not is_file(root / inside) and not is_folder(root / inside)
    with pytest.raises(IsADirectoryError):
        read(root / "Set")
    with pytest.raises(NotADirectoryError):
        list_members(root / "Set" / "dataset.json")


def test_a_changed_archive_is_read_anew(tmp_path: Path) -> None:
    root = write_files(tmp_path / "a.tar", {"x": b"old"})
    before = origin_of(root / "x")
    assert read(root / "x") == b"old" and before == (3, root.stat().st_mtime_ns)
    write_files(root, {"x": b"new"})  # of the same size
    os.utime(root, ns=(0, before[1] + 1))
    assert read(root / "x") == b"new"
    assert origin_of(root / "x") == (3, before[1] + 1)


def test_a_packed_archive_is_unpacked_once_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write_files(tmp_path / "a.tar.gz")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    calls = []
    unpack = archive._unpack
    monkeypatch.setattr(archive, "_unpack", lambda *args: calls.append(unpack(*args)))
    for inside in FILES:
        read(root / inside)
    assert len(calls) == 1
    assert list(scratch.iterdir()) == []
    unpacked = archive._index(root).unpacked
    assert unpacked is not None and not unpacked.closed
    archive._read_index.cache_clear()
    gc.collect()
    assert unpacked.closed


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_names(tmp_path: Path, form: int) -> None:
    name = "/".join(["f" * 60, "g" * 60, "h" * 60])
    root = write(tmp_path / "a.tar", member(name, b"1"), member("x", b"2"), form=form)
    assert read(root / name) == b"1" and read(root / "x") == b"2"


def test_what_is_said_of_a_member_is_not_said_of_remarks_on_it(tmp_path: Path) -> None:
    says = member("h", b"10 size=3\n", type=tarfile.XHDTYPE)
    name = member("././@LongLink", b"long name\0", type=tarfile.GNUTYPE_LONGNAME)
    root = write(tmp_path / "a.tar", says, name, member("short", b"abc"), member("y", b"12345"))
    assert list_members(root) == {"long name": False, "y": False}
    assert read(root / "long name") == b"abc" and read(root / "y") == b"12345"


def test_folders_have_no_content_whatever_their_size_says(tmp_path: Path) -> None:
    root = write(tmp_path / "a.tar", member("Set", type=tarfile.DIRTYPE), member("Set/x", b"1"))
    assert read(patched(root, 124, b"00000010000\0") / "Set" / "x") == b"1"


def test_names_are_made_plain(tmp_path: Path) -> None:
    root = write(
        tmp_path / "a.tar",
        member("./", type=tarfile.DIRTYPE),
        member("./Set", type=tarfile.DIRTYPE),
        member("./Set/", type=tarfile.DIRTYPE),
        member("./Set//ä b.txt", b"1"),
        member("empty", type=tarfile.DIRTYPE),
    )
    assert list_members(root) == {"Set": True, "empty": True}
    assert list_members(root / "empty") == {}
    assert read(root / "Set" / "ä b.txt") == b"1"


def test_what_systems_leave_behind_is_passed_over(tmp_path: Path) -> None:
    left = ["._A.nii", "Set/._A.nii", "__MACOSX/Set/._A.nii", "./PaxHeaders.123/A", "PaxHeader/A"]
    root = write_files(tmp_path / "a.tar", dict.fromkeys(left, b"x") | {"Set/A.nii": b"1"})
    assert list_members(root) == {"Set": True} and list_members(root / "Set") == {"A.nii": False}


def test_remarks_of_macos_and_git_are_passed_over(tmp_path: Path) -> None:
    info, data = member("x", b"1", pax_headers={"LIBARCHIVE.xattr.com.apple.quarantine": "MDA4MTs", "mtime": "1.5"})
    with tarfile.open(tmp_path / "a.tar", "w", format=tarfile.PAX_FORMAT, pax_headers={"comment": "0123abc"}) as file:
        file.addfile(info, io.BytesIO(data))
    assert read(tmp_path / "a.tar" / "x") == b"1"


def test_an_archive_of_nothing(tmp_path: Path) -> None:
    for name in ("a.tar", "a.tar.gz"):
        assert list_members(write(tmp_path / name)) == {}


PARTS = st.text("abAä .-_0", min_size=1, max_size=12).filter(lambda part: part.strip(". ") and part[:2] != "._")
NAMES = st.lists(PARTS, min_size=1, max_size=4).map("/".join)


@given(
    files=st.dictionaries(NAMES, st.binary(max_size=1100), max_size=6),
    form=st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]),
    packed=st.booleans(),
)
def test_everything_comes_back(files: dict[str, bytes], form: int, packed: bool) -> None:
    whole = {name: data for name, data in files.items() if not any(other.startswith(f"{name}/") for other in files)}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / ("a.tar.gz" if packed else "a.tar")
        root = write(path, *[member(name, data) for name, data in whole.items()], form=form)
        assert {name: read(root / name) for name in whole} == whole
        archive._read_index.cache_clear()


# What is refused


def link(kind: bytes) -> tuple[tarfile.TarInfo, bytes]:
    return member("Set/link", type=kind, linkname="/etc/hostname")


def pax(**records: str) -> tuple[tarfile.TarInfo, bytes]:
    return member("x", b"1", pax_headers=records)


REFUSED: dict[str, tuple[list[tuple[tarfile.TarInfo, bytes]], str]] = {
    "absolute name": ([member("/etc/x", b"1")], "'/etc/x', a name that leads out"),
    "traversal": ([member("../x", b"1")], "'../x', a name that leads out"),
    "traversal inside": ([member("Set/../../x", b"1")], "a name that leads out"),
    "traversal of a folder": ([member("../Set", type=tarfile.DIRTYPE)], "a name that leads out"),
    "traversal in a pax name": ([pax(path="../../x")], "a name that leads out"),
    "symbolic link": ([link(tarfile.SYMTYPE)], "'Set/link', a symbolic link"),
    "hard link": ([link(tarfile.LNKTYPE)], "'Set/link', a hard link"),
    "character device": ([link(tarfile.CHRTYPE)], "a device"),
    "block device": ([link(tarfile.BLKTYPE)], "a device"),
    "pipe": ([link(tarfile.FIFOTYPE)], "a pipe"),
    "unknown kind": ([link(b"M")], "neither a file nor a folder"),
    "hidden link": ([member("._link", type=tarfile.SYMTYPE, linkname="x")], "a symbolic link"),
    "sparse": ([member("x", b"1", type=tarfile.GNUTYPE_SPARSE)], "a sparse file"),
    "sparse in pax": ([pax(**{"GNU.sparse.major": "1", "GNU.sparse.realsize": "99999999999"})], "a sparse file"),
    "two of one name": ([member("Set/x", b"1"), member("Set/y"), member("./Set//x", b"2")], "two members.*Set/x"),
    "a file as a folder": ([member("Set", b"1"), member("Set/x", b"2")], "two members of one name.*Set"),
    "a folder as a file": ([member("Set/x", b"1"), member("Set", b"2")], "two members of one name.*Set"),
    "a folder of a file's name": ([member("x", b"1"), member("x", type=tarfile.DIRTYPE)], "two members of one name"),
    "no name": ([member("./", b"1", type=tarfile.CONTTYPE)], "a file without a name"),
    "long name": ([member("x" * 1500, b"1")], "a name of 1500 characters"),
    "deep name": ([member("/".join("x" * 40), b"1")], "40 folders"),
    "line break": ([member("a\nb", b"1")], "not plain UTF-8 text"),
    "escape": ([member("a\x1b[31m", b"1")], "not plain UTF-8 text"),
    "not UTF-8": ([member("a\udce4", b"1")], "not plain UTF-8 text"),
    "long remarks": ([pax(comment="x" * 70000)], "7.... bytes of remarks"),
    "pax size": ([pax(size="99999999999")], "claims 99999999999 bytes where [0-9]+ are left"),
    "pax size below zero": ([pax(size="-512")], "claims -512 bytes"),
    "pax size in words": ([pax(size="many")], "claims many bytes"),
}


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz"])
@pytest.mark.parametrize("members, message", REFUSED.values(), ids=REFUSED.keys())
def test_archives_that_no_data_set_needs(
    tmp_path: Path, name: str, members: list[tuple[tarfile.TarInfo, bytes]], message: str
) -> None:
    form = tarfile.PAX_FORMAT if any(info.pax_headers for info, _ in members) else tarfile.GNU_FORMAT
    root = write(tmp_path / name, member("first", b"1"), *members, form=form)
    with pytest.raises(FileError, match=message) as caught:
        list_members(root)
    assert str(root) in str(caught.value) and "To do:" in str(caught.value)
    with pytest.raises(FileError, match=message):
        read(root / "first")


def patched(path: Path, at: int, data: bytes) -> Path:
    """The archive with the bytes at ``at`` of its first header changed, and the checksum made right again."""
    content = bytearray(path.read_bytes())
    content[at : at + len(data)] = data
    content[148:156] = b" " * 8
    content[148:156] = f"{sum(content[:512]):06o}\0 ".encode()
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    "size, message",
    [
        (b"77777777777\0", "claims 8589934591 bytes where"),
        (b"\x80" + bytes(3) + b"\x7f" * 8, "claims 9187201950435737471 bytes where"),
        (b"\xff" * 10 + b"\xfe\0", "claims -512 bytes"),  # a negative size would lead back to where it stands
    ],
)
def test_sizes_that_lie(tmp_path: Path, size: bytes, message: str) -> None:
    root = patched(write_files(tmp_path / "a.tar"), 124, size)
    with pytest.raises(FileError, match=message):
        list_members(root)


def test_a_broken_pax_record_does_not_lead_in_circles(tmp_path: Path) -> None:
    for record in (b"0 path=x\n", b"-9 path=x\n", b"99 path=x\n", b"path", b"9 pathxx\n", b" 9path=x\n"):
        header = member("h", record, type=tarfile.XHDTYPE)
        root = write(tmp_path / "a.tar", header, member("x", b"1"))
        archive._read_index.cache_clear()
        with pytest.raises(FileError, match="extended header that cannot be read"):
            list_members(root)


def test_absurd_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write_files(tmp_path / "a.tar", {f"{n}/x": b"" for n in range(30)})
    monkeypatch.setattr(tar, "MAX_HEADERS", 29)
    with pytest.raises(FileError, match="more than 29 headers"):
        list_members(root)
    monkeypatch.setattr(tar, "MAX_HEADERS", 31)
    monkeypatch.setattr(archive, "MAX_FOLDERS", 20)
    with pytest.raises(FileError, match="more than 20 folders"):
        list_members(root)
    monkeypatch.setattr(archive, "MAX_FOLDERS", 31)
    assert len(list_members(root) or {}) == 30


# Damage


def test_files_that_are_no_archive(tmp_path: Path) -> None:
    for name, content, found in (
        ("text.tar", b"hello " * 200, "other content"),
        ("short.tar", b"hello", "other content"),
        ("empty.tar", b"", "an empty file"),
        ("text.tar.gz", gzip.compress(b"hello " * 200, mtime=0), "other content"),
        ("bzip.tar", b"BZh91AY" * 100, "other content"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(FileError, match=rf"is not a tar archive\. Found: {found}"):
            list_members(tmp_path / name)


@pytest.mark.parametrize("left", [512, 700, 1024, 1536, 2048, 3000, -1024])
def test_cut_archives(tmp_path: Path, left: int) -> None:
    root = write_files(tmp_path / "a.tar")
    with tarfile.open(root) as file:
        end = file.getmembers()[-1].offset_data + 512
    content = root.read_bytes()[:end] + bytes(1024)
    root.write_bytes(content[:left])
    with pytest.raises(FileError, match="is damaged or cut short"):
        list_members(root)


@pytest.mark.parametrize("share", [0.3, 0.9, 0.99])
def test_cut_packed_archives(tmp_path: Path, share: float) -> None:
    root = write_files(tmp_path / "a.tar.gz", {f"x{n}": os.urandom(3000) for n in range(9)})
    content = root.read_bytes()
    root.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(FileError, match="is damaged or cut short"):
        list_members(root)


def test_a_flipped_bit_in_a_packed_archive(tmp_path: Path) -> None:
    root = write_files(tmp_path / "a.tar.gz", {"x": os.urandom(30000)})
    content = bytearray(root.read_bytes())
    content[len(content) // 2] ^= 1
    root.write_bytes(content)
    with pytest.raises(FileError, match="is damaged or cut short"):
        list_members(root)


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz"])
def test_broken_bytes_are_read_or_refused_and_nothing_else(tmp_path: Path, name: str) -> None:
    rng = random.Random(0)
    content = write_files(tmp_path / name).read_bytes()
    for turn in range(300):
        broken = bytearray(content)
        for _ in range(3):
            broken[rng.randrange(len(broken))] = rng.randrange(256)
        (tmp_path / name).write_bytes(broken)
        os.utime(tmp_path / name, ns=(0, turn))
        with contextlib.suppress(GliamapError, FileNotFoundError, IsADirectoryError):
            read(tmp_path / name / "Set/imagesTr/A_001.nii.gz")


# Room


def test_a_bomb_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write_files(tmp_path / "a.tar.gz", {"x": bytes(3 * 2**20)})
    assert root.stat().st_size < 20_000
    monkeypatch.setattr(archive, "MAX_UNPACKED", 2**20)
    with pytest.raises(FileError, match=r"cannot be unpacked\. Found: no end to it\. Expected: at most 1048576 bytes"):
        list_members(root)
    (tmp_path / "zeros.tar.gz").write_bytes(gzip.compress(bytes(3 * 2**20)))
    assert list_members(tmp_path / "zeros.tar.gz") == {}  # the end mark comes first: the rest is not unpacked


def test_no_room_to_unpack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write_files(tmp_path / "a.tar.gz")
    monkeypatch.setattr(archive.shutil, "disk_usage", lambda _: SimpleNamespace(free=2000))
    with pytest.raises(FileError, match=r"Found: more than the 2000 bytes that are free in .*To do: set TMPDIR"):
        list_members(root)


class _FullDisk(io.BytesIO):
    """Full at once, or noticed only when what was kept back is written."""

    def write(self, _: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


class _FullDiskAtLast(io.BytesIO):
    def flush(self) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("disk", [_FullDisk, _FullDiskAtLast])
def test_a_disk_that_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, disk: Any) -> None:
    root = write_files(tmp_path / "a.tar.gz")
    monkeypatch.setattr(tempfile, "TemporaryFile", disk)
    with pytest.raises(FileError, match=r"cannot be unpacked\. Found: No space left on device\. To do: set TMPDIR"):
        list_members(root)


def test_no_folder_for_temporary_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write_files(tmp_path / "a.tar.gz")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    with pytest.raises(FileError, match=r"cannot be read\. Found: No such file.*temporary files can be written"):
        list_members(root)


def test_an_archive_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write_files(tmp_path / "a.tar")

    def refuse(*_: Any) -> Any:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(FileError, match=r"cannot be read\. Found: Permission denied"):
        list_members(root)

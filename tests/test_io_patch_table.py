"""The patch table on disk: what is written comes back, in pandas and polars too; foreign and damaged files are told."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from gliamap.errors import FileError, LabelError, OutputError
from gliamap.io import patch_table as module
from gliamap.io.patch_table import PatchTableInfo, PatchTableWriter, read_columns, read_info, tissue_column
from gliamap.labels import Tissue

INFO = PatchTableInfo(fingerprint="0123abcd", size=(4, 3, 1), stride=2, convention="brats2021")

COLUMNS = [
    *("number", "case_id", "patient_id", "x", "y", "z"),
    *("native_x", "native_y", "native_z", "native_to_x", "native_to_y", "native_to_z"),
    *("tumour", "tumour_fraction", "voxels_ncr", "voxels_ed", "voxels_et", "largest_lesion", "brain_fraction"),
]


def rows(count: int, first: int = 0) -> dict[str, NDArray[Any]]:
    """So many rows of a case; a column's values tell which it is."""
    out: dict[str, NDArray[Any]] = {}
    for place, name in enumerate(COLUMNS[3:]):
        out[name] = np.arange(first, first + count) * 100 + place
    out["tumour"] = np.arange(count) % 2 == 0
    return out


def write(path: Path) -> Path:
    """Three patches of case a, two of b, of one patient."""
    with PatchTableWriter(path, INFO) as writer:
        writer.add(rows(3), case_id="a", patient_id="P")
        writer.add(rows(2, 3), case_id="b", patient_id="P")
    return path


def test_a_table_comes_back(tmp_path: Path) -> None:
    path = write(tmp_path / "new" / "t.parquet")
    assert read_info(path) == INFO
    back = read_columns(path, COLUMNS)
    assert list(back) == COLUMNS
    assert back["number"].tolist() == [0, 1, 2, 3, 4]
    assert back["case_id"].tolist() == ["a", "a", "a", "b", "b"]
    assert back["patient_id"].tolist() == ["P"] * 5
    assert back["case_id"][0] is back["case_id"][2]
    assert back["x"].tolist() == [0, 100, 200, 300, 400] and back["z"].tolist() == [2, 102, 202, 302, 402]
    assert back["tumour"].tolist() == [True, False, True, True, False]
    kinds = {name: str(values.dtype) for name, values in back.items()}
    assert kinds == dict.fromkeys(COLUMNS, "int32") | {
        "number": "int64",
        "case_id": "object",
        "patient_id": "object",
        "tumour": "bool",
        "tumour_fraction": "float32",
        "largest_lesion": "float32",
        "brain_fraction": "float32",
    }
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["t.parquet"]


def test_pandas_and_polars_read_the_same(tmp_path: Path) -> None:
    path = write(tmp_path / "t.parquet")
    ours, theirs, others = read_columns(path, COLUMNS), pd.read_parquet(path), pl.read_parquet(path)
    assert list(theirs.columns) == others.columns == COLUMNS
    for name in COLUMNS:
        assert theirs[name].tolist() == others[name].to_list() == ours[name].tolist()
    assert json.loads(pq.read_schema(path).metadata[b"gliamap"]) == {
        "format": 1,
        "fingerprint": "0123abcd",
        "size": [4, 3, 1],
        "stride": 2,
        "convention": "brats2021",
    }


def test_equal_rows_give_equal_bytes(tmp_path: Path) -> None:
    assert write(tmp_path / "a.parquet").read_bytes() == write(tmp_path / "b.parquet").read_bytes()


@pytest.mark.parametrize(("limit", "groups"), [("_GROUP_ROWS", [3, 2]), ("_GROUP_CASES", [3, 2]), ("", [5])])
def test_a_row_group_holds_whole_cases(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, groups: list[int]
) -> None:
    if limit:
        monkeypatch.setattr(module, limit, 1)
    found = pq.read_metadata(write(tmp_path / "t.parquet"))
    assert [found.row_group(n).num_rows for n in range(found.num_row_groups)] == groups
    assert read_columns(tmp_path / "t.parquet", ["case_id"])["case_id"].tolist() == ["a", "a", "a", "b", "b"]


def test_a_table_may_be_empty(tmp_path: Path) -> None:
    with PatchTableWriter(tmp_path / "t.parquet", INFO):
        pass
    assert {len(values) for values in read_columns(tmp_path / "t.parquet", COLUMNS).values()} == {0}


def test_any_name_of_a_case_is_kept(tmp_path: Path) -> None:
    with PatchTableWriter(tmp_path / "t.parquet", INFO) as writer:
        for name in ("Ä ö/1", "", "bad\udcff"):
            writer.add(rows(1), case_id=name, patient_id=name)
    assert read_columns(tmp_path / "t.parquet", ["case_id"])["case_id"].tolist() == ["Ä ö/1", "", "bad\\udcff"]


def test_an_interruption_leaves_the_old_table(tmp_path: Path) -> None:
    path = write(tmp_path / "t.parquet")
    before = path.read_bytes()
    with pytest.raises(KeyboardInterrupt), PatchTableWriter(path, INFO) as writer:
        writer.add(rows(1), case_id="c", patient_id="C")
        raise KeyboardInterrupt
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_what_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"t\.parquet cannot be written"):
        write(tmp_path / "file" / "t.parquet")


def test_names_of_columns() -> None:
    assert [tissue_column(tissue) for tissue in INFO.tissues] == ["voxels_ncr", "voxels_ed", "voxels_et"]
    assert tissue_column(Tissue.TUMOUR) == "voxels_tumour"
    assert INFO.describe() == "4x3 voxels, 2 apart"
    assert INFO.model_copy(update={"size": (4, 3, 5)}).describe() == "4x3x5 voxels, 2 apart"
    with pytest.raises(LabelError, match="nonsense"):
        PatchTableInfo(fingerprint="", size=(1, 1, 1), stride=1, convention="nonsense")


def test_a_column_that_no_table_has_is_the_caller_s_mistake(tmp_path: Path) -> None:
    with pytest.raises(KeyError, match="voxels_rc"):
        read_columns(write(tmp_path / "t.parquet"), ["x", "voxels_rc"])


def foreign(path: Path, what: str) -> None:
    """Turn the table at ``path`` into something else."""
    table = pq.read_table(path)
    held = dict(table.schema.metadata or {})
    match what:
        case "of another program":
            pd.DataFrame({"x": [1, 2]}).to_parquet(path)
        case "of another version":
            pq.write_table(table.replace_schema_metadata({b"gliamap": b'{"format": 2}'}), path)
        case "no JSON":
            pq.write_table(table.replace_schema_metadata({b"gliamap": b"\xff{"}), path)
        case "a convention that nobody knows":
            told = held[b"gliamap"].replace(b"brats2021", b"brats1921")
            pq.write_table(table.replace_schema_metadata({b"gliamap": told}), path)
        case "a column less":
            pq.write_table(table.drop_columns(["tumour"]), path)
        case "another type":
            pq.write_table(table.set_column(3, "x", table["x"].cast(pa.int64())), path)
        case "text":
            path.write_text("number,case_id\n0,a\n")
        case "nothing":
            path.write_bytes(b"")
        case "the first half":
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        case "a folder":
            path.unlink()
            path.mkdir()
        case "missing":
            path.unlink()


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("of another program", "no patch table of this version"),
        ("of another version", "no patch table of this version"),
        ("no JSON", "no patch table of this version"),
        ("a convention that nobody knows", "no patch table of this version"),
        ("a column less", "has been changed. Found: no tumour"),
        ("another type", "has been changed. Found: columns in another order or of other types"),
        ("text", "no patch table, or a damaged one"),
        ("nothing", "no patch table, or a damaged one"),
        ("the first half", "no patch table, or a damaged one"),
        ("a folder", "no patch table, or a damaged one"),
        ("missing", "does not exist"),
    ],
)
def test_a_foreign_file_is_told(tmp_path: Path, what: str, message: str) -> None:
    path = write(tmp_path / "t.parquet")
    foreign(path, what)
    for read in (read_info, lambda path: read_columns(path, ["x"])):
        with pytest.raises(FileError, match=message) as caught:
            read(path)
        assert "gliamap patches" in str(caught.value)


def test_a_table_of_too_many_rows_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "t.parquet")
    monkeypatch.setattr(module, "MAX_ROWS", 4)
    with pytest.raises(FileError, match="5 rows"):
        read_columns(path, ["x"])


def test_a_changed_byte_is_noticed_or_does_no_harm(tmp_path: Path) -> None:
    path = write(tmp_path / "t.parquet")
    sound, before = path.read_bytes(), read_columns(path, COLUMNS)
    rng = np.random.default_rng(0)
    noticed = 0
    for at in rng.choice(len(sound), 300, replace=False):
        path.write_bytes(sound[:at] + bytes([sound[at] ^ (1 << rng.integers(8))]) + sound[at + 1 :])
        try:
            back = read_columns(path, COLUMNS)
        except FileError:
            noticed += 1
            continue
        for name in COLUMNS:
            assert np.array_equal(back[name], before[name])
    assert noticed > 100


def test_arrow_is_loaded_where_a_table_is_used_and_pandas_nowhere(tmp_path: Path) -> None:
    path = write(tmp_path / "t.parquet")
    again = f"""
import sys
from pathlib import Path
import gliamap.io.store, gliamap.cli.app
assert "pyarrow" not in sys.modules
import numpy as np
import gliamap.workflows.data.patches
from gliamap.io.patch_table import *
path = Path({str(path)!r})
columns = read_columns(path, {COLUMNS!r})
with PatchTableWriter(path, read_info(path)) as writer:
    writer.add(columns, case_id="a", patient_id="P")
sys.exit(any(name in sys.modules for name in ("torch", "pandas", "matplotlib")))
"""
    assert subprocess.run([sys.executable, "-c", again], check=False).returncode == 0
    assert read_columns(path, ["case_id"])["case_id"].tolist() == ["a"] * 5

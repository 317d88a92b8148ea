"""The patch table on disk: a Parquet file with one row a patch, written and read a few cases at a time.

Columns, in this order:

number                          int64, 0 to N - 1 over the table
case_id, patient_id             strings, dictionary-encoded
x, y, z                         int32, the patch's first voxel on the prepared grid; negative where it reaches outside
native_x, native_y, native_z    int32, the box of native voxels that the patch covers, from here ...
native_to_x, _y, _z             int32, ... to before here
tumour                          bool, whether any voxel is tumour
tumour_fraction                 float32, tumour voxels over the patch's voxels
voxels_TISSUE                   int32, one for each tissue of the convention, such as voxels_ncr
largest_lesion                  float32, the whole size of the largest lesion that the patch touches; 0 without
brain_fraction                  float32, voxels that show the patient over the patch's voxels

Sizes of lesions are in mL, in pixels for images. Under the key ``gliamap`` the file's metadata holds
:class:`PatchTableInfo` as JSON.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pydantic import Field, field_validator

from gliamap.config import PatchSize, Settings
from gliamap.errors import FileError, LabelError
from gliamap.io.atomic import atomic_path
from gliamap.labels import Tissue, get_convention

Columns = Mapping[str, NDArray[Any]]
"""Equally long arrays by the name of their column."""

MAX_ROWS = 10**8
"""A file that says it has more rows is refused: the slices of a thousand heads in steps of eight voxels have fewer."""

_KEY = b"gliamap"
_GROUP_ROWS, _GROUP_CASES = 2**14, 2**8
"""Whole cases wait until they have so many rows, or are so many, and then become a row group.

One a slice would be mostly headers.
"""

_IDS = ("case_id", "patient_id")
_BOXES = ("x", "y", "z", "native_x", "native_y", "native_z", "native_to_x", "native_to_y", "native_to_z")
_REMEDY = "make it with gliamap patches"


class PatchTableInfo(Settings):
    """What the rows of a table share.

    ``fingerprint`` is that of the store, ``size`` the patch's voxels along X, Y, Z (Z = 1: patches of slices),
    ``stride`` the voxels from one patch to the next, ``convention`` names the tissues that are counted.
    """

    format: Literal[1] = 1
    fingerprint: str
    size: PatchSize
    stride: int = Field(ge=1)
    convention: str

    @field_validator("convention")
    @classmethod
    def _known(cls, convention: str) -> str:
        return get_convention(convention).name

    @property
    def tissues(self) -> tuple[Tissue, ...]:
        """The tissues that are counted, in the order of their columns."""
        return get_convention(self.convention).tissues

    def describe(self) -> str:
        """Size and stride in words; patches of slices have two edges."""
        edges = self.size if self.size[2] > 1 else self.size[:2]
        return f"{'x'.join(map(str, edges))} voxels, {self.stride} apart"


def tissue_column(tissue: Tissue) -> str:
    """The name of the column that counts a tissue's voxels, such as ``voxels_ncr``."""
    return f"voxels_{tissue.name.lower()}"


class PatchTableWriter:
    """Writes a table case by case; the file appears when the block ends well, and replaces an older one.

    Equal rows give equal bytes. Holds the rows of a few cases at a time. ``OutputError`` where ``path`` cannot be
    written.
    """

    def __init__(self, path: Path, info: PatchTableInfo) -> None:
        self._schema = _schema(info)
        self._waiting: list[pa.RecordBatch] = []
        self._rows = 0
        self._block = self._written(path)

    def __enter__(self) -> Self:
        self._block.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._block.__exit__(kind, error, trace)

    def add(self, rows: Columns, *, case_id: str, patient_id: str) -> None:
        """Add the patches of one case: all columns but ``number`` and the two ids, which are filled in."""
        count = len(rows["x"])
        filled = dict(rows) | {"number": np.arange(self._rows, self._rows + count)}
        ids = {"case_id": _repeated(case_id, count), "patient_id": _repeated(patient_id, count)}
        columns = [ids[f.name] if f.name in ids else _array(filled[f.name], f.type) for f in self._schema]
        self._waiting.append(pa.record_batch(columns, schema=self._schema))
        self._rows += count
        if len(self._waiting) >= _GROUP_CASES or sum(map(len, self._waiting)) >= _GROUP_ROWS:
            self._flush()

    @contextmanager
    def _written(self, path: Path) -> Iterator[None]:
        with (
            atomic_path(path) as part,
            part.open("wb") as stream,
            pq.ParquetWriter(stream, self._schema, compression="zstd", write_page_checksum=True) as self._file,
        ):
            yield
            self._flush()

    def _flush(self) -> None:
        """Write what waits as one row group."""
        if self._waiting:
            table = pa.Table.from_batches(self._waiting).unify_dictionaries()
            self._file.write_table(table, row_group_size=len(table))
            self._waiting.clear()


def read_info(path: Path) -> PatchTableInfo:
    """What a table says of itself; ``FileError`` where the file is none, is damaged or lacks columns."""
    with _opened(path) as (_, info):
        return info


def read_columns(path: Path, names: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Whole columns by name, in the order of the rows; texts as objects, where equal ones are one object.

    ``FileError`` where the file is no patch table, is damaged or lacks columns; ``KeyError`` for a name that no patch
    table has.
    """
    with _opened(path) as (file, info):
        unknown = set(names) - set(_schema(info).names)
        if unknown:
            raise KeyError(f"a patch table has no column {', '.join(sorted(unknown))}")
        table = file.read(columns=list(names), use_threads=False)
        return {name: _values(table.column(name)) for name in names}


def _schema(info: PatchTableInfo) -> pa.Schema:
    text = pa.dictionary(pa.int32(), pa.string())
    types = {"number": pa.int64()} | dict.fromkeys(_IDS, text) | dict.fromkeys(_BOXES, pa.int32())
    types |= {"tumour": pa.bool_(), "tumour_fraction": pa.float32()}
    types |= {tissue_column(tissue): pa.int32() for tissue in info.tissues}
    types |= {"largest_lesion": pa.float32(), "brain_fraction": pa.float32()}
    fields = [pa.field(name, kind, nullable=False) for name, kind in types.items()]
    return pa.schema(fields, metadata={_KEY: info.model_dump_json()})


# From buffers and through DLPack: pa.array and to_numpy would load pandas wherever it is installed.


def _array(values: NDArray[Any], kind: pa.DataType) -> pa.Array:
    if pa.types.is_boolean(kind):
        return _array(values, pa.uint8()).cast(kind)
    plain = np.ascontiguousarray(values, kind.to_pandas_dtype())
    return pa.Array.from_buffers(kind, len(plain), [None, pa.py_buffer(plain)])


def _repeated(text: str, count: int) -> pa.Array:
    encoded = text.encode(errors="backslashreplace")  # names of files may hold what is no UTF-8
    ends = pa.py_buffer(np.array([0, len(encoded)], np.int32))
    once = pa.StringArray.from_buffers(1, ends, pa.py_buffer(encoded))
    return pa.DictionaryArray.from_arrays(_array(np.zeros(count), pa.int32()), once)


def _values(column: pa.ChunkedArray) -> NDArray[Any]:
    if pa.types.is_dictionary(column.type):
        parts = [np.array(part.dictionary.to_pylist(), object)[np.from_dlpack(part.indices)] for part in column.chunks]
        return np.concatenate([np.empty(0, object), *parts])
    if pa.types.is_boolean(column.type):
        return _values(column.cast(pa.uint8())).view(np.bool_)
    empty = np.empty(0, column.type.to_pandas_dtype())
    return np.concatenate([empty, *(np.from_dlpack(part) for part in column.chunks)])


@contextmanager
def _opened(path: Path) -> Iterator[tuple[pq.ParquetFile, PatchTableInfo]]:
    """The file and what it says of itself; what Arrow cannot read in the block is a damaged file."""
    try:
        with path.open("rb") as stream, pq.ParquetFile(stream, page_checksum_verification=True) as file:
            yield file, _checked(file, path)
    except FileNotFoundError as error:
        raise FileError(f"{path} does not exist", expected="a patch table", remedy=_REMEDY) from error
    except (pa.ArrowException, OSError, IndexError, MemoryError) as error:
        found = str(error).partition("\n")[0]
        raise FileError(f"{path} is no patch table, or a damaged one", found=found, remedy=_REMEDY) from error


def _checked(file: pq.ParquetFile, path: Path) -> PatchTableInfo:
    """What the file says of itself; ``FileError`` where its columns are others or it has too many rows."""
    try:
        info = PatchTableInfo.model_validate_json((file.schema_arrow.metadata or {})[_KEY])
    except (KeyError, ValueError, LabelError) as error:
        raise FileError(
            f"{path} is no patch table of this version", expected="one of gliamap", remedy=_REMEDY
        ) from error
    wanted = _schema(info)
    if not file.schema_arrow.equals(wanted):
        missing = [name for name in wanted.names if name not in file.schema_arrow.names]
        found = f"no {', '.join(missing)}" if missing else "columns in another order or of other types"
        raise FileError(f"the patch table {path} has been changed", found=found, remedy=_REMEDY)
    if file.metadata.num_rows > MAX_ROWS:
        raise FileError(
            f"the patch table {path} is too large",
            found=f"{file.metadata.num_rows} rows",
            expected=f"{MAX_ROWS} at most",
        )
    return info

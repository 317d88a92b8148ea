"""The patch table of a store: what every patch holds, written case by case."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from gliamap.boxes import Shape
from gliamap.config import Settings
from gliamap.errors import ConfigError, OutputError
from gliamap.io.patch_table import MAX_ROWS, PatchTableInfo, PatchTableWriter
from gliamap.io.store import StoreEntry, read_case, read_store
from gliamap.prep.steps import foreground_mask
from gliamap.sampling.patches import patch_rows, patch_stretches

if TYPE_CHECKING:
    from gliamap.workflows.data.patch_show import Balance

_SUFFIX = ".parquet"

Progress = Callable[[int, int, str], None]


class PatchOptions(Settings):
    """What the user may set.

    ``size``: voxels along the patch's edges. ``stride``: from one patch to the next (``None``: half the size).
    ``volume``: patches of volumes rather than of slices. ``show``: count what the table holds and draw examples beside
    it. ``overwrite``: replace an earlier table.
    """

    size: int = Field(default=64, ge=1)
    stride: int | None = Field(default=None, ge=1)
    volume: bool = False
    show: bool = False
    overwrite: bool = False


@dataclass(frozen=True)
class PatchTable:
    """A table that was made: where it is, what it says of itself, how many patches and how many of them with tumour.

    ``balance`` and ``sheet``, the picture beside it, are there where they were asked for.
    """

    path: Path
    info: PatchTableInfo
    cases: int
    patches: int
    tumour: int
    balance: Balance | None = None
    sheet: Path | None = None

    @property
    def healthy(self) -> int:
        """Patches without tumour."""
        return self.patches - self.tumour


def patches(
    store: Path, out: Path, *, options: PatchOptions | None = None, progress: Progress | None = None
) -> PatchTable:
    """Write what every patch of the cases in ``store`` holds to the Parquet file ``out``.

    Columns: :mod:`gliamap.io.patch_table`. The same store gives the same bytes. ``ConfigError`` where the patches
    would leave gaps or the store's cases are no volumes, ``OutputError`` where ``out`` exists (unless ``overwrite``),
    ``FileError`` where a case is damaged.
    """
    options = options or PatchOptions()
    if out.suffix != _SUFFIX:
        raise ConfigError("a patch table is a Parquet file", found=str(out), expected=f"a name that ends in {_SUFFIX}")
    sheet = out.with_suffix(".png")
    for path in (out, sheet) if options.show else (out,):
        if path.exists() and not (options.overwrite and path.is_file()):
            raise OutputError(f"{path} exists already", remedy="choose another --out, or say --overwrite")
    size = (options.size, options.size, options.size if options.volume else 1)
    stride = options.stride or max(1, options.size // 2)
    made = make_patch_table(store, out, size=size, stride=stride, progress=progress)
    if not options.show:
        return made
    from gliamap.workflows.data.patch_show import count_balance, draw_examples

    draw_examples(store, out, made.info, sheet)
    return replace(made, balance=count_balance(store, out, made.info), sheet=sheet)


def make_patch_table(
    store: Path,
    out: Path,
    *,
    size: Shape,
    stride: int,
    cases: Sequence[str] | None = None,
    progress: Progress | None = None,
) -> PatchTable:
    """Write the table of patches of ``size`` (X, Y, Z) to ``out``, replacing what is there.

    ``cases``: only these, in the order of the store. Errors as for :func:`patches`.
    """
    info = read_store(store)
    wanted = {entry.case_id for entry in info.cases} if cases is None else set(cases)
    entries = [entry for entry in info.cases if entry.case_id in wanted]
    _check(entries, size, stride)
    table = PatchTableInfo(fingerprint=info.fingerprint, size=size, stride=stride, convention=info.convention)
    count = tumour = 0
    with PatchTableWriter(out, table) as writer:
        for number, entry in enumerate(entries):
            if progress:
                progress(number, len(entries), entry.case_id)
            case = read_case(store, entry.case_id)
            rows = patch_rows(case, table, inside=_inside(case.image, info.prep.foreground))
            writer.add(rows, case_id=entry.case_id, patient_id=entry.patient_id)
            count += len(rows["tumour"])
            tumour += int(np.count_nonzero(rows["tumour"]))
    if progress:
        progress(len(entries), len(entries), "")
    return PatchTable(out, table, len(entries), count, tumour)


def _check(entries: Sequence[StoreEntry], size: Shape, stride: int) -> None:
    """``ConfigError`` where patches leave gaps, reach through slices, or are more than a table holds."""
    if not 1 <= stride <= max(size):
        raise ConfigError(
            f"patches of {max(size)} voxels that start {stride} apart would leave gaps",
            expected=f"a stride from 1 to {max(size)}",
            remedy="choose a smaller --stride or a larger --size",
        )
    flat = [entry.case_id for entry in entries if entry.shape[2] == 1]
    if size[2] > 1 and flat:
        raise ConfigError(
            "patches of volumes cannot be cut from slices",
            found=f"{len(flat)} of {len(entries)} cases are slices, {flat[0]} the first",
            remedy="leave out --3d",
        )
    count = sum(math.prod(map(len, patch_stretches(entry.shape, size, stride))) for entry in entries)
    if count > MAX_ROWS:
        raise ConfigError(
            "the cases have more patches than a table holds",
            found=f"{count:,}",
            expected=f"{MAX_ROWS:,} at most",
            remedy="choose a larger --stride",
        )


def _inside(image: NDArray[Any], foreground: Literal["brain", "head"]) -> NDArray[np.bool_]:
    """The voxels ``(X, Y, Z)`` of a prepared image that show the patient."""
    if foreground == "head":
        return foreground_mask(image.astype(np.float32), foreground)
    # As foreground_mask, fifteen times as fast: a float16 is zero where no bit but its sign's is set.
    bits = np.bitwise_or.reduce(image.astype(np.float16, copy=False).view(np.uint16), axis=0)
    return np.asarray(bits << 1 != 0)

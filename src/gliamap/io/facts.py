"""What a file's header says, without its voxels: enough to list a thousand cases in seconds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from gliamap.boxes import Shape
from gliamap.errors import FileError
from gliamap.io import images, matlab, mgz, raster
from gliamap.io.cases import unknown_kind
from gliamap.io.nifti import scaling
from gliamap.io.nifti_header import (
    NIFTI2,
    Header,
    check_size,
    grid_of,
    is_nifti,
    mm_per_unit,
    read_header,
    sizes_of,
)
from gliamap.io.voxels import first_channel, opened
from gliamap.volume import Grid, image_grid, obliqueness_degrees, orientation

Kind = Literal["nifti1", "nifti2", "mgz", "image", "mat"]
Plane = Literal["axial", "sagittal", "coronal", "isotropic"]

THICK = 1.5
"""Slices are thick, and so have a plane, where they are this much thicker than the next longest edge of a voxel."""

_UNITS = {1: "m", 2: "mm", 3: "um"}
_PLANES: tuple[Plane, ...] = ("sagittal", "coronal", "axial")
_LETTERS = ("LR", "PA", "IS")  # towards the negative and the positive end of R, A, S


@dataclass(frozen=True, eq=False)
class FileFacts:
    """What a header says.

    ``channels`` counts the images of shape ``grid.shape`` in the file; of a picture it counts the colour bands, which
    may be copies of one grey. ``qform`` and ``sform`` are 4x4 affines to RAS+ mm; ``None`` where a NIfTI file leaves
    them unset (code 0) or unusable, and for every other kind of file. ``units`` is the header's unit of length,
    ``unknown`` where it names none, ``px`` for pictures.
    """

    kind: Kind
    grid: Grid
    channels: int
    dtype: str
    byte_order: Literal["little", "big"] = "little"
    slope: float = 1.0
    intercept: float = 0.0
    qform: NDArray[np.float64] | None = None
    qform_code: int = 0
    sform: NDArray[np.float64] | None = None
    sform_code: int = 0
    units: str = "unknown"

    @property
    def shape(self) -> Shape:
        """Voxels along X, Y, Z; Z = 1 for pictures."""
        return self.grid.shape

    @property
    def obliqueness_degrees(self) -> float:
        """The largest angle between a voxel axis and its nearest world axis; 0 for pictures."""
        return obliqueness_degrees(self.grid.affine)

    @property
    def orientation(self) -> str | None:
        """Where each voxel axis points, such as ``LPS``; ``None`` for pictures."""
        if self.grid.unit == "px":
            return None
        letters = [""] * 3
        for world, (voxel, sense) in enumerate(orientation(self.grid.affine)):
            letters[voxel] = _LETTERS[world][sense > 0]
        return "".join(letters)

    @property
    def plane(self) -> Plane | None:
        """The plane of the slices: across the axis of thick voxels (see :data:`THICK`); ``None`` for pictures."""
        if self.grid.unit == "px":
            return None
        thin, thick = np.argsort(self.grid.spacing)[1:]
        if self.grid.spacing[thick] < THICK * self.grid.spacing[thin]:
            return "isotropic"
        return next(
            plane for plane, (axis, _) in zip(_PLANES, orientation(self.grid.affine), strict=True) if axis == thick
        )


def read_facts(path: Path, channel: int | None = None) -> FileFacts:
    """What the header of an image or mask file says, from as few bytes as it takes.

    ``channel`` must be one that the file has. ``FileError`` where the file is missing, of an unknown kind, damaged as
    far as the header tells, without a usable affine, or without that channel.
    """
    if images.is_image(path):
        facts = _image_facts(path)
    elif is_nifti(path):
        facts = _nifti_facts(path)
    elif mgz.is_mgz(path):
        facts = _mgz_facts(path)
    elif matlab.is_matlab(path):
        facts = FileFacts("mat", matlab.read_grid(path), 1, "unknown", units="px")
    else:
        raise unknown_kind(path)
    if channel is not None and not 0 <= channel < facts.channels:
        raise FileError(
            f"{path} has no channel {channel}",
            found=f"{facts.channels} channels",
            expected=f"at least {channel + 1}",
            remedy="check that all files of the data set hold the same images in the same order",
        )
    return facts


def _image_facts(path: Path) -> FileFacts:
    head = raster.read_head(path)
    colours = head.bands - (head.bands in (2, 4))  # the last of these is transparency
    return FileFacts("image", image_grid(head.shape), colours, head.dtype, units="px")


def _mgz_facts(path: Path) -> FileFacts:
    with opened(path) as stream:
        header = mgz.read_header(stream, path)
    sizes = mgz.sizes_of(header)
    return FileFacts(
        kind="mgz",
        grid=mgz.grid_of(header, path, first_channel(sizes)),
        channels=math.prod(sizes[3:]),
        dtype=header.get_data_dtype().newbyteorder("=").name,
        byte_order="big",
        units="mm",
    )


def _nifti_facts(path: Path) -> FileFacts:
    with opened(path) as stream:
        header = read_header(stream, path)
    check_size(header, path)
    sizes = sizes_of(header)
    slope, intercept = scaling(header, path)
    qform, sform = _affine(header, "qform"), _affine(header, "sform")
    return FileFacts(
        kind="nifti2" if isinstance(header, NIFTI2) else "nifti1",
        grid=grid_of(header, path, first_channel(sizes)),
        channels=math.prod(sizes[3:]),
        dtype=header.get_data_dtype().newbyteorder("=").name,
        byte_order="little" if header.endianness == "<" else "big",
        slope=slope,
        intercept=intercept,
        qform=qform,
        qform_code=int(header["qform_code"]),
        sform=sform,
        sform_code=int(header["sform_code"]),
        units=_UNITS.get(int(header["xyzt_units"]) & 7, "unknown"),
    )


def _affine(header: Header, which: Literal["qform", "sform"]) -> NDArray[np.float64] | None:
    try:
        with np.errstate(all="ignore"):
            affine = (header.get_qform if which == "qform" else header.get_sform)(coded=True)[0]
    except (HeaderDataError, ValueError):  # what nibabel raises on quaternions that are none
        return None
    if affine is None or not np.isfinite(affine).all():
        return None
    scaled = np.array(affine, np.float64)
    scaled[:3] *= mm_per_unit(header)
    return scaled

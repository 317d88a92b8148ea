"""A case to look at in a notebook: a viewer to click through where ipyniivue is installed, else a picture."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from html import escape
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gliamap.boxes import whole
from gliamap.case import Case, CaseFiles
from gliamap.io.cases import read_case
from gliamap.io.label_tables import colour_of
from gliamap.io.nifti import write_new
from gliamap.labels import TISSUE_COLOURS, TISSUE_NAMES, LabelMap
from gliamap.report.canvas import tissues_in
from gliamap.report.figures import MODALITY_TITLES, MosaicOptions, choose_channel, draw_mosaic
from gliamap.report.planes import choose_cuts, display_window, make_turn
from gliamap.sources.modalities import canonical_modality
from gliamap.volume import Grid
from gliamap.workflows.common.one_case import only_case, with_mask

if TYPE_CHECKING:
    from ipywidgets import VBox

VIEWER = "ipyniivue"
"""The package of the viewer, which the extra ``notebook`` installs."""

OVERLAY = 0.45
"""How opaque the tissues are in the viewer: the scan has to show through."""

HEIGHT = 560
"""Of the viewer, in pixels."""


@dataclass(frozen=True)
class Picture:
    """A PNG that notebooks show."""

    png: bytes = field(repr=False)

    def _repr_png_(self) -> bytes:
        return self.png


def view(
    case: Path | CaseFiles, mask: Path | None = None, *, modality: str | None = None, labels: str | None = None
) -> VBox | Picture:
    """Show a case in a notebook, with the tissues of ``mask``, else of its own mask, over one modality.

    ``case`` is a case folder, an image, or one of ``gliamap.sources.detect.scan(folder).cases``. ``mask`` is a file on
    the case's grid, such as ``gliamap segment`` writes. What its numbers mean is told by ``labels`` (a convention's
    name), else by the ``CASE.json`` beside it, else as for the masks of data sets. ``modality`` is the one to show,
    and the only one that is read then; by default ``t1c`` where core is marked, else ``flair``, else the first.

    A volume is shown in the viewer of the extra ``notebook``, where that is installed: three planes in radiological
    order, the crosshair on the tumour. An image, and without the extra anything, is a picture, as ``gliamap segment``
    draws it. Either is the last value of a cell; nothing is written, and nothing leaves the machine that the notebook
    and the browser run on.

    ``LayoutError`` where ``case`` is not one case or lacks the ``modality``, ``GridError`` where the files do not lie
    on one grid, ``LabelError`` where the mask's convention is not told or does not fit, ``FileError`` on a damaged
    file.
    """
    files = with_mask(case if isinstance(case, CaseFiles) else only_case(case), mask, labels)
    wanted = None if modality is None else canonical_modality(modality) or modality
    read = read_case(files, modalities=None if wanted is None else (wanted,))
    channel = choose_channel(read, [] if read.labels is None else [read.labels], wanted)
    if read.grid.is_2d or find_spec(VIEWER) is None:
        return _draw(read, channel)
    return _open_viewer(read, channel)


def _draw(case: Case, channel: str) -> Picture:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "mosaic.png")
        draw_mosaic(case, case.labels, out, options=MosaicOptions(channel=channel))
        return Picture(out.read_bytes())


def _open_viewer(case: Case, channel: str) -> VBox:
    from ipyniivue import MultiplanarType, NiiVue, ShowRender, Volume
    from ipywidgets import HTML, VBox

    image = case.image[case.modalities.index(channel)]
    low, high = display_window(image)
    shown = NiiVue(
        height=HEIGHT,
        is_radiological_convention=True,
        sagittal_nose_left=True,
        multiplanar_layout=MultiplanarType.GRID,
        multiplanar_show_render=ShowRender.ALWAYS,
        crosshair_width=0.5,
        drag_and_drop_enabled=False,
    )
    volumes = [Volume(data=_nifti(image, case.grid), name=f"{channel}.nii.gz", cal_min=low, cal_max=high)]
    if case.labels is not None and case.labels.any():
        overlay = Volume(data=_nifti(case.labels, case.grid), name="tissues.nii.gz", opacity=OVERLAY)
        overlay.set_colormap_label(_colours(case.labels))
        volumes.append(overlay)
        shown.scene.crosshair_pos = _middle(case.labels, case.grid)
    shown.load_volumes(volumes)
    return VBox([shown, HTML(_legend(case, channel))])


def _nifti(volume: NDArray[np.generic], grid: Grid) -> bytes:
    """The volume as the file that the viewer reads: what it came from may be any format, archive or channel."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "volume.nii.gz")
        write_new(out, volume, grid)
        return out.read_bytes()


def _colours(labels: LabelMap) -> dict[str, list[float]]:
    """Colours of the tissues that there are, as the viewer takes them; background is clear."""
    present = tissues_in(labels)
    red, green, blue = ([0.0, *(float(colour_of(tissue)[i]) for tissue in present)] for i in range(3))
    return {
        "R": red,
        "G": green,
        "B": blue,
        "A": [0.0, *(255.0 for _ in present)],
        "I": [0.0, *(float(tissue) for tissue in present)],
    }


def _legend(case: Case, channel: str) -> str:
    """What the viewer shows, in HTML: case, modality, tissues. It has no room for words itself."""
    present = [] if case.labels is None else tissues_in(case.labels)
    tissues = [
        f'<span style="color:{TISSUE_COLOURS[tissue]}">&#9632;</span> {TISSUE_NAMES[tissue]}' for tissue in present
    ]
    title = f"<b>{escape(case.case_id)}</b> {escape(MODALITY_TITLES.get(channel, channel))}"
    return " &ensp; ".join((title, *tissues, "<i>research use only</i>"))


def _middle(labels: LabelMap, grid: Grid) -> list[float]:
    """Where pictures cut through what is marked, as a share of each axis to the right, front and top."""
    turn = make_turn(grid)
    axial, coronal, sagittal = choose_cuts(turn.apply(labels) != 0, whole(turn.shape))
    at = (sagittal.index, coronal.index, axial.index)
    return [1 - (index + 0.5) / n for index, n in zip(at, turn.shape, strict=True)]

"""Label names and colours for viewers: a colour table for 3D Slicer, a label description file for ITK-SNAP.

Formats: Slicer's developer guide, 'Colors' (``.ctbl``: value, name without spaces, red, green, blue, opacity, 0 to
255, and a value may be skipped); the header and the columns that ITK-SNAP itself writes with 'Export Label
Descriptions'. Names and colours are those of :mod:`gliamap.labels`, so that viewers and our pictures agree.
"""

from __future__ import annotations

from pathlib import Path

from gliamap.io.atomic import write_text
from gliamap.labels import TISSUE_COLOURS, TISSUE_NAMES, Convention, Tissue

SLICER_TABLE = "labels.ctbl"
SNAP_TABLE = "labels.label"

_SNAP_HEADER = """\
################################################
# ITK-SnAP Label Description File
# File format:
# IDX   -R-  -G-  -B-  -A--  VIS MSH  LABEL
# Fields:
#    IDX:   Zero-based index
#    -R-:   Red color component (0..255)
#    -G-:   Green color component (0..255)
#    -B-:   Blue color component (0..255)
#    -A-:   Label transparency (0.00 .. 1.00)
#    VIS:   Label visibility (0 or 1)
#    IDX:   Label mesh visibility (0 or 1)
#  LABEL:   Label description
################################################
    0     0    0    0        0  0  0    "Clear Label"
"""


def label_tables(convention: Convention) -> dict[str, str]:
    """File name to content of the tables that belong beside masks in ``convention``."""
    return {SLICER_TABLE: _slicer_table(convention), SNAP_TABLE: _snap_table(convention)}


def write_label_tables(folder: Path, convention: Convention) -> None:
    """Write ``labels.ctbl`` (3D Slicer) and ``labels.label`` (ITK-SNAP) into ``folder``; each replaces its like."""
    for name, text in label_tables(convention).items():
        write_text(folder / name, text)


def colour_of(tissue: Tissue) -> tuple[int, int, int]:
    """Red, green and blue of a tissue, 0 to 255."""
    red, green, blue = bytes.fromhex(TISSUE_COLOURS[tissue].removeprefix("#"))
    return red, green, blue


def _slicer_table(convention: Convention) -> str:
    lines = [f"# Color table file {SLICER_TABLE}", f"# {max(convention.values) + 1} values", "0 background 0 0 0 0"]
    for value, tissue in sorted(convention.values.items()):
        name = TISSUE_NAMES[tissue].replace(" ", "_")
        lines.append(" ".join(map(str, (value, name, *colour_of(tissue), 255))))
    return "\n".join(lines) + "\n"


def _snap_table(convention: Convention) -> str:
    rows = []
    for value, tissue in sorted(convention.values.items()):
        red, green, blue = colour_of(tissue)
        rows.append(f'  {value:>3}   {red:>3}  {green:>3}  {blue:>3}        1  1  1    "{TISSUE_NAMES[tissue]}"\n')
    return _SNAP_HEADER + "".join(rows)

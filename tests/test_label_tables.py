"""Tables of names and colours, and segmentations for 3D Slicer, parsed back as the viewers do."""

from __future__ import annotations

import gzip
import re
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import make
from gliamap.errors import GridError
from gliamap.io.label_tables import label_tables, write_label_tables
from gliamap.io.slicer import write_segmentation
from gliamap.labels import CONVENTIONS, TISSUE_COLOURS, TISSUE_NAMES, Tissue, from_tissue, get_convention
from gliamap.volume import Grid, image_grid


def rgb(tissue: Tissue) -> tuple[int, ...]:
    """Red, green, blue of the pictures' own colour."""
    return tuple(int(TISSUE_COLOURS[tissue][at : at + 2], 16) for at in (1, 3, 5))


def read_ctbl(text: str) -> dict[int, tuple[str, tuple[int, ...]]]:
    """Value to name and RGBA, as Slicer reads them: blanks divide, lines that begin with # are passed over."""
    rows = [line.split(" ") for line in text.splitlines() if line and not line.startswith("#")]
    assert all(len(row) == 6 for row in rows)
    return {int(row[0]): (row[1], tuple(map(int, row[2:]))) for row in rows}


def read_snap(text: str) -> dict[int, tuple[tuple[int, ...], float, int, int, str]]:
    """Value to RGB, alpha, visible, mesh and name, as ITK-SNAP reads them: numbers, then what stands in quotes."""
    found = {}
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        match = re.fullmatch(r'\s*(\d+)\s+(\d+)\s+(\d+)\s+(\d+)\s+([\d.]+)\s+([01])\s+([01])\s+"([^"]*)"', line)
        assert match is not None, line
        index, red, green, blue = (int(match[at]) for at in range(1, 5))
        found[index] = ((red, green, blue), float(match[5]), int(match[6]), int(match[7]), match[8])
    return found


def read_nrrd(path: Path) -> tuple[dict[str, str], NDArray[np.uint8]]:
    """Fields and key/value pairs of a NRRD file, and its voxels in the order of its axes."""
    head, packed = path.read_bytes().split(b"\n\n", 1)
    magic, *lines = head.decode().split("\n")
    assert magic == "NRRD0004"
    fields = dict(re.split(r":=|: ", line, maxsplit=1) for line in lines)
    assert (fields["type"], fields["encoding"]) == ("unsigned char", "gzip")
    sizes = [int(n) for n in fields["sizes"].split()]
    assert len(sizes) == int(fields["dimension"]) == len(fields["kinds"].split())
    voxels = np.frombuffer(gzip.decompress(packed), np.uint8)
    return fields, voxels.reshape(sizes, order="F")


def affine_of(fields: dict[str, str]) -> NDArray[np.float64]:
    """Voxel to RAS+, from directions and origin in left-posterior-superior."""
    assert fields["space"] == "left-posterior-superior"
    columns = [[float(x) for x in v.split(",")] for v in re.findall(r"\(([^)]*)\)", fields["space directions"])]
    out = np.eye(4)
    out[:3, :3] = np.array(columns).T
    out[:3, 3] = [float(x) for x in fields["space origin"].strip("()").split(",")]
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ out


def test_tables_by_eye() -> None:
    tables = label_tables(get_convention("brats2021"))
    assert tables["labels.ctbl"] == (
        "# Color table file labels.ctbl\n"
        "# 5 values\n"
        "0 background 0 0 0 0\n"
        "1 necrotic_/_non-enhancing_core 240 62 62 255\n"
        "2 edema 18 184 134 255\n"
        "4 enhancing_tumour 255 212 59 255\n"
    )
    assert tables["labels.label"].splitlines()[:2] == ["#" * 48, "# ITK-SnAP Label Description File"]
    assert tables["labels.label"].splitlines()[-4:] == [
        '    0     0    0    0        0  0  0    "Clear Label"',
        '    1   240   62   62        1  1  1    "necrotic / non-enhancing core"',
        '    2    18  184  134        1  1  1    "edema"',
        '    4   255  212   59        1  1  1    "enhancing tumour"',
    ]


@pytest.mark.parametrize("name", CONVENTIONS)
def test_tables_name_and_colour_every_label_as_our_pictures_do(name: str, tmp_path: Path) -> None:
    convention = get_convention(name)
    write_label_tables(tmp_path, convention)
    slicer = read_ctbl((tmp_path / "labels.ctbl").read_text())
    assert slicer.pop(0) == ("background", (0, 0, 0, 0))
    assert slicer == {
        value: (TISSUE_NAMES[tissue].replace(" ", "_"), (*rgb(tissue), 255))
        for value, tissue in convention.values.items()
    }
    snap = read_snap((tmp_path / "labels.label").read_text())
    assert snap.pop(0) == ((0, 0, 0), 0, 0, 0, "Clear Label")
    assert snap == {v: (rgb(tissue), 1, 1, 1, TISSUE_NAMES[tissue]) for v, tissue in convention.values.items()}


@pytest.mark.parametrize("kind", make.KINDS)
def test_a_segmentation_lies_where_the_mask_lies(kind: str, tmp_path: Path) -> None:
    grid = make.grid(kind)
    values = from_tissue(make.labels(grid.shape), get_convention("brats2021"))
    write_segmentation(tmp_path / "a.seg.nrrd", values, grid, get_convention("brats2021"))
    fields, voxels = read_nrrd(tmp_path / "a.seg.nrrd")
    np.testing.assert_array_equal(voxels, values)
    np.testing.assert_array_equal(affine_of(fields), grid.affine)


def test_space_by_eye(tmp_path: Path) -> None:
    affine = np.array([[0.0, 2, 0, 10], [1, 0, 0, -20], [0, 0, 3, 30], [0, 0, 0, 1]])
    write_segmentation(
        tmp_path / "a.seg.nrrd", np.zeros((4, 5, 6), np.uint8), Grid((4, 5, 6), affine), CONVENTIONS["msd"]
    )
    fields, _ = read_nrrd(tmp_path / "a.seg.nrrd")
    assert fields["sizes"] == "4 5 6"
    assert fields["space directions"] == "(0.0,-1.0,0.0) (-2.0,0.0,0.0) (0.0,0.0,3.0)"
    assert fields["space origin"] == "(-10.0,20.0,30.0)"


def test_segments_carry_name_colour_value_and_extent(tmp_path: Path) -> None:
    convention = get_convention("brats2021")
    values = np.zeros((5, 6, 7), np.uint8)
    values[1:4, 2, 3:5] = 4
    values[0, 5, 6] = 2
    write_segmentation(tmp_path / "a.seg.nrrd", values, Grid((5, 6, 7), np.eye(4)), convention)
    fields, _ = read_nrrd(tmp_path / "a.seg.nrrd")
    segments = [
        {key: fields[f"Segment{n}_{key}"] for key in ("ID", "Name", "LabelValue", "Layer", "Extent")} for n in range(3)
    ]
    assert segments == [
        {"ID": "NCR", "Name": "necrotic / non-enhancing core", "LabelValue": "1", "Layer": "0"}
        | {"Extent": "0 -1 0 -1 0 -1"},
        {"ID": "ED", "Name": "edema", "LabelValue": "2", "Layer": "0", "Extent": "0 0 5 5 6 6"},
        {"ID": "ET", "Name": "enhancing tumour", "LabelValue": "4", "Layer": "0", "Extent": "1 3 2 2 3 4"},
    ]
    assert "Segment3_ID" not in fields
    assert fields["Segmentation_SourceRepresentation"] == "Binary labelmap"
    for number, tissue in enumerate(convention.tissues):
        colour = [round(255 * float(part)) for part in fields[f"Segment{number}_Color"].split()]
        assert tuple(colour) == rgb(tissue)


def test_segment_ids_are_unique_and_names_need_no_escape() -> None:
    for convention, tissue in product(CONVENTIONS.values(), Tissue):
        assert len({t.name for t in convention.tissues}) == len(convention.tissues)
        assert not re.search(r'[\n"|~:\\]', TISSUE_NAMES[tissue])


def test_an_image_has_no_place_in_a_patient(tmp_path: Path) -> None:
    with pytest.raises(GridError, match=r"an image without spacing.*PNG"):
        write_segmentation(
            tmp_path / "a.seg.nrrd", np.zeros((4, 5, 1), np.uint8), image_grid((4, 5, 1)), CONVENTIONS["msd"]
        )
    assert list(tmp_path.iterdir()) == []

"""Payloads for viewers, made from little: an ellipsoid with a tumour, and a bright ball in the patient's right half."""

from __future__ import annotations

import gzip
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gliamap.viewer.document import VIEWER, embed, read_scripts, read_static, write_document

SHAPE = (44, 52, 36)
SPACING = (3.0, 3.0, 4.0)
MARKER = (34, 30, 20)  # x runs to the patient's right, and 34 is beyond the middle
TUMOUR = (14, 28, 18)
NUMBERS = [[*range(43, -1, -1)], [*range(52)], [*range(2, 38)]]  # in the file X runs to the left, and Z begins lower
TISSUES = (
    {"value": 2, "name": "ED", "title": "edema", "colour": "#12b886"},
    {"value": 3, "name": "ET", "title": "enhancing tumour", "colour": "#ffd43b"},
    {"value": 1, "name": "NCR", "title": "necrotic / non-enhancing core", "colour": "#f03e3e"},
)
START = """
window.viewer = createViewer(document.getElementById("view"), readPayload("case"), blobsInPage("case"));
window.inside = { contourOf, layoutOf, placeOf, planesOf, sidesOf };
"""

Content = dict[str, Any]
Blobs = dict[str, bytes]


def ball(centre: tuple[int, int, int], radius: float) -> NDArray[np.bool_]:
    """A ball on the grid; ``radius`` in voxels."""
    at = np.indices(SHAPE).astype(np.float32)
    return sum((axis - c) ** 2 for axis, c in zip(at, centre, strict=True)) <= radius**2  # type: ignore[return-value]


def pack(volume: NDArray[np.uint8]) -> bytes:
    """The bytes of an ``(X, Y, Z)`` volume, x fastest."""
    return gzip.compress(volume.astype(np.uint8).tobytes(order="F"), 6)


def volumes() -> dict[str, NDArray[np.uint8]]:
    """Two images, prediction, reference (shifted by two voxels) and a map."""
    middle = tuple((n - 1) / 2 for n in SHAPE)
    at = np.indices(SHAPE).astype(np.float32)
    radius = sum(((axis - c) / (0.46 * n)) ** 2 for axis, c, n in zip(at, middle, SHAPE, strict=True))
    grey = np.where(radius < 1, 150 - 40 * radius, 0).astype(np.uint8)
    grey[(radius < 0.85) & (abs(at[0] - middle[0]) < 1)] = 60  # the falx
    t1c, flair = grey.copy(), grey.copy()
    maps = {}
    for name, shift in (("labels", 0), ("reference", 2)):
        centre = (TUMOUR[0], TUMOUR[1] + shift, TUMOUR[2])
        tissue = np.zeros(SHAPE, np.uint8)
        tissue[ball(centre, 9)], tissue[ball(centre, 6)], tissue[ball(centre, 4)] = 2, 3, 1
        maps[name] = tissue
    flair[maps["reference"] > 0] = 230
    t1c[maps["reference"] == 3] = 235
    t1c[maps["reference"] == 1] = 70
    t1c[ball(MARKER, 3)] = 255
    rim = (maps["labels"] > 0) ^ (maps["reference"] > 0)
    maps["entropy"] = np.where(rim, 220, np.where(maps["labels"] > 0, 60, 0)).astype(np.uint8)
    return {"t1c": t1c, "flair": flair, **maps}


def phantom(**changes: Any) -> tuple[Content, Blobs]:
    """A payload with everything but surfaces, and its blobs; ``changes`` replace parts of the content."""
    content: Content = {
        "version": 1,
        "title": "phantom",
        "grid": {
            "shape": list(SHAPE),
            "spacing": list(SPACING),
            "numbers": NUMBERS,
            "affine": [[3, 0, 0, -64.5], [0, 3, 0, -76.5], [0, 0, 4, -70.0]],
            "unit": "mm",
            "two_d": False,
            "oblique_degrees": 0.0,
            "letters": [["L", "R"], ["P", "A"], ["I", "S"]],
        },
        "images": [
            {"name": "t1c", "title": "T1 post-contrast", "range": [0, 510], "window": [0, 510], "blob": "t1c"},
            {"name": "flair", "title": "FLAIR", "range": [0, 1020], "window": [100, 900], "blob": "flair"},
        ],
        "tissues": list(TISSUES),
        "labels": "labels",
        "reference": "reference",
        "maps": [{"name": "entropy", "title": "uncertainty (entropy)", "range": [0, 0.69], "blob": "entropy"}],
        "surfaces": [],
        "start": list(TUMOUR),
    }
    return {**content, **changes}, {name: pack(volume) for name, volume in volumes().items()}


def image() -> tuple[Content, Blobs]:
    """An image of one slice in pixels, with a prediction only."""
    content, _ = phantom()
    made = {name: volume[:, :, TUMOUR[2] : TUMOUR[2] + 1] for name, volume in volumes().items()}
    grid = {
        **content["grid"],
        "shape": [*SHAPE[:2], 1],
        "spacing": [1, 1, 1],
        "unit": "px",
        "two_d": True,
        "letters": [],
        "numbers": [NUMBERS[0], NUMBERS[1][::-1], [0]],
    }
    del grid["affine"]
    content |= {"grid": grid, "reference": None, "maps": [], "images": content["images"][:1]}
    content["start"] = [*TUMOUR[:2], 0]
    return content, {name: pack(made[name]) for name in ("t1c", "labels")}


def viewer_page(content: Content, blobs: Blobs) -> str:
    """A page with one viewer, which a test finds as ``window.viewer``, and some of its parts as ``window.inside``."""
    return write_document(
        content["title"],
        ['<div id="view"></div>', embed("case", content, blobs)],
        version="test",
        styles=[read_static(f"{VIEWER}.css"), "main { max-width: 84rem; }"],
        scripts=[*read_scripts(VIEWER), START],
    )

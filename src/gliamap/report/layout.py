"""Where the pictures of a row lie on a sheet: equal millimetres per pixel, nothing overlapping. Pure arithmetic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Place:
    """A rectangle on the sheet in pixels, y downwards from the top."""

    x: float
    y: float
    width: float
    height: float

    @property
    def right(self) -> float:
        """x of the right edge."""
        return self.x + self.width

    @property
    def bottom(self) -> float:
        """y of the lower edge."""
        return self.y + self.height

    @property
    def middle(self) -> tuple[float, float]:
        """x and y of the centre."""
        return self.x + self.width / 2, self.y + self.height / 2


@dataclass(frozen=True)
class Frame:
    """What a row has to fit into: sheet ``width``, empty ``margin`` at both ends, ``gap`` between tiles.

    ``pad`` is kept free around each picture inside its tile, for letters; a picture is at most ``max_height`` high.
    """

    width: float
    margin: float
    gap: float
    pad: float
    max_height: float


@dataclass(frozen=True)
class RowPlaces:
    """A laid-out row: ``scale`` pixels per mm, and for each panel its black tile and, centred in it, its picture."""

    scale: float
    tiles: tuple[Place, ...]
    pictures: tuple[Place, ...]

    @property
    def bottom(self) -> float:
        """y of the tiles' lower edge."""
        return self.tiles[0].bottom

    @property
    def right(self) -> float:
        """x of the last tile's right edge."""
        return self.tiles[-1].right


def place_row(sizes: Sequence[tuple[float, float]], top: float, frame: Frame) -> RowPlaces:
    """Lay out pictures of ``sizes`` (width, height in mm) from ``top`` on, all at one scale, as large as they fit.

    Tiles are equally high and together as wide as the frame: what a height limit leaves over goes to all alike.
    """
    free = frame.width - 2 * frame.margin - (len(sizes) - 1) * frame.gap - 2 * frame.pad * len(sizes)
    across = sum(width for width, _ in sizes)
    tallest = max(height for _, height in sizes)
    scale = min(free / across, frame.max_height / tallest)
    spare = (free - scale * across) / len(sizes)
    tiles, pictures = [], []
    x = frame.margin
    for width, height in sizes:
        tile = Place(x, top, scale * width + 2 * frame.pad + spare, scale * tallest + 2 * frame.pad)
        at = (tile.middle[0] - scale * width / 2, tile.middle[1] - scale * height / 2)
        tiles.append(tile)
        pictures.append(Place(*at, scale * width, scale * height))
        x = tile.right + frame.gap
    return RowPlaces(scale, tuple(tiles), tuple(pictures))

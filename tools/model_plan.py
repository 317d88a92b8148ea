"""The models that come with gliamap: what each is for, and what it is made from. Numbers of the trainings are in
``gliamap.recipes.shipped``, hand-written parts of the cards in ``tools/models``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from gliamap.errors import ConfigError


@dataclass(frozen=True)
class Plan:
    """A model to be made.

    ``summary`` and ``licence`` become those of its spec. ``sources``: folders of the data folder. ``spacing`` of the
    prepared data (default: the images' own), and ``pixel_mm`` of images that do not tell how wide a pixel is.
    ``closed_fold``: the fold of the data set's own that is opened once, at the end. ``strangers``: folders of the data
    folder whose patients the shipped weights must not know, as they are tested or trained on there. ``auxiliary``: the
    plan whose data every training learns from, too, prepared as there, without its closed fold. ``repeats`` of the
    cross-validation, and ``val_share`` of its training sides. ``sizes``: those that the smallest part to keep is chosen
    from, mL (pixels for images). ``class_column``: the column of the data set's ``manifest.csv`` by which scores are
    told apart. ``pictures``: its cases may be shown.
    """

    name: str
    summary: str
    licence: str
    sources: tuple[str, ...]
    spacing: tuple[float, float, float] | None = None
    pixel_mm: float | None = None
    closed_fold: int | None = None
    strangers: tuple[str, ...] = ()
    auxiliary: str | None = None
    repeats: int = 1
    val_share: float = 0.1
    sizes: tuple[float, ...] = (0.0,)
    class_column: str | None = None
    pictures: bool = False

    @property
    def closed(self) -> tuple[int, ...]:
        """The closed fold, as options take it."""
        return () if self.closed_fold is None else (self.closed_fold,)

    @property
    def beside(self) -> Plan | None:
        """The plan of the auxiliary data."""
        return PLANS[self.auxiliary] if self.auxiliary else None

    def scans(self, data: Path, folder: Path) -> Path:
        """The data set, in the folder ``data``; of several, a folder of links to all their cases under ``folder``."""
        return joined(data, self.sources, folder)


def joined(data: Path, sources: Sequence[str], folder: Path) -> Path:
    """The data set ``data``/SOURCE; of several, FOLDER/scans with links to all their cases. ``ConfigError``: none."""
    places = [data / source for source in sources]
    for place in places:
        if not place.is_dir():
            raise ConfigError(f"there is no {place}", remedy="set GLIAMAP_DATA to the folder of the data sets")
    if len(places) == 1:
        return places[0]
    scans = folder / "scans"
    scans.mkdir(parents=True, exist_ok=True)
    for path in (data / "folds.json", *(case for place in places for case in sorted(place.iterdir()))):
        link = scans / path.name
        if path.exists() and not link.is_symlink():
            link.symlink_to(path.resolve())
    return scans


_PLANS = (
    Plan(
        name="t1c-2d",
        summary="Brain tumour in post-contrast T1 images of whole heads, in any plane, slice by slice.",
        licence="CC BY 4.0; trained on figshare 1512427 (Jun Cheng), CC BY 4.0",
        sources=("figshare-t1c",),
        spacing=(2.0, 2.0, 1.0),
        pixel_mm=0.98,  # 512 pixels of 0.49 mm as published, halved
        closed_fold=3,
        sizes=(0.0, 10.0, 20.0, 40.0, 80.0, 160.0),
        class_column="tumour_class",
    ),
    Plan(
        name="t1gd-2d",
        summary="Edema, non-enhancing and enhancing tumour in skull-stripped post-contrast T1 images, slice by slice.",
        licence="CC BY-SA 4.0; trained on the Medical Segmentation Decathlon, Task01, CC BY-SA 4.0",
        sources=("msd-t1gd-2d",),
        pixel_mm=2.0,  # 240 pixels of 1 mm as published, halved
        closed_fold=4,
        strangers=("brats21", "brats23"),
        sizes=(0.0, 3.0, 6.0, 12.0, 24.0),
    ),
    Plan(
        name="glioma-3d",
        summary="Glioma (WT, TC, ET) in skull-stripped volumes of about 1 mm, with any of T1, T1c, T2 and FLAIR.",
        licence="CC BY-SA 4.0; trained on cases of BraTS 2021 and 2023 (Baid et al. 2021), CC BY 4.0, and on the "
        "Medical Segmentation Decathlon, Task01, CC BY-SA 4.0",
        sources=("brats21", "brats23"),
        spacing=(2.0, 2.0, 2.0),
        auxiliary="t1gd-2d",
        val_share=0,
        sizes=(0.0, 0.01, 0.03, 0.1, 0.3, 1.0),
        pictures=True,
    ),
)

PLANS: Mapping[str, Plan] = MappingProxyType({plan.name: plan for plan in _PLANS})
"""All of them, by name."""

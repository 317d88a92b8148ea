"""How other people lay out data sets: where the files of a case go, and what their ``dataset.json`` says. No voxels.

Sources: nnU-Net's ``dataset_format.md`` and ``region_based_training.md``, the ``dataset.json`` of MSD Task01, the file
names of BraTS 2021 and 2023.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Any, Literal

from gliamap.labels import REGION_NAMES, TISSUE_NAMES, Convention, Region

Part = Literal["Tr", "Ts"]
"""Training or test, as nnU-Net and MSD name their folders."""


@dataclass(frozen=True)
class Place:
    """Where a case goes: its id, its part, the modalities in order, and how files end."""

    case_id: str
    part: Part
    modalities: tuple[str, ...]
    ending: str = ".nii.gz"


@dataclass(frozen=True)
class Contents:
    """What was exported: the cases of each part (those of the test part with or without mask), in order."""

    name: str
    modalities: tuple[str, ...]
    convention: Convention
    ending: str
    train: tuple[str, ...]
    test: tuple[str, ...]


@dataclass(frozen=True)
class ExportLayout:
    """One layout of other people.

    ``modalities``: those it has, in its order; ``None`` for any. ``conventions``: the first that holds all tissues is
    written. ``images`` names the file of each modality (of all, where they share one), ``mask`` that of the mask.
    ``describe`` gives the content of ``dataset.json``, where the layout has one; such a layout has a place for a test
    part. ``slices``: whether it takes 2D images.
    """

    name: str
    modalities: tuple[str, ...] | None
    conventions: tuple[str, ...]
    images: Callable[[Place], Mapping[str, PurePosixPath]]
    mask: Callable[[Place], PurePosixPath]
    describe: Callable[[Contents], dict[str, Any]] | None = None
    slices: bool = False


def _nnunet_images(place: Place) -> dict[str, PurePosixPath]:
    return {
        modality: PurePosixPath(f"images{place.part}", f"{place.case_id}_{number:04d}{place.ending}")
        for number, modality in enumerate(place.modalities)
    }


def _msd_images(place: Place) -> dict[str, PurePosixPath]:
    shared = PurePosixPath(f"images{place.part}", f"{place.case_id}{place.ending}")
    return dict.fromkeys(place.modalities, shared)


def _part_mask(place: Place) -> PurePosixPath:
    return PurePosixPath(f"labels{place.part}", f"{place.case_id}{place.ending}")


def _brats_files(joint: str, names: Mapping[str, str]) -> tuple[Callable[[Place], Any], Callable[[Place], Any]]:
    def path(place: Place, name: str) -> PurePosixPath:
        return PurePosixPath(place.case_id, f"{place.case_id}{joint}{name}{place.ending}")

    def images(place: Place) -> dict[str, PurePosixPath]:
        return {modality: path(place, names[modality]) for modality in place.modalities}

    return images, lambda place: path(place, "seg")


_BRATS_2021 = {"t1": "t1", "t1c": "t1ce", "t2": "t2", "flair": "flair"}
_BRATS_2023 = {"t1": "t1n", "t1c": "t1c", "t2": "t2w", "flair": "t2f"}
_NNUNET_NAMES = {"t1": "T1", "t1c": "T1ce", "t2": "T2", "flair": "FLAIR"}
_MSD_NAMES = {"flair": "FLAIR", "t1": "T1w", "t1c": "t1gd", "t2": "T2w"}


def _nnunet_json(contents: Contents) -> dict[str, Any]:
    names = {str(n): _NNUNET_NAMES.get(name, name) for n, name in enumerate(contents.modalities)}
    description: dict[str, Any] = {"channel_names": names, **nnunet_labels(contents.convention)}
    description |= {"numTraining": len(contents.train), "file_ending": contents.ending, "name": contents.name}
    if contents.ending == ".png":
        description["overwrite_image_reader_writer"] = "NaturalImage2DIO"
    return description


def nnunet_labels(convention: Convention) -> dict[str, Any]:
    """``labels`` and, for regions, ``regions_class_order`` of nnU-Net's ``dataset.json``.

    Regions are used where there are several and each leaves one label beside the regions inside it: nnU-Net draws
    that label, outer regions first. Otherwise every label is a class of its own.
    """
    rings = _rings(convention)
    if len(rings) < 2 or any(len(ring) != 1 for ring in rings.values()):
        classes = {TISSUE_NAMES[tissue]: value for value, tissue in sorted(convention.values.items())}
        return {"labels": {"background": 0, **classes}}
    regions = {REGION_NAMES[region]: _values(convention.region_values(region)) for region in rings}
    outside = sorted(set(convention.values) - set(convention.region_values(Region.WT)))  # a cavity
    others = {TISSUE_NAMES[convention.values[value]]: value for value in outside}
    order = [ring[0] for ring in rings.values()] + outside
    return {"labels": {"background": 0, **regions, **others}, "regions_class_order": order}


def _rings(convention: Convention) -> dict[Region, tuple[int, ...]]:
    """The values of each region that lie in no region inside it, outermost first."""
    values = {region: set(convention.region_values(region)) for region in convention.regions}
    inner = [*list(values.values())[1:], set[int]()]
    return {region: tuple(sorted(own - next_)) for (region, own), next_ in zip(values.items(), inner, strict=True)}


def _values(values: Sequence[int]) -> int | list[int]:
    return values[0] if len(values) == 1 else list(values)


def _msd_json(contents: Contents) -> dict[str, Any]:
    values = sorted(contents.convention.values.items())
    names = {"0": "background"} | {str(value): TISSUE_NAMES[tissue] for value, tissue in values}
    pairs = [
        {"image": f"./imagesTr/{name}{contents.ending}", "label": f"./labelsTr/{name}{contents.ending}"}
        for name in contents.train
    ]
    return {
        "name": contents.name,
        "description": "Exported by gliamap",
        "licence": "that of the data set that it was exported from",
        "tensorImageSize": "4D",
        "modality": {str(number): _MSD_NAMES[name] for number, name in enumerate(contents.modalities)},
        "labels": names,
        "numTraining": len(contents.train),
        "numTest": len(contents.test),
        "training": pairs,
        "test": [f"./imagesTs/{name}{contents.ending}" for name in contents.test],
    }


_NNUNET = ExportLayout(
    "nnunet",
    None,
    ("msd", "brats2024", "brats-ped", "brats2013", "brats2012", "binary"),  # those numbered 1, 2, 3 ...
    _nnunet_images,
    _part_mask,
    _nnunet_json,
    slices=True,
)
_MSD = ExportLayout("msd", tuple(_MSD_NAMES), ("msd",), _msd_images, _part_mask, _msd_json)
_BRATS21 = ExportLayout("brats21", tuple(_BRATS_2021), ("brats2021",), *_brats_files("_", _BRATS_2021))
_BRATS23 = ExportLayout("brats23", tuple(_BRATS_2023), ("brats2023", "brats2024"), *_brats_files("-", _BRATS_2023))

EXPORT_LAYOUTS: Mapping[str, ExportLayout] = MappingProxyType(
    {layout.name: layout for layout in (_NNUNET, _MSD, _BRATS21, _BRATS23)}
)

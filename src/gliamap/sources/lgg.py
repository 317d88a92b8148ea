"""The LGG segmentation data set of Kaggle (Buda et al. 2019): slices of TCGA patients, three modalities in one TIFF.

``kaggle_3m/TCGA_CS_4941_19960909/TCGA_CS_4941_19960909_1.tif``   red pre-contrast, green FLAIR, blue post-contrast
                                  ``TCGA_CS_4941_19960909_1_mask.tif``   FLAIR abnormality, 255

A case is a slice, a patient the name without date and number; no patient has two dates. Where a modality is missing,
the data set puts a copy of FLAIR in its place (nine patients after contrast, six before, says its README): reading such
a case leaves a warning. Whether the skull is stripped its README does not say, so neither does the layout.

``data.csv`` holds genomic clusters and is not read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from gliamap.case import CaseFiles, CaseIdentity, DataSet
from gliamap.io.archive import is_folder
from gliamap.sources.layout import Layout, list_folder, natural_key, summarise
from gliamap.sources.modalities import in_canonical_order
from gliamap.sources.pairs import unpaired

CHANNELS = {"t1": 0, "flair": 1, "t1c": 2}
"""Modality to colour."""

_PLACES = ("", "kaggle_3m", "lgg-mri-segmentation/kaggle_3m")  # the archive holds the set twice: the first counts
_FOLDER = re.compile(r"(?P<patient>TCGA_[A-Z0-9]+_[A-Z0-9]+)_\d{8}")
_FILE = re.compile(rf"(?P<case>{_FOLDER.pattern}_\d+)(?P<mask>_mask)?\.tiff?", re.IGNORECASE)


def scan(root: Path) -> DataSet | None:
    """The slices in ``root`` itself, in its folders of patients, or in those of ``kaggle_3m`` within it."""
    places = (root / place for place in _PLACES)
    return next((data for place in places if is_folder(place) and (data := _scan(root, place))), None)


def _scan(root: Path, place: Path) -> DataSet | None:
    listing = list_folder(place)
    folders = [folder for folder in listing.folders if _FOLDER.fullmatch(folder.name)]
    files = [*listing.files, *(path for folder in folders for path in list_folder(folder).files)]
    found = [(match, path) for path in files if (match := _FILE.fullmatch(path.name))]
    masks = {match["case"]: path for match, path in found if match["mask"]}
    cases = [_case(match["case"], match["patient"], path, masks) for match, path in found if not match["mask"]]
    if not cases:
        return None
    cases.sort(key=lambda case: natural_key(case.case_id))
    passed = [folder.name for folder in listing.folders if folder not in folders]
    notes = [f"{len(passed)} folders without slices were passed over: {summarise(passed)}"] if passed else []
    return DataSet(root, LAYOUT.name, tuple(cases), None, notes=(*notes, *unpaired(cases, masks)))


def _case(case_id: str, patient: str, path: Path, masks: Mapping[str, Path]) -> CaseFiles:
    modalities = in_canonical_order(dict.fromkeys(CHANNELS, path))
    return CaseFiles(CaseIdentity(case_id, patient), modalities, masks.get(case_id), ("binary", "binary255"), CHANNELS)


LAYOUT = Layout("lgg", "LGG of Kaggle (kaggle_3m/TCGA_CS_4941_19960909/TCGA_CS_4941_19960909_1.tif, _1_mask.tif)", scan)

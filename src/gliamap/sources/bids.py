"""BIDS data sets: ``sub-01[/ses-02]/anat/sub-01[_ses-02]_..._T1w.nii.gz``, raw or of a derivatives pipeline.

Images   ``_T1w`` (post-contrast with ``ce-gadolinium``, or where ``acq``, ``desc`` or ``rec`` says so), ``_T2w``,
         ``_FLAIR``
Masks    ``_dseg`` whose ``dseg.tsv``, beside it or in a folder above, names tumour tissues, or that calls itself a
         tumour's (``desc-tumor_dseg``); ``label-tumor_mask``, ``label-lesion_mask`` and the like, which are binary

Other masks (brain, grey matter) are passed over. Where the root is a raw data set, the data sets in its ``derivatives``
are joined to it by subject and session. Images are taken in the mask's space, of its pipeline, then raw. Source:
BIDS specification 1.10, derivatives of imaging data.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from gliamap.case import CaseFiles, CaseIdentity, DataSet
from gliamap.errors import LayoutError
from gliamap.sources.bids_files import BidsFile, Tables, data_sets, files_of, is_subject, subjects_in
from gliamap.sources.label_names import means_tumour
from gliamap.sources.layout import Layout, natural_key, summarise
from gliamap.sources.modalities import in_canonical_order

_TUMOUR = re.compile(r"tumou?r|lesion|gliom|gliobl|gbm|metasta|meningiom|neoplas|brats", re.IGNORECASE)
_LESION = "L"  # BIDS' own abbreviation
_STRIPPED = frozenset({"brain", "skullstripped"})


@dataclass(frozen=True)
class _Mask:
    file: BidsFile
    conventions: tuple[str, ...]


@dataclass
class _Remarks:
    """What is passed over or not sure, for the user; each once, in the order found."""

    notes: dict[str, None] = field(default_factory=dict)
    several: dict[str, None] = field(default_factory=dict)
    unnamed: dict[str, None] = field(default_factory=dict)
    lone: dict[str, None] = field(default_factory=dict)

    def all(self) -> tuple[str, ...]:
        """The remarks as sentences."""
        told = {
            "of several files of one kind the first was taken": self.several,
            "segmentations that do not say that they are a tumour's were passed over": self.unnamed,
            "sessions with a mask but without an image were passed over": self.lone,
        }
        return (*self.notes, *(f"{what}: {summarise(names)}" for what, names in told.items() if names))


def scan(root: Path) -> DataSet | None:
    """The sessions of a BIDS data set, or of one of its subjects.

    ``LayoutError`` where there are masks but no image, ``FileError`` where a table of labels is damaged.
    """
    place = root.resolve()
    alone = is_subject(place)
    home = place.parent if alone else root
    subjects = [place.name] if alone else [folder.name for folder in subjects_in(root)]
    homes = data_sets(home) if subjects else []
    tables, remarks = Tables(), _Remarks()
    cases: list[CaseFiles] = []
    chosen: list[BidsFile] = []
    for subject in subjects:
        for session, files in _by_session(subject, homes).items():
            case_id = "_".join(filter(None, (subject, session)))
            mask = _mask(files, tables, remarks)
            images = _images(files, mask, remarks)
            if images:
                paths = in_canonical_order({name: file.path for name, file in images.items()})
                labels, conventions = (mask.file.path, mask.conventions) if mask else (None, ())
                cases.append(CaseFiles(CaseIdentity(case_id, subject), paths, labels, conventions))
                chosen += images.values()
            elif mask:
                remarks.lone[case_id] = None
    if not cases and remarks.lone:
        raise _masks_only(root)
    cases.sort(key=lambda case: natural_key(case.case_id))
    return DataSet(root, LAYOUT.name, tuple(cases), _foreground(chosen), notes=remarks.all()) if cases else None


def _by_session(subject: str, homes: list[Path]) -> dict[str, list[BidsFile]]:
    """The subject's files by session. Files that name none belong to the only session, if there is just one."""
    found: dict[str, list[BidsFile]] = defaultdict(list)
    for session, file in files_of(subject, homes):
        found[session].append(file)
    named = [session for session in found if session]
    if "" in found and len(named) == 1:
        found[named[0]] += found.pop("")
    return dict(found)


def _mask(files: Sequence[BidsFile], tables: Tables, remarks: _Remarks) -> _Mask | None:
    """The tumour's mask: segmentations before binary masks, those with named labels first, then where images are."""
    spaces = Counter(file.space for file in files if file.modality)
    found = [mask for file in files if (mask := _as_mask(file, tables, remarks))]
    found.sort(key=lambda m: (m.file.suffix != "dseg", not m.conventions, -spaces[m.file.space], m.file.source))
    if len(found) > 1:
        remarks.several[found[0].file.path.name] = None
    return found[0] if found else None


def _as_mask(file: BidsFile, tables: Tables, remarks: _Remarks) -> _Mask | None:
    """The file as a tumour's mask; ``None`` for images, masks of something else and masks that cannot be used."""
    if file.suffix in ("mask", "roi"):
        named = [file.entities[key] for key in ("label", "desc") if key in file.entities]
        tumour = bool(named) and (means_tumour(named[0]) or named[0] == _LESION)
        return _Mask(file, ("binary",)) if tumour else None
    if file.suffix != "dseg" or "atlas" in file.entities:
        return None
    called = [file.entities[key] for key in ("desc", "seg", "label") if key in file.entities]
    is_tumour = any(_TUMOUR.search(text) for text in (*called, file.home.name if file.source else ""))
    told = tables.told(file)
    if told is None and is_tumour:
        return _Mask(file, ())
    if told is None or not (told.understood or is_tumour):
        remarks.unnamed[file.path.name] = None
        return None
    remarks.notes.update(dict.fromkeys(told.notes))
    return _Mask(file, told.conventions) if told.usable else None


def _images(files: Sequence[BidsFile], mask: _Mask | None, remarks: _Remarks) -> dict[str, BidsFile]:
    """One image of each modality, as far as possible of one space and one data set."""
    images = [(file.modality, file) for file in files if file.modality]
    groups: dict[tuple[str, int], set[str]] = defaultdict(set)
    for modality, file in images:
        groups[file.space, file.source].add(modality)
    if not groups:
        return {}
    wanted = (mask.file.space, mask.file.source) if mask else None

    def fits(group: tuple[str, int]) -> tuple[bool, bool, int, int, bool]:
        space, source = group
        same = (space == wanted[0], source == wanted[1]) if wanted else (False, False)
        return (*same, len(groups[group]), -source, not space)

    best = max(groups, key=fits)
    found: dict[str, BidsFile] = {}
    images.sort(key=lambda one: (one[1].space != best[0], one[1].source != best[1], one[1].source))
    for modality, file in images:
        first = found.setdefault(modality, file)
        if first is not file and (first.space, first.source) == (file.space, file.source):
            remarks.several[first.path.name] = None
    return found


def _foreground(chosen: Sequence[BidsFile]) -> Literal["brain"] | None:
    """``desc-brain`` is what is left after skull stripping; other names do not say."""
    return "brain" if chosen and all(file.entities.get("desc", "").lower() in _STRIPPED for file in chosen) else None


def _masks_only(root: Path) -> LayoutError:
    return LayoutError(
        f"{root} holds masks but no images",
        found="a BIDS pipeline without _T1w, _T2w or _FLAIR",
        expected="a raw data set with the masks in its derivatives, or a pipeline that holds images too",
        remedy="name the raw data set",
    )


LAYOUT = Layout("bids", "BIDS (sub-01/anat/sub-01_T1w.nii.gz, masks also in derivatives/)", scan)

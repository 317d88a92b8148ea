"""The names that modalities go by, and the canonical ones."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

MODALITIES = ("t1", "t1c", "t2", "flair")
"""The canonical names, in the canonical order."""

# No name that begins with 'pre' or 'post' and goes on: in 'A_post_t1' the visit is 'post' and the modality 't1'.
_NAMES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "t1": (
            *("t1", "t1n", "t1w", "t1pre", "t1native", "t1weighted", "t1wpre", "precontrast", "pre"),
            *("t1precontrast", "t1wprecontrast"),
        ),
        "t1c": (
            *("t1c", "t1ce", "t1gd", "t1cgd", "t1wgd", "t1post", "t1wce", "t1wc", "t1wpost", "t1contrast"),
            *("t1postcontrast", "t1wpostcontrast", "cet1", "cet1w", "gdt1", "gdt1w", "ct1", "postcontrast", "post"),
        ),
        "t2": ("t2", "t2w", "t2weighted"),
        "flair": ("flair", "fla", "fl", "t2f", "t2flair", "t2wflair", "t2fflair", "flairw"),
    }
)
_CANONICAL = {alias.lower(): name for name, aliases in _NAMES.items() for alias in aliases}

MASK_NAMES = frozenset(
    {
        *("seg", "mask", "label", "labels", "segmentation", "dseg", "segm", "tumor", "tumour", "roi", "gt", "gtv"),
        *("lesion", "lesionmask", "segmask", "groundtruth", "tumorseg", "tumourseg", "tumormask", "tumourmask"),
        *("tumorsegmentation", "tumoursegmentation"),
    }
)
"""What a mask is called where an image would name its modality, in lower case."""

_LONGEST = 40


def canonical_modality(name: str) -> str | None:
    """The canonical name of the modality that data sets call ``name`` (``T1Gd``, ``t1-ce``); ``None`` if unknown."""
    return _CANONICAL.get(_letters(name))


def modality_name(name: str) -> str:
    """The canonical name of a modality, else ``name`` in lower case, fit to be shown and to be part of a file name."""
    known = canonical_modality(name)
    return known or re.sub(r"[^\w.+-]+", "_", name.strip().lower())[:_LONGEST] or "image"


def is_mask_name(name: str) -> bool:
    """Whether ``name`` stands for a mask where a modality might stand."""
    return _letters(name) in MASK_NAMES


def in_canonical_order(named: Mapping[str, Path]) -> dict[str, Path]:
    """The files of a case with the canonical modalities first, in their order, and the others after them."""
    others = [name for name in named if name not in MODALITIES]
    return {name: named[name] for name in (*MODALITIES, *others) if name in named}


def _letters(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())

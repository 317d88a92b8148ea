"""The names that modalities go by, and the canonical ones."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

MODALITIES = ("t1", "t1c", "t2", "flair")
"""The canonical names, in the canonical order."""

_NAMES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "t1": ("t1", "t1n", "t1w", "t1pre", "precontrast", "pre"),
        "t1c": ("t1c", "t1ce", "t1gd", "t1cgd", "t1post", "t1wce", "t1wpost", "cet1w", "postcontrast", "post", "ct1"),
        "t2": ("t2", "t2w"),
        "flair": ("flair", "fla", "fl", "t2f", "t2flair", "t2wflair"),
    }
)
_CANONICAL = {alias.lower(): name for name, aliases in _NAMES.items() for alias in aliases}

MASK_NAMES = frozenset(
    {"seg", "mask", "label", "labels", "segmentation", "dseg", "segm", "tumor", "tumour", "roi", "gt"}
)
"""What a mask is called where an image would name its modality, in lower case."""


def canonical_modality(name: str) -> str | None:
    """The canonical name of the modality that data sets call ``name`` (``T1Gd``, ``t1-ce``); ``None`` if unknown."""
    return _CANONICAL.get(re.sub(r"[^a-z0-9]", "", name.lower()))


def is_mask_name(name: str) -> bool:
    """Whether ``name`` stands for a mask where a modality might stand."""
    return re.sub(r"[^a-z0-9]", "", name.lower()) in MASK_NAMES

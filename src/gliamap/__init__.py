"""gliamap: brain tumour segmentation in MRI. Research use only; not a medical device.

The verbs as functions: :func:`prepare`, :func:`train`, :func:`segment`, :func:`evaluate`, :func:`make_phantoms`. They
are loaded when first used, so that ``import gliamap`` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gliamap.sources.phantom import write_phantoms as make_phantoms
    from gliamap.workflows.evaluate import evaluate
    from gliamap.workflows.prepare import prepare
    from gliamap.workflows.segment import segment
    from gliamap.workflows.train import train

__version__ = "0.1.0"

__all__ = ["__version__", "evaluate", "make_phantoms", "prepare", "segment", "train"]

_WHERE = {
    "evaluate": ("gliamap.workflows.evaluate", "evaluate"),
    "make_phantoms": ("gliamap.sources.phantom", "write_phantoms"),
    "prepare": ("gliamap.workflows.prepare", "prepare"),
    "segment": ("gliamap.workflows.segment", "segment"),
    "train": ("gliamap.workflows.train", "train"),
}


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'gliamap' has no attribute '{name}'")
    module, function = _WHERE[name]
    return getattr(import_module(module), function)


def __dir__() -> list[str]:
    return sorted(__all__)

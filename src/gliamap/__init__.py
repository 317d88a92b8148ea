"""gliamap: brain tumour segmentation in MRI. Research use only; not a medical device.

The verbs as functions: :func:`inspect`, :func:`check`, :func:`explore`, :func:`prepare`, :func:`split`, :func:`plan`,
:func:`patches`, :func:`train`, :func:`segment`, :func:`evaluate`, :func:`cross_validate`, :func:`calibrate`,
:func:`compare`, :func:`convert_labels`, :func:`export_dataset`, :func:`export_model`, :func:`make_phantoms`,
:func:`networks`; and :func:`view`, for notebooks. They are loaded when first used, so that ``import gliamap`` costs
nothing.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gliamap.sources.phantom import write_phantoms as make_phantoms
    from gliamap.workflows.calibrate import calibrate
    from gliamap.workflows.check import check
    from gliamap.workflows.compare import compare
    from gliamap.workflows.convert import convert_labels
    from gliamap.workflows.cross_validate import cross_validate
    from gliamap.workflows.evaluate import evaluate
    from gliamap.workflows.explore import explore
    from gliamap.workflows.export import export_dataset
    from gliamap.workflows.export_model import export_model
    from gliamap.workflows.inspect import inspect
    from gliamap.workflows.networks import networks
    from gliamap.workflows.patches import patches
    from gliamap.workflows.plan import plan
    from gliamap.workflows.prepare import prepare
    from gliamap.workflows.segment import segment
    from gliamap.workflows.split import divide as split
    from gliamap.workflows.train import train
    from gliamap.workflows.view import view

# MONAI imports MLflow wherever that is installed, and MLflow reports its use to its makers unless told not to.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

__version__ = "0.1.0"

__all__ = [
    "__version__",
    "calibrate",
    "check",
    "compare",
    "convert_labels",
    "cross_validate",
    "evaluate",
    "explore",
    "export_dataset",
    "export_model",
    "inspect",
    "make_phantoms",
    "networks",
    "patches",
    "plan",
    "prepare",
    "segment",
    "split",
    "train",
    "view",
]

_WHERE = {
    "calibrate": ("gliamap.workflows.calibrate", "calibrate"),
    "check": ("gliamap.workflows.check", "check"),
    "compare": ("gliamap.workflows.compare", "compare"),
    "convert_labels": ("gliamap.workflows.convert", "convert_labels"),
    "cross_validate": ("gliamap.workflows.cross_validate", "cross_validate"),
    "evaluate": ("gliamap.workflows.evaluate", "evaluate"),
    "explore": ("gliamap.workflows.explore", "explore"),
    "export_dataset": ("gliamap.workflows.export", "export_dataset"),
    "export_model": ("gliamap.workflows.export_model", "export_model"),
    "inspect": ("gliamap.workflows.inspect", "inspect"),
    "make_phantoms": ("gliamap.sources.phantom", "write_phantoms"),
    "networks": ("gliamap.workflows.networks", "networks"),
    "patches": ("gliamap.workflows.patches", "patches"),
    "plan": ("gliamap.workflows.plan", "plan"),
    "prepare": ("gliamap.workflows.prepare", "prepare"),
    "segment": ("gliamap.workflows.segment", "segment"),
    "split": ("gliamap.workflows.split", "divide"),
    "train": ("gliamap.workflows.train", "train"),
    "view": ("gliamap.workflows.view", "view"),
}


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'gliamap' has no attribute '{name}'")
    module, function = _WHERE[name]
    return getattr(import_module(module), function)


def __dir__() -> list[str]:
    return sorted(__all__)

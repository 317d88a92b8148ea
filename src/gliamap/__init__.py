"""gliamap: brain tumour segmentation in MRI. Research use only; not a medical device.

The verbs as functions: :func:`inspect`, :func:`check`, :func:`explore`, :func:`prepare`, :func:`split`, :func:`plan`,
:func:`patches`, :func:`train`, :func:`segment`, :func:`evaluate`, :func:`cross_validate`, :func:`calibrate`,
:func:`compare`, :func:`convert_labels`, :func:`export_dataset`, :func:`export_model`, :func:`make_phantoms`,
:func:`networks`, :func:`report_case`, :func:`report_cohort`, :func:`report_follow_up`; and :func:`view`, for notebooks.
They are loaded when first used, so that ``import gliamap`` costs nothing.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gliamap.sources.phantom import write_phantoms as make_phantoms
    from gliamap.workflows.data.check import check
    from gliamap.workflows.data.convert import convert_labels
    from gliamap.workflows.data.explore import explore
    from gliamap.workflows.data.export import export_dataset
    from gliamap.workflows.data.inspect import inspect
    from gliamap.workflows.data.patches import patches
    from gliamap.workflows.data.prepare import prepare
    from gliamap.workflows.data.split import divide as split
    from gliamap.workflows.data.view import view
    from gliamap.workflows.prediction.export_model import export_model
    from gliamap.workflows.prediction.segment import segment
    from gliamap.workflows.reports.cohort import cohort as report_cohort
    from gliamap.workflows.reports.follow_up import follow_up as report_follow_up
    from gliamap.workflows.reports.report import report as report_case
    from gliamap.workflows.scores.evaluate import evaluate
    from gliamap.workflows.studies.calibrate import calibrate
    from gliamap.workflows.studies.compare import compare
    from gliamap.workflows.studies.cross_validate import cross_validate
    from gliamap.workflows.training.networks import networks
    from gliamap.workflows.training.plan import plan
    from gliamap.workflows.training.train import train

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
    "report_case",
    "report_cohort",
    "report_follow_up",
    "segment",
    "split",
    "train",
    "view",
]

_WHERE = {
    "calibrate": ("gliamap.workflows.studies.calibrate", "calibrate"),
    "check": ("gliamap.workflows.data.check", "check"),
    "compare": ("gliamap.workflows.studies.compare", "compare"),
    "convert_labels": ("gliamap.workflows.data.convert", "convert_labels"),
    "cross_validate": ("gliamap.workflows.studies.cross_validate", "cross_validate"),
    "evaluate": ("gliamap.workflows.scores.evaluate", "evaluate"),
    "explore": ("gliamap.workflows.data.explore", "explore"),
    "export_dataset": ("gliamap.workflows.data.export", "export_dataset"),
    "export_model": ("gliamap.workflows.prediction.export_model", "export_model"),
    "inspect": ("gliamap.workflows.data.inspect", "inspect"),
    "make_phantoms": ("gliamap.sources.phantom", "write_phantoms"),
    "networks": ("gliamap.workflows.training.networks", "networks"),
    "patches": ("gliamap.workflows.data.patches", "patches"),
    "plan": ("gliamap.workflows.training.plan", "plan"),
    "prepare": ("gliamap.workflows.data.prepare", "prepare"),
    "report_case": ("gliamap.workflows.reports.report", "report"),
    "report_cohort": ("gliamap.workflows.reports.cohort", "cohort"),
    "report_follow_up": ("gliamap.workflows.reports.follow_up", "follow_up"),
    "segment": ("gliamap.workflows.prediction.segment", "segment"),
    "split": ("gliamap.workflows.data.split", "divide"),
    "train": ("gliamap.workflows.training.train", "train"),
    "view": ("gliamap.workflows.data.view", "view"),
}


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'gliamap' has no attribute '{name}'")
    module, function = _WHERE[name]
    return getattr(import_module(module), function)


def __dir__() -> list[str]:
    return sorted(__all__)

"""Whether a model is for such scans: phantoms or patients, volumes or slices, brains or whole heads."""

from __future__ import annotations

from gliamap.case import Case, CaseFiles
from gliamap.checks.anatomy import stripped_or_head
from gliamap.checks.findings import Finding
from gliamap.config import ModelSpec
from gliamap.errors import ConfigError, FitError
from gliamap.sources.phantom import is_phantom

_LOOKS = {"brain": "a skull-stripped brain", "head": "a whole head with its skull"}
_TRAINED_ON = {"brain": "skull-stripped brains", "head": "whole heads"}


def check_fit(case: Case, files: CaseFiles, spec: ModelSpec, *, force: bool = False) -> tuple[Finding, ...]:
    """``foreground-unlike-training`` where the case is not of the model's kind, but let through with ``force``.

    ``ConfigError`` where the model is not for scans of this kind at all: a model of phantoms on anything else, with
    ``force`` as well, because what it says of a patient is made up; a model of volumes on a slice. ``FitError``, this
    case's alone, where a model trained on skull-stripped brains is given a whole head or the reverse; a case that
    cannot be told for sure is let through.
    """
    if spec.phantom_only and not is_phantom(case):
        raise ConfigError(
            f"the model {spec.name} was trained on phantoms and says nothing about real scans",
            found=f"case {case.case_id}, which is no phantom of gliamap",
            remedy="train a model on real cases and name it with --model",
        )
    if case.grid.is_2d and spec.network.dims == 3:
        raise ConfigError(
            f"the model {spec.name} takes volumes, {files.modalities[case.modalities[0]]} is a single slice",
            remedy="use a model for slices",
        )
    own = spec.prep.foreground
    seen = stripped_or_head(case.image)
    if seen is None or seen == own:
        return ()
    if not force:
        first = {"brain": "strip the skull first", "head": "give it the scans as they were before stripping"}[own]
        raise FitError(
            f"the model {spec.name} was trained on {_TRAINED_ON[own]}, and case {case.case_id} is not one",
            found=f"what looks like {_LOOKS[seen]}",
            expected=_LOOKS[own],
            remedy=f"{first}, use a model of {_TRAINED_ON[seen]}, or say --force if the look deceives",
        )
    text = f"the model was trained on {_TRAINED_ON[own]}, this looks like {_LOOKS[seen]}: segmented with --force"
    return (Finding("foreground-unlike-training", text),)

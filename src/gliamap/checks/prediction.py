"""What a user should be told beside a mask: about the images, whether the model knows such cases, and what it said.

In two parts, because the images need not be kept until the prediction is there: :func:`look_at_images` before the
network runs, :func:`look_at` after it. Knows nouns only.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gliamap.case import Case, Prediction, PreparedCase
from gliamap.checks.brightness import thinned
from gliamap.checks.contrast import swapped_modalities
from gliamap.checks.findings import WARNINGS, Finding
from gliamap.checks.intensity import check_images, summarise_image
from gliamap.checks.likeness import Tumour, look_of, tumour_of, unlike_looks, unlike_tumours
from gliamap.config import ModelSpec, Seen
from gliamap.io.cases import NOT_REGISTERED
from gliamap.labels import LabelMap, Region, region_mask

LOW_DICE = 0.5
"""A region of which the model expects a Dice below this is of low confidence."""

_ORDER = list(WARNINGS)
_OF_IMAGES = ("empty-image", "constant-image", "copied-channel")


def look_at_images(case: Case) -> tuple[Finding, ...]:
    """What the images of a case tell by themselves, and what was remarked when they were read."""
    summaries = {name: summarise_image(channel, 0) for name, channel in zip(case.modalities, case.image, strict=True)}
    found = [one for one in check_images(summaries, stripped=True) if one.code in _OF_IMAGES]
    remarks = [text for text in case.warnings if text != NOT_REGISTERED]
    if remarks:
        found.append(Finding("read-with-remarks", "; ".join(remarks)))
    if NOT_REGISTERED in case.warnings:
        found.append(Finding("not-registered", NOT_REGISTERED.partition(": ")[2]))
    return tuple(found)


def look_at(
    before: Sequence[Finding], prepared: PreparedCase, prediction: Prediction, spec: ModelSpec
) -> tuple[Finding, ...]:
    """All that is to be said of a prediction, with what was found ``before`` it, in the order of ``WARNINGS``.

    What is compared with the training cases is left out where the model does not say what they were like. Whether
    modalities look swapped is asked of volumes of brains only, and not where one is a copy of another.
    """
    tumour = tumour_of(prediction.labels, prediction.grid)
    found = [*before, *_of_mask(prediction.labels, tumour, spec.seen), *_of_modalities(tumour, prediction, spec)]
    if spec.window.mode == "one-pass" and "one-pass" not in spec.window_dice:
        found.append(Finding("one-pass-unproved", ""))
    if spec.seen is not None:
        found += unlike_looks(look_of(prepared, spec.prep.modalities), spec.seen, spec.prep.pixel_mm)
        found += unlike_tumours(tumour, spec.seen) if prediction.grid.unit == spec.seen.unit else []
    if spec.prep.foreground == "brain" and not any(one.code == "copied-channel" for one in before):
        image = prepared.image[(slice(None), *thinned(prepared.record.shape))].astype(np.float32)
        there = [number for number, channel in enumerate(image) if channel.any()]
        found += swapped_modalities(image[there], [spec.prep.modalities[number] for number in there])
    return tuple(sorted(found, key=lambda one: _ORDER.index(one.code)))


def _of_mask(labels: LabelMap, tumour: Tumour, seen: Seen | None) -> list[Finding]:
    if not tumour.volumes[Region.WT]:
        usual = seen is not None and seen.without_tumour
        return [Finding("empty-mask", f"as in {usual} of {seen.cases} training cases" if seen and usual else "")]
    whole = region_mask(labels, Region.WT)
    inside = tuple(slice(1, -1) if n > 1 else slice(None) for n in whole.shape)
    at_border = int(whole.sum()) - int(whole[inside].sum())
    return [Finding("tumour-at-border", f"{at_border} voxels of it")] if at_border else []


def _of_modalities(tumour: Tumour, prediction: Prediction, spec: ModelSpec) -> list[Finding]:
    found = [Finding("without-modality", ", ".join(prediction.missing))] if prediction.missing else []
    shown = set(spec.prep.modalities) - set(prediction.missing)
    if tumour.volumes[Region.ET] and shown <= {"t1", "t2", "flair"}:
        found.append(Finding("enhancing-without-t1c", f"from {', '.join(sorted(shown))}"))
    low = [
        f"{region} {dice:.2f} ({least:.2f} to {most:.2f})"
        for region, (dice, least, most) in prediction.predicted_dice.items()
        if dice < LOW_DICE
    ]
    return [*found, Finding("low-confidence", "expected Dice " + ", ".join(low))] if low else found

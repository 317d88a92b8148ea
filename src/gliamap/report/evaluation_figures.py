"""The figures of an evaluation, each a small picture of its own, so that a page can lay them out on any screen."""

from __future__ import annotations

from gliamap.labels import Region
from gliamap.metrics.lesions import Lesion
from gliamap.report.evaluation_boxes import draw_boxes
from gliamap.report.evaluation_lesions import draw_lesions
from gliamap.report.evaluation_paired import draw_paired
from gliamap.report.evaluation_reliability import draw_reliability
from gliamap.report.evaluation_strata import draw_strata
from gliamap.report.evaluation_volumes import draw_volumes
from gliamap.scoring.estimate import patient_means
from gliamap.scoring.evaluation import Evaluation
from gliamap.scoring.figure_names import NAMES
from gliamap.volume import volume_unit

BOXES = ("dice", "hd95", "surface_dice", "lesion_dice", "lesion_hd95", "lesion_f1")
"""The scores of which every patient is shown; those of lesions where the protocol has a rule for them."""


def draw_figures(found: Evaluation) -> dict[str, bytes]:
    """Every figure that ``found`` has something to show in, as PNG, by a name fit for a file.

    ``SCORE`` for each of ``BOXES`` with dashes, ``volumes-REGION``, ``strata``, ``lesions-REGION``, ``reliability``,
    ``paired-REGION``.
    """
    regions = found.summary.regions
    unit = volume_unit(found.summary.unit)
    figures = {name.replace("_", "-"): _boxes(found, name) for name in BOXES if _has(found, name)}
    for region in regions:
        predicted, reference = volumes_of(found, region)
        if predicted:
            figures[f"volumes-{region}"] = draw_volumes(region, predicted, reference, unit)
    if found.strata:
        figures["strata"] = draw_strata(found.strata)
    for region in regions:
        lesions = lesions_of(found, region)
        if lesions:
            figures[f"lesions-{region}"] = draw_lesions(region, lesions, unit)
    sums = {region: one.reliability for region, one in regions.items() if one.reliability is not None}
    if any(sum(one.voxels) for one in sums.values()):
        figures["reliability"] = draw_reliability(sums)
    for region, compared in found.paired.regions.items() if found.paired else ():
        if "dice" in compared:
            figures[f"paired-{region}"] = draw_paired(region, compared["dice"])
    return figures


def volumes_of(found: Evaluation, region: Region) -> tuple[list[float], list[float]]:
    """The predicted and the reference volume of each patient, means over the cases that have a prediction."""
    scores = [(case.patient_id, case.score.regions[region]) for case in found.cases if not case.score.missing]
    predicted = patient_means((patient, score.predicted_volume) for patient, score in scores)
    reference = patient_means((patient, score.reference_volume) for patient, score in scores)
    return list(predicted.values()), list(reference.values())


def lesions_of(found: Evaluation, region: Region) -> list[Lesion]:
    """The lesions of a region, of all cases."""
    return [lesion for case in found.cases for lesion in case.score.regions[region].lesions]


def _has(found: Evaluation, name: str) -> bool:
    return any(one.figures[name].patients for one in found.summary.regions.values())


def _boxes(found: Evaluation, name: str) -> bytes:
    means = {region: one.figures[name] for region, one in found.summary.regions.items()}
    patients = {
        region: list(
            patient_means((c.patient_id, getattr(c.score.regions[region], name)) for c in found.cases).values()
        )
        for region in means
    }
    known = NAMES[name]
    return draw_boxes(known.title(found.summary.unit), patients, means, share=known.quantity == "share")

"""One case of an exploration, so that another process can look at it."""

from __future__ import annotations

from dataclasses import dataclass

from gliamap.case import CaseFiles
from gliamap.checks.anatomy import Foreground
from gliamap.checks.fingerprint import Fingerprint, fingerprint_of
from gliamap.checks.intensity import spike_of, summarise_image
from gliamap.io.cases import read_case
from gliamap.survey.case import CaseSurvey, survey_case
from gliamap.workflows.common.failures import reason_of


@dataclass(frozen=True)
class Job:
    """A case to look at, of which data set, what its images show, and whether its set's patients are known."""

    data_set: str
    files: CaseFiles
    foreground: Foreground
    patients_known: bool


@dataclass(frozen=True, eq=False)
class Look:
    """What a case shows and by what it is known again; or ``why`` it could not be read."""

    survey: CaseSurvey | None = None
    fingerprint: Fingerprint | None = None
    why: str = ""


def look(job: Job) -> Look:
    """Read a case and look at it; one odd case must not stop the others."""
    try:
        case = read_case(job.files)
        cut_off = {
            modality: spike_of(summarise_image(channel, 0), stripped=job.foreground == "brain")[1]
            for modality, channel in zip(case.modalities, case.image, strict=True)
        }
        survey = survey_case(case, job.foreground, cut_off)
        return Look(survey, fingerprint_of(case.image, case.modalities, case.grid, case.labels))
    except Exception as error:
        return Look(why=reason_of(error))

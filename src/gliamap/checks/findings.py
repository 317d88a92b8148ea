"""What the preflight and a look at a prediction look for, as data, and what they say of a case. Knows no files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType


class Level(StrEnum):
    """How bad it is, in rising order: fine, worth a look, not to be trained on or scored against as it is."""

    PASS = "PASS"
    WARN = "WARN"
    FAIL = "FAIL"


@dataclass(frozen=True)
class Rule:
    """One thing that is looked for: its code, how bad it is, what it means, and what to do about it."""

    code: str
    level: Level
    title: str
    remedy: str


RULES: Mapping[str, Rule] = MappingProxyType(
    {
        rule.code: rule
        for rule in (
            Rule("unreadable", Level.FAIL, "a file cannot be read", "copy or export the file again"),
            Rule("missing-modality", Level.WARN, "a modality that most cases have is missing",
                 "add the file, or train without this case"),
            Rule("grids-differ", Level.FAIL, "the files of the case do not share a voxel grid",
                 "register the files to one grid; for segment, --resample-to brings them onto one unregistered"),
            Rule("spacing-implausible", Level.FAIL, "the header's voxel sizes give a head of impossible size",
                 "correct the voxel sizes in the header: volumes and distances in mm depend on them"),
            Rule("qform-sform-differ", Level.WARN, "the header holds two affines that disagree",
                 "keep the right one; gliamap reads the sform, other programs may not"),
            Rule("no-affine", Level.WARN, "the header says nothing of where the voxels lie",
                 "export the file again with its orientation: left and right are guesses until then"),
            Rule("not-finite", Level.WARN, "voxels that are not finite", "export again; gliamap reads them as 0"),
            Rule("empty-image", Level.FAIL, "an image without content", "replace the file"),
            Rule("constant-image", Level.FAIL, "an image of one value, or of as few as a mask", "replace the file"),
            Rule("saturated", Level.WARN, "many voxels of one value, as where intensities are cut off",
                 "export with a wider range; what lies beyond that value looks all alike here"),
            Rule("copied-channel", Level.FAIL, "two modalities hold the same image",
                 "replace the copy by the modality that it stands for, or leave it out"),
            Rule("modalities-swapped", Level.WARN, "the contrasts look as if two modalities were swapped",
                 "look at the images, and rename the files if it is so"),
            Rule("foreground-unexpected", Level.WARN,
                 "skull-stripped where the set has whole heads, or the other way round",
                 "prepare such cases apart, or strip the skull"),
            Rule("labels-outside-convention", Level.FAIL, "label values outside the convention",
                 "correct the mask, or name its convention with --labels"),
            Rule("labels-not-whole", Level.FAIL, "label values that are not whole numbers",
                 "resample masks with nearest neighbours only"),
            Rule("tumour-outside-brain", Level.WARN, "tumour where the image is empty",
                 "check that the mask belongs to this image and is not flipped or shifted"),
            Rule("mask-does-not-fit", Level.WARN, "the image shows no edge where the mask has one",
                 "check that the mask belongs to this image and is not flipped or shifted"),
            Rule("tiny-components", Level.WARN, "specks of tumour of a few voxels", "remove them if they are slips"),
            Rule("same-mask", Level.FAIL, "the mask is also the mask of another case", "find out whose it is"),
            Rule("duplicate", Level.FAIL, "the image is also in another case", "keep one of the two"),
            Rule("repeated", Level.WARN, "the image is also in another case of the same patient",
                 "keep one of the two, unless it is to count twice"),
            Rule("same-patient", Level.WARN, "looks like the same patient as another case under another name",
                 "say so in manifest.csv (case,patient), so that no split divides them"),
            Rule("leak", Level.FAIL, "the split has the same patient on both sides",
                 "make the split again, by patient: gliamap split"),
        )
    }
)  # fmt: skip
"""Every rule of the preflight by its code."""

WARNINGS: Mapping[str, Rule] = MappingProxyType(
    {
        rule.code: rule
        for rule in (
            Rule("empty-mask", Level.WARN, "no tumour found", "look at the scan: is there really none?"),
            Rule("low-confidence", Level.WARN, "low confidence", "correct the mask by hand, or do not use it"),
            Rule("one-pass-unproved", Level.WARN, "in one pass, which was never compared with windows for this model",
                 "leave --window out, or compare the two with gliamap calibrate"),
            Rule("tumour-at-border", Level.WARN, "tumour at the border of the scan",
                 "a part of it may lie outside; segment a scan of the whole head"),
            Rule("volume-unlike-training", Level.WARN, "a tumour smaller or larger than in training",
                 "look at the mask: parts may be missing, or be no tumour"),
            Rule("lesions-unlike-training", Level.WARN, "more lesions than in training",
                 "look at the mask; --min-size removes small parts"),
            Rule("enhancing-without-t1c", Level.WARN, "enhancing tumour told without T1c",
                 "take it for a guess: enhancement is seen on T1c alone"),
            Rule("foreground-unlike-training", Level.WARN, "a whole head for a model of brains, or the reverse",
                 "use a model for such scans, or strip the skull"),
            RULES["modalities-swapped"],
            RULES["copied-channel"],
            RULES["empty-image"],
            RULES["constant-image"],
            Rule("without-modality", Level.WARN, "done without a modality", "add its file if there is one"),
            Rule("not-registered", Level.WARN, "not registered", "register the files to one grid and segment again"),
            Rule("intensities-unlike-training", Level.WARN, "intensities unlike those in training",
                 "look at the images: cut off, inverted, or of another kind?"),
            Rule("spacing-unlike-training", Level.WARN, "voxels of another size than in training",
                 "segment at the spacing of the training, with --spacing, or use a model for such scans"),
            Rule("size-unlike-training", Level.WARN, "a head of another size than in training",
                 "check the voxel sizes in the header, and whether the whole head is in the scan"),
            Rule("read-with-remarks", Level.WARN, "read with a remark", "correct the files as it says"),
        )
    }
)  # fmt: skip
"""What is said beside a prediction, by its code, the most serious first."""


@dataclass(frozen=True)
class Finding:
    """A rule that a case breaks, and what was found there: file names and figures, nothing of the patient."""

    code: str
    found: str

    @property
    def rule(self) -> Rule:
        """The rule that is broken, of the preflight or of a prediction."""
        return RULES.get(self.code) or WARNINGS[self.code]

    @property
    def text(self) -> str:
        """What the rule means, and what was found, in a line."""
        return f"{self.rule.title}: {self.found}" if self.found else self.rule.title


def gather(code: str, said: Mapping[str, str]) -> list[Finding]:
    """One finding from what is ``said`` of each file, by its name: files of which the same is said stand together."""
    names: dict[str, list[str]] = {}
    for name, text in said.items():
        names.setdefault(text, []).append(name)
    return [Finding(code, "; ".join(f"{', '.join(group)}: {text}" for text, group in names.items()))] if said else []


@dataclass(frozen=True)
class CaseReport:
    """What the preflight says of one case; no finding means PASS."""

    case_id: str
    patient_id: str
    findings: tuple[Finding, ...] = ()

    @property
    def level(self) -> Level:
        """The worst of the findings."""
        levels = [finding.rule.level for finding in self.findings]
        return max(levels, key=list(Level).index, default=Level.PASS)

"""What the report says of a model and of how a mask was made, from ``CASE.json`` and ``model.json``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from gliamap.case import CaseFiles
from gliamap.checks.findings import RULES, WARNINGS
from gliamap.config import ModelSpec
from gliamap.labels import Region
from gliamap.report.figures import MODALITY_TITLES, grid_words
from gliamap.viewer.case_facts import Remark, Rows, Sureness
from gliamap.volume import Grid
from gliamap.workflows.common.hashes import sha256_of
from gliamap.workflows.reports.mask_record import MaskRecord

_HASH = 16
"""Letters of a hash that are shown of models and scans; the mask's is shown whole."""


def image_words(modalities: Iterable[str], grid: Grid) -> str:
    """Which images, on which grid."""
    titles = ", ".join(MODALITY_TITLES.get(name, name) for name in modalities)
    return f"{titles} · {grid_words(grid)}"


@dataclass(frozen=True)
class Told:
    """What is known of a mask: the ``record`` beside it, the ``spec`` of its model.

    ``scans`` are the files to hold against those that the record names, where they may be others.
    """

    record: MaskRecord | None
    spec: ModelSpec | None
    mask: Path
    scans: CaseFiles | None = None

    @property
    def changed(self) -> bool:
        """The mask is another than those that the record tells of; what was only renamed is the same."""
        files = self.record.files.values() if self.record else ()
        return bool(files) and sha256_of(self.mask) not in files

    def warnings(self, *, empty: bool) -> tuple[Remark, ...]:
        """What speaks against the record telling of this mask, then its own warnings, with what to do about each.

        Of a mask that is ``empty`` there is one in any case.
        """
        if self.record is None:
            rule = WARNINGS["empty-mask"]
            return (Remark(rule.code, rule.title, rule.remedy),) if empty else ()
        found = []
        if self.changed:
            text = "the mask was changed after it was made: figures are those of the changed one, warnings of the first"
            found.append(Remark("mask-changed", text, "look at the warnings with that in mind"))
        for name, noted in self.record.made_from.inputs.items():
            scan = self.scans.modalities.get(name) if self.scans else None
            if scan and noted.partition("[")[0] != sha256_of(scan):
                text = f"{MODALITY_TITLES.get(name, name)} is not the file that the mask was made from"
                found.append(Remark("other-scan", text, "name the scan that was segmented"))
        rules = {**RULES, **WARNINGS}
        own = (Remark(w.code, w.text, rules[w.code].remedy if w.code in rules else "") for w in self.record.warnings)
        return (*found, *own)

    def sureness(self, regions: Iterable[Region]) -> Mapping[Region, Sureness]:
        """What the model expects of its mask, of those regions of which it tells something."""
        if self.record is None or self.changed:
            return {}
        found = {}
        for region in regions:
            dice, doubt = self.record.predicted_dice.get(region), self.record.uncertainty.get(region)
            if dice or doubt:
                found[region] = Sureness(
                    (dice.estimate, dice.low, dice.high) if dice else None,
                    doubt.entropy if doubt else None,
                    doubt.disagreement if doubt else None,
                )
        return found

    @property
    def card(self) -> Rows:
        """The model: all that its spec tells, else what the record does."""
        if self.spec is not None:
            return _card_of(self.spec)
        model = self.record.model if self.record else None
        if model is None:
            return ()
        return ("name", model.name), ("weights, SHA-256", _hash(model.weights_sha256)), *_phantoms(model.phantom_only)

    def made(self, version: str) -> Rows:
        """How the mask was made, as far as it is told, and by which version of gliamap the report."""
        rows = _made_of(self.record) if self.record else ()
        return (*rows, ("mask, SHA-256", sha256_of(self.mask)), ("report", f"gliamap {version}"))


def _card_of(spec: ModelSpec) -> Rows:
    looks = {"brain": "skull-stripped brains", "head": "whole heads"}
    return (
        ("name", spec.name),
        ("network", f"{spec.network.name}, {spec.network.dims}D"),
        ("is shown", ", ".join(MODALITY_TITLES.get(name, name) for name in spec.prep.modalities)),
        ("tells", ", ".join(spec.output.channels)),
        ("made for", looks[spec.prep.foreground]),
        *_phantoms(spec.phantom_only),
        ("trained on", ", ".join(f"{name} {said}" for name, said in spec.training_data.items()) or "not told"),
        *([("training cases looked at", f"{spec.seen.cases:,}")] if spec.seen else []),
        *([("validation", _validation(spec))] if spec.metrics else []),
        ("weights, SHA-256", _hash(spec.weights_sha256)),
    )


def _hash(digest: str | None) -> str:
    return (digest or "not known")[:_HASH]


def _phantoms(only: bool) -> Rows:
    return (("phantoms only", "it says nothing about patients"),) if only else ()


def _validation(spec: ModelSpec) -> str:
    scores = {name.removeprefix("validation_dice_"): value for name, value in spec.metrics.items()}
    return (
        ", ".join(f"Dice {name} {value:.3f}" for name, value in scores.items() if name in tuple(Region)) or "not told"
    )


def _made_of(record: MaskRecord) -> Rows:
    engine, model = record.engine, record.model
    rows = (
        ("model chosen", (model and model.chosen) or ""),
        ("modalities used", ", ".join(record.modalities)),
        ("done without", ", ".join(record.missing_modalities)),
        ("shown", _shown(record)),
        ("removed", _removed(record)),
        ("run by", f"{engine.name} {engine.version}, {engine.precision}" if engine else ""),
        ("models, SHA-256", ", ".join(map(_hash, record.made_from.models))),
        ("scans, SHA-256", ", ".join(f"{name} {_hash(one)}" for name, one in record.made_from.inputs.items())),
        ("versions", ", ".join(f"{name} {number}" for name, number in record.versions.items())),
    )
    return tuple((name, said) for name, said in rows if said)


def _shown(record: MaskRecord) -> str:
    if record.window is None:
        return ""
    how = "in one pass"
    if record.window.mode == "windows":
        patch = " × ".join(map(str, record.window.patch))
        how = f"in windows of {patch} voxels, {100 * record.window.overlap:.0f} % overlap"
    flips = f", averaged over flips along {', '.join(record.flips)}" if record.flips else ""
    spacing = f", at {' × '.join(f'{size:.3g}' for size in record.spacing)}" if record.spacing else ""
    return how + flips + spacing


def _removed(record: MaskRecord) -> str:
    size = record.clean_up.get("min_size", 0.0)
    return f"parts below {size:g} {'mL' if record.unit == 'mL' else 'pixels'}" if size else ""

"""What the user of gliamap segment may set."""

from __future__ import annotations

from typing import Any, Literal

from gliamap.config import Settings


class SegmentOptions(Settings):
    """What the user may set.

    ``labels``: the convention of the masks written (default: the input's own, else the model's); ``lossy`` allows it
    to merge labels. ``part``: only the cases of this part of the run's split; ``cases``: only these case ids.
    ``min_size``: remove connected parts smaller than this, mL or pixels (default: what the model's spec says).
    ``overlap``: of windows, likewise. ``pattern``: how files are named where no layout fits, see
    :mod:`gliamap.sources.pattern`. ``resample_to``: bring the other modalities onto the grid of this one where theirs
    differ, unregistered; the mask then lies on that grid. ``modalities``: use only these of the model's, as if the
    others were missing. ``flips``: average over all flips of the patches, 8 times the work for a network for volumes
    and 4 times for one for slices. ``spacing``: show the network the scans at this one, in mm (pixels for images),
    instead of that of the model's spec.
    ``force``: segment whole heads with a model of skull-stripped brains, and the reverse.

    ``engine`` and ``precision``: see :class:`gliamap.infer.engine.EngineChoice`. ``window``: slide the network over the
    case in windows or show it all in one pass; ``auto`` is what the model's spec says, as far as memory allows.
    ``max_memory``: as a user writes it, ``8GB`` say; default: 70 % of what is free. ``uncertainty``: write maps of it,
    too. ``report``: write a page of each case, too, see :mod:`gliamap.workflows.reports.report`.

    ``resume`` keeps the cases that ``out`` holds whole, made from the same files by the same models in the same way;
    ``overwrite`` replaces what is there. ``manifest``: write ``segment.json``; off where several runs share a folder.
    """

    labels: str | None = None
    lossy: bool = False
    probabilities: bool = False
    uncertainty: bool = False
    report: bool = False
    pictures: bool = True
    part: Literal["train", "val", "test"] | None = None
    cases: tuple[str, ...] | None = None
    min_size: float | None = None
    overlap: float | None = None
    engine: Literal["auto", "torch", "openvino", "onnxruntime"] = "auto"
    precision: Literal["fp32", "bf16", "fp16"] | None = None
    window: Literal["auto", "windows", "one-pass"] = "auto"
    max_memory: str | None = None
    pattern: str | None = None
    resample_to: str | None = None
    modalities: tuple[str, ...] | None = None
    flips: bool = False
    spacing: tuple[float, float, float] | None = None
    force: bool = False
    resume: bool = False
    overwrite: bool = False
    manifest: bool = True

    def deciding(self) -> dict[str, Any]:
        """What of them decides over a case's files."""
        return self.model_dump(mode="json", exclude=set(_NOT_DECIDING))


_NOT_DECIDING = ("part", "cases", "max_memory", "pattern", "force", "resume", "overwrite", "manifest")

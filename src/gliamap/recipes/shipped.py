"""The recipes of the models that come along, one for each, called after it. ``make model-NAME`` trains by them.

Every setting is said, so that a model's recipe stays what it was when the model was made.
"""

from __future__ import annotations

from pathlib import Path

from gliamap.config import AugmentConfig, TrainConfig
from gliamap.recipes.field import full
from gliamap.recipes.recipe import Recipe

_VARIED = AugmentConfig(
    affine=0.5,
    rotate_degrees=30.0,
    scale=0.25,
    intensity=0.4,
    gamma=0.3,
    noise=0.2,
    bias=0.25,
    elastic=0.2,
    low_resolution=0.2,
    ghosting=0.1,
    spikes=0.05,
    motion=0.1,
)
"""For few cases: bent anatomy and what scanners and patients do to MRI."""

_MODERATE = AugmentConfig(scale=0.2, gamma=0.25, bias=0.15, elastic=0.1, low_resolution=0.1)
"""For more cases: the usual changes, and a little of what other scanners do."""


def t1c_2d() -> Recipe:
    """Whole heads in any plane, one sequence, tumour or not. Every tumour counts as often as any other."""
    config = TrainConfig(
        steps=6000, batch=16, patch=(256, 256, 1), balance="cases", augment=_VARIED, validate_every=500
    )
    return Recipe(
        name="t1c-2d",
        description="The shipped model t1c-2d: post-contrast T1 of whole heads, tumour or not, slice by slice.",
        network="dynunet",
        widths=(16, 32, 64, 128, 256),
        deep_supervision=True,
        dims=2,
        output="binary",
        config=full(config),
    )


def t1gd_2d() -> Recipe:
    """Skull-stripped slices, one sequence, background and three tissues. The patch holds most brains whole."""
    config = TrainConfig(steps=3000, batch=12, patch=(80, 96, 1), augment=_MODERATE, validate_every=500)
    return Recipe(
        name="t1gd-2d",
        description="The shipped model t1gd-2d: post-contrast T1 of brains, three tissues, slice by slice.",
        network="dynunet",
        widths=(32, 64, 128, 256, 512),
        deep_supervision=True,
        dims=2,
        output="classes",
        config=full(config),
    )


def glioma_3d() -> Recipe:
    """Volumes with any of four modalities, slice by slice. It begins with what many patients taught of one of them.

    Most of its patches lose some modalities while it learns.
    """
    config = TrainConfig(
        steps=3000, batch=16, patch=(80, 96, 1), modality_dropout=0.8, augment=_VARIED, validate_every=500
    )
    return Recipe(
        name="glioma-3d",
        description="The shipped model glioma-3d: WT, TC and ET in volumes, with any of T1, T1c, T2 and FLAIR.",
        network="dynunet",
        widths=(32, 64, 128, 256, 512),
        deep_supervision=True,
        dims=2,
        output="regions",
        init_from=Path("t1gd-2d"),
        config=full(config),
    )

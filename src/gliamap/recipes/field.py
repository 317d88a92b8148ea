"""The recipes of the field: what teaching projects and challenge entries do, each as a function of full settings.

Every setting is said, so that a recipe stays what it was when a result was made with it; what is left out is
decided by the data (dimensions, patch, batch), or by seed and machine. Sizes are such that two processor cores get
through a training in minutes to hours: a half or a quarter of the channels that the papers give a network.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from gliamap.config import FREELY_CHOSEN, OF_THE_MACHINE, AugmentConfig, TrainConfig
from gliamap.recipes.recipe import Recipe

_WIDTHS = (16, 32, 64, 128, 256)


def patches_transfer() -> Recipe:
    """A balanced base task on patches, then whole slices: the way that this field is taught.

    The base tells tumour from the rest on patches of 64 pixels that overlap by half, as many with tumour as without.
    Then the network gets the tissues' regions to learn on whole slices (the patch covers the median case): its encoder
    rests for a fifth of the steps, while the new output settles, and what was taken over learns at a third of the rate.
    Four levels, because a patch of 64 pixels leaves eight at the coarsest then.
    """
    base = Recipe(
        name="patches-transfer-base",
        description="Tumour or not, on as many patches with tumour as without.",
        deep_supervision=False,
        output="binary",
        stride=32,
        config=full(TrainConfig(steps=1500, batch=32, patch=(64, 64, 1), ratio="1:1"), but=FREELY_CHOSEN),
    )
    whole = TrainConfig(steps=1000, batch=16, freeze_encoder_steps=200, transferred_rate=0.3)
    return Recipe(
        name="patches-transfer",
        description="A small U-Net learns tumour or not on balanced patches, then regions on whole slices.",
        network="unet",
        widths=_WIDTHS[:4],
        deep_supervision=False,
        dims=2,
        output="regions",
        base=base,
        config=full(whole, but=("patch",)),
    )


def brats_slices() -> Recipe:
    """All modalities, slice by slice, straight from the volumes: no slice is ever written to a file.

    The Tversky loss (Salehi et al. 2017) takes the place of Dice: it holds a missed voxel for worse than one marked too
    many, since tumour is a small share of a slice. Half of the slices are drawn around tumour, by region, which keeps
    enhancing tumour frequent.
    """
    return Recipe(
        name="brats-slices",
        description="A 2D U-Net on slices of volumes, all modalities, WT/TC/ET, Tversky loss.",
        network="unet",
        widths=_WIDTHS,
        deep_supervision=False,
        dims=2,
        output="regions",
        config=full(TrainConfig(steps=2000, batch=16, loss="tversky", validate_every=500), but=("patch",)),
    )


def msd_t1gd() -> Recipe:
    """Post-contrast slices of 120x120 pixels of MSD Task01: background and three tissues, 10 000 steps of batch 16.

    Cropped to the brain, the largest of these slices has 83x97 pixels: a patch of 96x112 holds any of them whole, at
    five levels. The three tissues exclude each other, hence a softmax (MSD counts edema as 1, BraTS the core).
    """
    return Recipe(
        name="msd-t1gd",
        description="T1-Gd slices of 120x120 pixels, background and three tissues, 10 000 steps of batch 16.",
        network="dynunet",
        widths=_WIDTHS,
        deep_supervision=True,
        dims=2,
        output="classes",
        config=full(TrainConfig(steps=10_000, batch=16, patch=(96, 112, 1), validate_every=1000)),
    )


def unet_classic() -> Recipe:
    """The U-Net of Ronneberger, Fischer, Brox 2015, in 2D or 3D as the data are, with a quarter of its channels.

    From the paper: five levels, ReLU, max-pooling, transposed convolution, skips by concatenation, and elastic
    deformation of what it learns from. Not from it: padded convolutions and instance normalisation
    (:mod:`gliamap.nets.unet`), Dice beside cross-entropy, AdamW.
    """
    return Recipe(
        name="unet-classic",
        description="The classic U-Net in 2D or 3D: ReLU, max-pooling, transposed convolution, bent anatomy.",
        network="unet",
        widths=_WIDTHS,
        deep_supervision=False,
        output="regions",
        config=full(TrainConfig(steps=2000, augment=AugmentConfig(elastic=0.2)), but=("patch", "batch")),
    )


def t1c_binary() -> Recipe:
    """Image-mask pairs of one sequence, tumour or not: the well-known set of 3064 slices, and sets like it.

    Dice + cross-entropy, as nnU-Net (Isensee et al. 2021) has it. Such images are whole heads in any plane, so the
    patch covers the median image, and every tumour counts as often as any other (``cases``): there is one region only.
    """
    return Recipe(
        name="t1c-binary",
        description="Pairs of image and mask, tumour or not, Dice + cross-entropy.",
        network="dynunet",
        widths=_WIDTHS,
        deep_supervision=True,
        dims=2,
        output="binary",
        config=full(TrainConfig(steps=2000, batch=16, balance="cases", validate_every=500), but=("patch",)),
    )


def t1c_boundary() -> Recipe:
    """``t1c-binary`` with the boundary loss (Kervadec et al. 2019) beside Dice and cross-entropy; nothing else differs.

    What is marked far from the tumour costs more than what is marked beside it. Its weight rises over the training as
    the authors had it (:mod:`gliamap.losses.boundary`). The store needs distances: ``gliamap prepare --distances``.
    """
    plain = t1c_binary()
    return plain.model_copy(
        update={
            "name": "t1c-boundary",
            "description": "Pairs of image and mask, tumour or not, Dice + cross-entropy + boundary loss.",
            "config": plain.config | {"loss": "boundary"},
        }
    )


def brats_3d() -> Recipe:
    """nnU-Net's way with BraTS (Isensee et al. 2021), made small: DynUNet, WT/TC/ET as regions, deep supervision.

    Batch 2 and batch Dice are nnU-Net's. It makes sure of tumour in a third of its patches of 128 voxels a side; here,
    where a patch has 64 at most, in half of them. It takes 250 000 steps of SGD; AdamW comes a long way in 5000.
    """
    return Recipe(
        name="brats-3d",
        description="A 3D DynUNet on volumes of about 1 mm: WT/TC/ET, deep supervision, tumour in half the patches.",
        network="dynunet",
        widths=_WIDTHS,
        deep_supervision=True,
        dims=3,
        output="regions",
        config=full(TrainConfig(steps=5000, batch=2, foreground_share=0.5), but=("patch",)),
    )


def full(config: TrainConfig, *, but: Collection[str] = ()) -> dict[str, Any]:
    """All settings of ``config`` as JSON holds them, ``but`` those that the data decide, and those of the machine."""
    return config.model_dump(mode="json", exclude={"seed", *OF_THE_MACHINE, *but})

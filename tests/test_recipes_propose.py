"""What is proposed for which data: facts in, sizes and reasons out."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gliamap.boxes import Shape
from gliamap.config import NetConfig, PrepConfig
from gliamap.errors import ConfigError
from gliamap.nets.zoo import NETWORKS, build_network, size_divisor
from gliamap.recipes.facts import CaseFacts, DataFacts, Spacing, Tails
from gliamap.recipes.memory import training_memory
from gliamap.recipes.named import RECIPES
from gliamap.recipes.propose import USABLE, Proposal, propose
from gliamap.recipes.recipe import Recipe

GB = 10**9
PREP = PrepConfig(modalities=("t1", "t1c", "t2", "flair"))
CALM, WILD = Tails(farthest=5.0, spread=0.8), Tails(farthest=40.0, spread=0.3)


def facts(
    *shapes: Shape,
    spacing: Spacing = (1.0, 1.0, 1.0),
    lesion: Shape = (40, 50, 30),
    tails: Tails = CALM,
    prep: PrepConfig = PREP,
) -> DataFacts:
    """Cases of these shapes, all else alike; three network channels."""
    cases = tuple(CaseFacts(shape, spacing, lesion, 30.0, tails) for shape in shapes)
    return DataFacts(cases, prep, 3, "px" if shapes[0][2] == 1 else "mm")


BRATS = facts((140, 172, 138), (136, 168, 140), (144, 180, 136))
SLICES = facts((120, 120, 1), (110, 100, 1), lesion=(20, 30, 1))


def config(proposal: Proposal) -> tuple[Shape, int, int | None]:
    """Patch, batch, micro batch."""
    chosen = proposal.recipe.config
    return chosen["patch"], chosen["batch"], chosen.get("micro_batch")


def test_much_memory_gives_the_largest_patch_and_the_deepest_network() -> None:
    found = propose(BRATS, 24 * GB)
    assert config(found) == ((128, 128, 128), 2, None)
    assert (found.recipe.dims, found.recipe.widths) == (3, (16, 32, 64, 128, 256, 320))
    assert found.recipe.reasons["patch"] == (
        "covers 91%, 74% and 93% of the median case, 140x172x138; 128 is the most; the largest lesion of every case "
        "fits into it"
    )
    assert found.recipe.reasons["levels"] == "the patch's shortest side, 128, becomes 4 at the coarsest"


def test_where_two_patches_do_not_fit_they_take_turns() -> None:
    found = propose(BRATS, 4 * GB)
    assert config(found) == ((128, 128, 128), 2, 1)
    assert found.recipe.reasons["batch"].startswith("one at a time: both at once would take about")


def test_as_many_slices_go_through_at_once_as_fit() -> None:
    found = propose(facts((256, 256, 1)), 5 * GB // 2)
    assert config(found) == ((256, 256, 1), 16, 8)
    assert found.recipe.reasons["batch"].startswith("8 at a time: all 16 at once would take about")


def test_less_memory_gives_a_smaller_patch_then_a_shallower_network() -> None:
    found = propose(BRATS, 2 * GB)
    patch, _, _ = config(found)
    assert len(found.recipe.widths or ()) == 5 and all(n % 16 == 0 and 64 <= n < 128 for n in patch)
    assert max(patch) == patch[1]  # the longest axis of the cases
    assert "more does not fit the memory" in found.recipe.reasons["patch"]
    assert len(propose(BRATS, GB).recipe.widths or ()) == 4


def test_too_little_memory_is_an_error_that_says_how_much_is_needed() -> None:
    with pytest.raises(ConfigError, match=r"too small for any training. Found: 0.7 GB. Expected: at least 0.8 GB"):
        propose(BRATS, 7 * GB // 10)
    assert len(propose(BRATS, 8 * GB // 10).recipe.widths or ()) == 3


def test_slices_get_a_2d_network_over_the_whole_slice() -> None:
    found = propose(SLICES, 8 * GB)
    assert (found.recipe.dims, found.recipe.widths) == (2, (32, 64, 128, 256, 512))
    assert config(found) == ((128, 112, 1), 16, None)  # 115 and 110 voxels, rounded up to what 16 divides
    assert found.recipe.reasons["network"] == "every case is a single slice"
    assert found.recipe.reasons["patch"].startswith("holds the whole median case, 115x110;")
    assert found.spacing is None and found.recipe.reasons["spacing"] == "images have no spacing"


def test_thick_slices_get_a_2d_network_and_stay_thick() -> None:
    found = propose(facts((200, 240, 40), spacing=(1.0, 1.0, 5.0)), 8 * GB)
    assert found.recipe.dims == 2
    assert found.recipe.reasons["network"].startswith("slices are 5.0 times as thick as their pixels;")
    assert found.spacing is None and "left thick" in found.recipe.reasons["spacing"]


def test_few_slices_get_a_2d_network_too() -> None:
    found = propose(facts((206, 250, 22)), 8 * GB)
    assert found.recipe.dims == 2
    assert found.recipe.reasons["network"] == (
        "the median case has 22 slices, enough for 3 levels at most; 206x250 pixels are enough for 6"
    )
    assert propose(facts((30, 34, 22)), 8 * GB).recipe.dims == 3  # no less shallow in the plane


def test_a_thick_axis_that_is_not_z_leaves_the_network_3d() -> None:
    found = propose(facts((40, 240, 200), spacing=(5.0, 1.0, 1.0)), 8 * GB)
    assert found.recipe.dims == 3 and "thick axis is not Z" in found.recipe.reasons["network"]


def test_spacings_that_differ_are_brought_to_their_median() -> None:
    one, two, three = (facts((100, 100, 100), spacing=(s, 1.0, 2.0)).cases[0] for s in (0.9, 1.0, 1.2))
    found = propose(replace(BRATS, cases=(one, two, three)), 8 * GB)
    assert found.spacing == (1.0, 1.0, 2.0)
    assert found.recipe.reasons["spacing"] == "cases differ, 0.9x1x2 to 1.2x1x2 mm; this is their median"


def test_spacings_within_5_percent_count_as_equal() -> None:
    one, two = (facts((100, 100, 100), spacing=(s, 1.0, 1.0)).cases[0] for s in (1.0, 1.05))
    assert propose(replace(BRATS, cases=(one, two)), 8 * GB).spacing is None
    wider = replace(two, spacing=(1.06, 1.0, 1.0))
    assert propose(replace(BRATS, cases=(one, wider)), 8 * GB).spacing == (1.03, 1.0, 1.0)


def test_what_was_resampled_stays() -> None:
    found = propose(replace(BRATS, prep=PREP.model_copy(update={"spacing": (1.0, 1.0, 1.0)})), 8 * GB)
    assert found.spacing is None and found.recipe.reasons["spacing"] == "resampled to 1x1x1 mm already"


@pytest.mark.parametrize(("wild", "proposed"), [(0, None), (1, None), (2, "robust"), (10, "robust")])
def test_heavy_tails_in_more_than_a_tenth_of_the_cases_are_cut(wild: int, proposed: str | None) -> None:
    one = BRATS.cases[0]
    data = replace(BRATS, cases=tuple(replace(one, tails=WILD if number < wild else CALM) for number in range(10)))
    found = propose(data, 8 * GB)
    assert found.normalise == proposed
    assert found.recipe.reasons["normalisation"].startswith(f"heavy tails in {wild} of 10 cases")
    again = propose(replace(data, prep=PREP.model_copy(update={"normalise": "robust"})), 8 * GB)
    assert again.normalise is None and again.recipe.reasons["normalisation"] == "tails are cut already"


def test_either_sign_of_heavy_tails_counts() -> None:
    assert not Tails(10.0, 0.4).heavy
    assert Tails(10.1, 0.9).heavy and Tails(5.0, 0.39).heavy


def test_no_lesion_and_no_contrast_are_no_obstacle() -> None:
    bare = DataFacts((CaseFacts((64, 64, 64), (1.0, 1.0, 1.0)),), PREP, 3)
    found = propose(bare, 8 * GB)
    assert "lesion" not in found.recipe.reasons["patch"]
    assert found.normalise is None and found.recipe.reasons["normalisation"] == "no case has contrast to look at"


def test_the_share_of_lesions_that_fit() -> None:
    lesions: tuple[Shape, ...] = ((10, 10, 10), (40, 10, 10), (10, 10, 33))
    data = DataFacts(tuple(CaseFacts((64, 64, 64), (1.0, 1.0, 1.0), lesion) for lesion in lesions), PREP, 3)
    assert data.share_within((32, 32, 32)) == pytest.approx(1 / 3)
    assert data.share_within((40, 10, 33)) == 1
    assert data.share_within((32, 32, 1)) == pytest.approx(2 / 3)  # a slice never holds a whole lesion: X and Y count


def test_a_recipe_to_start_from_keeps_its_settings() -> None:
    found = propose(BRATS, 8 * GB, base=RECIPES["any-modality"])
    assert found.recipe.name == "any-modality-planned" and found.recipe.config["modality_dropout"] == 0.5
    assert found.memory.total > propose(BRATS, 8 * GB).memory.total  # eight channels in, not four
    flat = propose(BRATS, 8 * GB, base=Recipe(name="slices", dims=2, network="unet", output="classes"))
    assert (flat.recipe.dims, flat.recipe.network, flat.recipe.output) == (2, "unet", "classes")
    assert flat.recipe.reasons["network"] == "as the recipe slices says"
    based = propose(BRATS, 8 * GB, base=RECIPES["patches-transfer"]).recipe
    assert based.base == RECIPES["patches-transfer"].base and based.network == "unet"
    assert config(propose(BRATS, 6 * GB)) == ((128, 128, 128), 2, None)
    fp32 = propose(BRATS, 6 * GB, base=Recipe(config={"precision": "fp32"}))
    assert config(fp32) == ((128, 128, 128), 2, 1)
    one = replace(BRATS, prep=PrepConfig(modalities=("t1c",)))
    with pytest.raises(ConfigError, match="t1c is the only modality"):
        propose(one, 8 * GB, base=RECIPES["any-modality"])


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("data", [BRATS, facts((60, 50, 1))])
def test_every_network_gets_sizes_that_fit_it(name: str, data: DataFacts) -> None:
    found = propose(data, 8 * GB, base=Recipe(network=name))
    dims, widths, (patch, _, _) = found.recipe.dims, found.recipe.widths, config(found)
    assert dims == (2 if data.slices or 3 not in NETWORKS[name].widths else 3)
    sized = patch if NETWORKS[name].sized else None
    net = NetConfig(name=name, dims=dims, in_channels=4, out_channels=3, widths=widths or (), input_size=sized)
    assert all(n % size_divisor(net) == 0 for n in patch[:dims])
    with torch.device("meta"):
        model = build_network(net).eval()
        assert model(torch.zeros(1, 4, *patch[:dims])).shape == (1, 3, *patch[:dims])


def test_a_network_for_slices_makes_slices_of_volumes() -> None:
    found = propose(BRATS, 8 * GB, base=Recipe(network="swin-unet"))
    assert found.recipe.reasons["network"] == "the network swin-unet is for slices"
    with pytest.raises(ConfigError, match="'swin-unet' is not for 3D"):
        propose(BRATS, 8 * GB, base=Recipe(network="swin-unet", dims=3))


@settings(max_examples=60, deadline=None)
@given(
    st.tuples(st.integers(8, 300), st.integers(8, 300), st.integers(1, 200)),
    st.sampled_from((0.9, 1.5, 3.0, 8.0, 40.0)),
)
def test_whatever_is_proposed_fits_network_case_and_memory(shape: Shape, gigabytes: float) -> None:
    data = facts(shape)
    found = propose(data, int(gigabytes * GB))
    recipe = found.recipe
    assert recipe.dims and recipe.widths
    patch, batch, micro = config(found)
    divisor = 2 ** (len(recipe.widths) - 1)
    sizes = patch[: recipe.dims]
    assert all(n % divisor == 0 for n in sizes) and max(sizes) > divisor and (patch[2] == 1) == (recipe.dims == 2)
    assert all(p < n + 2 * divisor for p, n in zip(sizes, shape, strict=False))
    assert batch % (micro or batch) == 0
    network = NetConfig(
        name=recipe.network,
        dims=recipe.dims,
        in_channels=4,
        out_channels=3,
        widths=recipe.widths,
        deep_supervision=True,
    )
    assert found.memory == training_memory(network, patch, micro or batch)
    assert found.memory.total <= USABLE * gigabytes * GB

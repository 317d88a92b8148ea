"""Starting from another network's weights: what is taken, adapted and new, by values that can be checked by eye."""

from __future__ import annotations

from typing import Any

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import tiny
from gliamap.config import InputConfig, ModelSpec, NetConfig, OutputConfig, PrepConfig
from gliamap.io.tensors import named_tensors
from gliamap.nets.transfer import Transfer, carry_over, match
from gliamap.nets.zoo import build_network
from members import Member, every_network

MODALITIES = ("t1", "t1c", "t2", "flair")


def spec_of(
    modalities: tuple[str, ...] = MODALITIES,
    *,
    convention: str = "brats2021",
    kind: Any = "regions",
    inputs: InputConfig | None = None,
    **network: Any,
) -> ModelSpec:
    """A 2D network of two levels, or as said, for these inputs and outputs."""
    output, shown = OutputConfig(kind=kind, convention=convention), inputs or InputConfig()
    net = {"name": "unet", "dims": 2, "widths": (4, 8)} | network
    channels = {"in_channels": shown.channels(len(modalities)), "out_channels": len(output.channels)}
    return tiny.spec(
        network=NetConfig.model_validate(net | channels),
        output=output,
        prep=PrepConfig(modalities=modalities),
        inputs=shown,
    )


def carried(source: ModelSpec, spec: ModelSpec) -> tuple[Transfer, dict[str, Tensor], dict[str, Tensor], nn.Module]:
    """What was done, the tensors before and after, and the new network."""
    torch.manual_seed(0)
    old, new = build_network(source.network), build_network(spec.network)
    transfer = carry_over(new, spec, source=old, source_spec=source)
    return transfer, named_tensors(old), named_tensors(new), new


def names(tensors: Any) -> list[str]:
    return [tensor.name for tensor in tensors]


def spec_with(member: Member, modalities: tuple[str, ...], convention: str) -> ModelSpec:
    outputs = len(OutputConfig(kind="regions", convention=convention).channels)
    config = member.config(inputs=len(modalities), outputs=outputs)
    return spec_of(modalities, convention=convention, **config.model_dump(exclude={"in_channels", "out_channels"}))


@every_network
def test_the_same_network_is_taken_whole(member: Member) -> None:
    spec = spec_with(member, MODALITIES, "brats2021")
    transfer, old, new, model = carried(spec, spec)
    assert names(transfer.taken) == list(old) and transfer.names == set(old)
    assert transfer.adapted == transfer.new == ()
    assert all(torch.equal(old[name], new[name]) for name in old)
    assert set(old) == {name for name, _ in [*model.named_parameters(), *model.named_buffers()]}  # none left out


@every_network
def test_every_network_goes_on_where_it_was_with_more_modalities_and_regions(member: Member) -> None:
    """Whatever sees the input is adapted: the same image in all modalities, and WT is what it was, TC and ET too."""
    source, spec = spec_with(member, ("t1c",), "binary"), spec_with(member, MODALITIES, "brats2021")
    transfer, old, _, model = carried(source, spec)
    assert not transfer.new
    before = build_network(source.network)
    for name, tensor in named_tensors(before).items():
        tensor.data = old[name].data
    x = member.image()[:, :1]
    with torch.inference_mode():
        whole = before.eval()(x)
        assert torch.allclose(model.eval()(x.expand(-1, 4, *x.shape[2:])), whole.expand(-1, 3, *x.shape[2:]), atol=1e-3)


def test_one_modality_becomes_four() -> None:
    transfer, old, new, _ = carried(spec_of(("t1c",)), spec_of())
    assert names(transfer.adapted) == ["down.0.0.weight"] and not transfer.new
    (first,) = transfer.adapted
    assert first.shape == "4x4x3x3"
    assert first.note == "t1, t2, flair: mean of t1c, times 1/4; t1c: kept, times 1/4"
    before, after = old["down.0.0.weight"], new["down.0.0.weight"]
    assert all(torch.equal(after[:, [channel]], before / 4) for channel in range(4))


def test_images_that_are_alike_give_the_response_of_one() -> None:
    transfer, old, new, model = carried(spec_of(("t1c",)), spec_of())
    x = torch.randn(1, 1, 8, 8)
    first, again = nn.Conv2d(1, 4, 3, bias=False), nn.Conv2d(4, 4, 3, bias=False)
    first.weight.data, again.weight.data = old["down.0.0.weight"].data, new["down.0.0.weight"].data
    assert torch.allclose(again(x.expand(1, 4, 8, 8)), first(x), atol=1e-6)
    assert transfer.taken and model(x.expand(1, 4, 8, 8)).shape == (1, 3, 8, 8)


def test_an_unknown_modality_is_the_mean_of_the_known_ones() -> None:
    transfer, old, new, _ = carried(spec_of(("t1", "t2")), spec_of(("flair", "t2")))
    before, after = old["down.0.0.weight"], new["down.0.0.weight"]
    assert torch.equal(after[:, 0], before.mean(dim=1)) and torch.equal(after[:, 1], before[:, 1])
    assert transfer.adapted[0].note == "flair: mean of t1, t2; t2: kept"


def test_modalities_in_another_order_are_found_by_name() -> None:
    transfer, old, new, _ = carried(spec_of(("t1", "t2")), spec_of(("t2", "t1")))
    assert torch.equal(new["down.0.0.weight"], old["down.0.0.weight"].flip(1))
    assert names(transfer.adapted) == ["down.0.0.weight"]


def test_a_new_kind_of_channel_starts_at_zero_and_changes_nothing() -> None:
    shown = InputConfig(mirror=True, presence=True)
    transfer, old, new, model = carried(spec_of(("t1", "t2")), spec_of(("t1", "t2"), inputs=shown))
    after = new["down.0.0.weight"]
    assert torch.equal(after[:, :2], old["down.0.0.weight"]) and not after[:, 2:].any()
    note = "t1, t2: kept; t1 mirrored, t2 mirrored, t1 present, t2 present: 0"
    assert transfer.adapted[0].note == note
    x, more = torch.randn(1, 2, 8, 8), torch.randn(1, 4, 8, 8)
    source = build_network(spec_of(("t1", "t2")).network)
    for name, tensor in named_tensors(source).items():
        tensor.data = old[name].data
    assert torch.allclose(model(torch.cat([x, more], 1)), source(x), atol=1e-6)


def test_mirrored_and_presence_channels_are_matched_with_their_like() -> None:
    shown = InputConfig(mirror=True, presence=True)
    _, old, new, _ = carried(spec_of(("t1", "t2"), inputs=shown), spec_of(("t2", "flair"), inputs=shown))
    before, after = old["down.0.0.weight"], new["down.0.0.weight"]
    for kind in (0, 2, 4):  # as it is, mirrored, present
        assert torch.equal(after[:, kind], before[:, kind + 1])
        assert torch.equal(after[:, kind + 1], before[:, kind : kind + 2].mean(dim=1))


def test_regions_start_as_the_next_wider_one() -> None:
    transfer, old, new, _ = carried(spec_of(convention="binary"), spec_of())
    assert names(transfer.adapted) == ["head.weight", "head.bias"]
    assert {tensor.note for tensor in transfer.adapted} == {"WT kept, TC as WT, ET as WT"}
    for name in ("head.weight", "head.bias"):
        assert all(torch.equal(new[name][[channel]], old[name]) for channel in range(3))


def test_fewer_regions_are_those_of_the_same_name() -> None:
    transfer, old, new, _ = carried(spec_of(), spec_of(convention="binary"))
    assert torch.equal(new["head.weight"], old["head.weight"][:1])
    assert transfer.adapted[0].note == "WT kept"


def test_regions_of_another_convention_are_the_same_regions() -> None:
    assert not match(spec_of(convention="msd"), spec_of(convention="brats2021")).adapted


def test_classes_are_matched_by_tissue() -> None:
    source = spec_of(kind="classes", convention="brats2021")  # background, NCR, ED, ET
    transfer, old, new, _ = carried(source, spec_of(kind="classes", convention="msd"))  # background, ED, NCR, ET
    assert torch.equal(new["head.weight"], old["head.weight"][[0, 2, 1, 3]])
    assert transfer.adapted[0].note == "background kept, ED kept, NCR kept, ET kept"


def test_a_class_starts_as_the_wider_tissue_or_afresh() -> None:
    source = spec_of(kind="classes", convention="brats2012")  # background, ED, CORE
    transfer, old, new, _ = carried(source, spec_of(kind="classes", convention="brats2021"))
    assert transfer.adapted[0].note == "background kept, NCR as CORE, ED kept, ET as CORE"
    assert torch.equal(new["head.bias"], old["head.bias"][[0, 2, 1, 2]])
    coarse = match(spec_of(kind="classes", convention="brats2021"), spec_of(kind="classes", convention="binary"))
    assert coarse.adapted[0].note == "background kept, TUMOUR afresh"
    cavity = match(spec_of(kind="classes", convention="brats2021"), spec_of(kind="classes", convention="brats2024"))
    assert cavity.adapted[0].note.endswith("ET kept, RC as background")


def test_what_starts_afresh_keeps_what_was_drawn() -> None:
    source, spec = spec_of(kind="classes"), spec_of(kind="classes", convention="binary")
    torch.manual_seed(0)
    build_network(source.network)
    drawn = named_tensors(build_network(spec.network))
    _, old, new, _ = carried(source, spec)
    assert torch.equal(new["head.bias"], torch.stack([old["head.bias"][0], drawn["head.bias"][1]]))


def test_heads_are_new_where_regions_become_classes() -> None:
    transfer, old, new, _ = carried(spec_of(convention="brats2012"), spec_of(kind="classes", convention="binary"))
    assert names(transfer.new) == ["head.weight", "head.bias"] and not transfer.adapted
    assert transfer.new[0].note == "classes instead of regions"
    assert not torch.equal(old["head.weight"], new["head.weight"])  # though of the same shape


def test_deep_heads_are_adapted_too_and_new_where_the_source_has_none() -> None:
    deep = {"name": "dynunet", "widths": (4, 6, 8, 8), "deep_supervision": True}
    transfer, _, _, _ = carried(spec_of(convention="binary", **deep), spec_of(**deep))
    heads = ["output_block.conv.conv", *(f"deep_supervision_heads.{level}.conv.conv" for level in (0, 1))]
    assert names(transfer.adapted) == [f"{head}.{what}" for head in heads for what in ("weight", "bias")]
    plain = spec_of(**deep | {"deep_supervision": False})
    assert {tensor.note for tensor in match(plain, spec_of(**deep)).new} == {"the source has none"}
    assert len(match(plain, spec_of(**deep)).new) == 4


@settings(max_examples=20)
@given(st.permutations(MODALITIES), st.integers(1, 4), st.data())
def test_the_same_image_in_every_modality_gives_the_response_that_it_gave(
    known: list[str], count: int, data: st.DataObject
) -> None:
    """Whatever is added to the modalities that the source knew, and in whatever order they come."""
    more = data.draw(
        st.permutations([*known[:count], *data.draw(st.sets(st.sampled_from(MODALITIES))) - {*known[:count]}])
    )
    _, old, new, _ = carried(spec_of(tuple(known[:count])), spec_of(tuple(more)))
    assert new["down.0.0.weight"].shape[1] == len(more)
    assert torch.allclose(new["down.0.0.weight"].sum(dim=1), old["down.0.0.weight"].sum(dim=1), atol=1e-5)

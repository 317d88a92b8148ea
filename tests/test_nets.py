"""Every network of the zoo, in 2D and 3D, with and without deep supervision: the same tests for all."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_model, save_model
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from gliamap.config import NetConfig
from gliamap.errors import ConfigError
from gliamap.io.tensors import named_tensors
from gliamap.nets.zoo import NETWORKS, build_network, fits, heads, network_of, size_divisor
from members import TINY, Member, every_network


def as_at_inference(model: nn.Module) -> nn.Module:
    """``model`` in training, but for the layers that do something else then."""
    model.train()
    for module in model.modules():
        if isinstance(module, _BatchNorm | nn.Dropout):
            module.eval()
    return model


def outputs_of_layers(model: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """What each layer with parameters of its own gives for ``x``, by the name of one of these."""
    found: dict[str, Tensor] = {}
    names = {parameter: name for name, parameter in model.named_parameters()}
    hooks = []
    for module in model.modules():
        for parameter in list(module.parameters(recurse=False))[:1]:

            def note(_: nn.Module, __: object, output: Tensor, name: str = names[parameter]) -> None:
                found[name] = output.detach().clone()

            hooks.append(module.register_forward_hook(note))
    with torch.no_grad():
        model(x)
    for hook in hooks:
        hook.remove()
    return found


def shift(model: nn.Module, names: list[str]) -> None:
    """Change the parameters of these names at random."""
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name in names:
                parameter.add_(torch.randn(parameter.shape, generator=generator))


@every_network
class TestEveryNetwork:
    """What training and inference rely on, whichever network it is."""

    def test_logits_have_the_size_of_the_input(self, member: Member) -> None:
        for size in member.sizes:
            model = member.model(size).eval()
            with torch.inference_mode():
                assert model(torch.randn(1, 2, *size)).shape == (1, 3, *size)

    @pytest.mark.parametrize(("inputs", "outputs"), [(1, 1), (8, 4)])
    def test_any_number_of_modalities_regions_and_classes(self, member: Member, inputs: int, outputs: int) -> None:
        size = member.sizes[0]
        with torch.device("meta"):
            model = build_network(member.config(size, inputs=inputs, outputs=outputs)).eval()
            assert model(torch.zeros(1, inputs, *size)).shape == (1, outputs, *size)

    def test_training_gives_heads_of_that_size(self, member: Member) -> None:
        levels = heads(member.model().train()(member.image()), member.config())
        assert (len(levels) > 1) == member.deep
        assert all(level.shape == (2, 3, *member.sizes[0]) for level in levels)

    def test_the_first_head_is_what_inference_gives(self, member: Member) -> None:
        model, x = member.model(), member.image()
        with torch.no_grad():
            first = heads(as_at_inference(model)(x), member.config())[0]
            assert torch.allclose(first, model.eval()(x), atol=1e-5)
            assert len(heads(model(x), member.config())) == 1

    def test_gradients_reach_every_parameter(self, member: Member) -> None:
        model = member.model().train()
        levels = heads(model(member.image()), member.config())
        target = torch.rand(levels[0].shape, generator=torch.Generator().manual_seed(1))
        torch.autograd.backward(sum(((level - target).square().mean() for level in levels), torch.zeros(())))
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name
            # A bias before a normalisation has no effect; every weight has.
            assert parameter.ndim == 1 or parameter.grad.abs().sum() > 0, name

    def test_it_learns_in_bf16_as_in_fp32(self, member: Member) -> None:
        """The outputs are alike, the gradients finite and in fp32. On wide patches (training.step.bf16_is_sound)."""
        wide = member.sizes[-1]
        model, x = as_at_inference(member.model(wide)), member.image(wide)
        exact = heads(model(x), member.config())[0].detach()
        with torch.autocast("cpu", torch.bfloat16):
            levels = heads(model(x), member.config())
        assert (levels[0] - exact).abs().mean() < 0.1 * exact.std() + 0.01
        torch.autograd.backward(sum((level.float().square().mean() for level in levels), torch.zeros(())))
        gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
        assert gradients and all(g.dtype == torch.float32 and g.isfinite().all() for g in gradients)

    def test_saved_and_loaded_gives_the_same_output(self, member: Member, tmp_path: Path) -> None:
        model, other = member.model(), build_network(member.config())
        x = member.image()
        model.train()(x)  # moves running statistics, where there are any
        save_model(model, str(tmp_path / "w.safetensors"))
        load_model(other, str(tmp_path / "w.safetensors"))
        with torch.inference_mode():
            assert torch.equal(model.eval()(x), other.eval()(x))

    @pytest.mark.filterwarnings("ignore:The tensor attributes? self.heads")  # DynUNet notes coarser logits, always
    def test_it_can_be_exported(self, member: Member) -> None:
        model, x = member.model().eval(), member.image(count=1)
        exported = torch.export.export(model, (x,)).module()
        with torch.no_grad():
            assert torch.allclose(exported(x), model(x), atol=1e-5)

    def test_its_parts_are_told_by_the_names_of_tensors(self, member: Member) -> None:
        """Convolutions that see the input have its channels, heads have the outputs', and there is a decoder."""
        tensors = named_tensors(build_network(member.config(inputs=5, outputs=7)))
        parts = NETWORKS[member.name].parts
        seeing = {name for name, value in tensors.items() if value.ndim > 1 and value.shape[1] == 5}
        assert seeing == {name for name, value in tensors.items() if value.ndim > 1 and parts.sees_input(name)}
        assert seeing and {parts.of(name) for name in seeing} == {"encoder"}
        giving = {name for name, value in tensors.items() if value.ndim > 0 and len(value) == 7}
        assert giving == {name for name in tensors if parts.of(name) == "heads"}
        assert {parts.of(name) for name in tensors} == {"encoder", "decoder", "heads"}

    def test_the_encoder_comes_first(self, member: Member) -> None:
        """Its layers give the same whatever the other weights are, and all others depend on it."""
        model, parts, x = as_at_inference(member.model()), NETWORKS[member.name].parts, member.image()
        own = {name: parts.of(name) for name, _ in model.named_parameters()}
        before = outputs_of_layers(model, x)
        shift(model, [name for name, part in own.items() if part != "encoder"])
        after = outputs_of_layers(model, x)
        changed = {name for name in before if not torch.equal(before[name], after[name])}
        assert all((own[name] == "encoder") == (name not in changed) for name in before)

    def test_the_global_seed_decides_the_weights(self, member: Member) -> None:
        first, second = member.model(), member.model()
        assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))

    def test_an_item_does_not_depend_on_its_batch(self, member: Member) -> None:
        model, x = member.model().eval(), member.image()
        with torch.inference_mode():
            assert torch.allclose(model(x)[1:2], model(x[1:2]), atol=1e-4)


def plain(name: str, **changes: object) -> NetConfig:
    """A 2D network with one channel in and one out."""
    return NetConfig.model_validate({"name": name, "dims": 2, "in_channels": 1, "out_channels": 1} | changes)


def test_an_unknown_network_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"no network called 'nonsense'.*unet, residual-unet"):
        build_network(plain("nonsense"))


def test_deep_supervision_is_refused_where_there_is_none() -> None:
    with pytest.raises(ConfigError, match=r"'unet' has no deep supervision.*unet\+\+, dynunet"):
        build_network(plain("unet", deep_supervision=True))


@pytest.mark.parametrize("deep", [False, True])
def test_dynunet_refuses_two_levels_which_unet_takes(deep: bool) -> None:
    with pytest.raises(ConfigError, match=r"needs at least 3 levels\. Found: widths 4, 8"):
        build_network(plain("dynunet", widths=(4, 8), deep_supervision=deep))
    assert build_network(plain("unet", widths=(4, 8)))(torch.zeros(1, 1, 6, 4)).shape == (1, 1, 6, 4)


@pytest.mark.parametrize(
    ("name", "widths", "match"),
    [
        ("unet++", (4, 8, 8), r"'unet\+\+' needs 5 levels\. Found: widths 4, 8, 8"),
        ("unetr", (4, 8, 16, 32, 48, 64), "'unetr' needs 5 levels"),
        ("segresnet", (8, 16, 16), "cannot have these widths.*8, 16, 16.*doubled.*multiple of 8, such as 64,128,256"),
        ("segresnet", (4, 8, 16), "the first a multiple of 8"),
        ("mednext", (8, 12), "doubled from level to level, such as 8,16"),
        ("swin-unet", (8, 8), "doubled"),
        ("swin-unetr", (16, 32, 64, 128, 256), "the first a multiple of 12"),
        ("unetr", (4, 8, 16, 16, 48), "the first 4 widths doubled"),
        ("deeplabv3", (8, 16), "the widths of the network 'deeplabv3' are fixed. Found: widths 8, 16"),
    ],
)
def test_widths_that_a_network_cannot_have_are_refused(name: str, widths: tuple[int, ...], match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        build_network(plain(name, widths=widths, input_size=(16, 16, 1)))


def test_dimensions_that_a_network_is_not_for_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"'swin-unet' is not for 3D\. Expected: dims 2"):
        build_network(plain("swin-unet", dims=3, widths=(8, 16)))


def test_a_network_of_a_size_must_be_told_it_and_takes_no_other() -> None:
    with pytest.raises(ConfigError, match="'unetr' must be told the size of its input"):
        build_network(plain("unetr", widths=TINY["unetr"]))
    model = build_network(plain("unetr", widths=TINY["unetr"], input_size=(32, 16, 1)))
    assert model(torch.zeros(1, 1, 32, 16)).shape == (1, 1, 32, 16)
    with pytest.raises(RuntimeError, match="size"):
        model(torch.zeros(1, 1, 32, 32))


def test_three_levels_have_one_deep_head_and_five_have_two() -> None:
    for name in ("dynunet", "residual-encoder-unet"):
        for widths, count in (((4, 4, 4), 2), ((4, 4, 4, 4, 4), 3)):
            config = plain(name, widths=widths, deep_supervision=True)
            assert len(heads(build_network(config).train()(torch.zeros(1, 1, 32, 32)), config)) == count


def test_coarser_heads_are_brought_to_the_finest_size_by_repeating_voxels() -> None:
    fine, coarse = torch.zeros(1, 1, 4, 2), torch.tensor([[[[1.0], [2.0]]]])
    _, level = heads([fine, coarse], plain("mednext", deep_supervision=True))
    assert level.tolist() == [[[[1, 1], [1, 1], [2, 2], [2, 2]]]]


def test_what_a_network_divides_by() -> None:
    divisors = {name: {network.divisor(network.levels)} for name, network in NETWORKS.items()}
    assert divisors.pop("swin-unet") == divisors.pop("swin-unetr") == {32}
    assert divisors.pop("segresnet") == {8}
    assert set().union(*divisors.values()) == {16}
    assert size_divisor(plain("swin-unet", widths=(8, 16))) == 8 and size_divisor(plain("unet", widths=(4, 8))) == 2


@pytest.mark.parametrize(
    ("dims", "patch", "fitting"),
    [
        (2, (4, 2, 1), True),
        (2, (2, 2, 1), False),  # one voxel at the coarsest level
        (2, (4, 3, 1), False),
        (2, (4, 2, 2), False),
        (3, (2, 2, 4), True),
        (3, (4, 4, 1), False),
    ],
)
def test_which_patches_fit(dims: int, patch: tuple[int, int, int], fitting: bool) -> None:
    assert fits(plain("unet", dims=dims, widths=(4, 8)), patch) == fitting


@pytest.mark.parametrize("name", NETWORKS)
def test_the_usual_widths_are_widths_that_the_network_can_have(name: str) -> None:
    network = network_of(name)
    assert network.levels <= len(next(iter(network.widths.values())))
    for dims in network.widths:
        for levels in range(network.least, (network.most or len(network.widths[dims])) + 1):
            size = (64, 64, 64 if dims == 3 else 1) if network.sized else None
            config = plain(name, dims=dims, widths=network.widths[dims][:levels], input_size=size)
            with torch.device("meta"):
                build_network(config)


def test_the_unet_is_the_classic_one() -> None:
    kinds = [type(module).__name__ for module in build_network(plain("unet", widths=(4, 8, 16))).modules()]
    assert kinds.count("ConvTranspose2d") == 2
    assert kinds.count("Conv2d") == 2 * (3 + 2) + 1
    assert kinds.count("MaxPool2d") == 1


def test_the_residual_encoder_has_the_blocks_of_the_paper() -> None:
    model = build_network(plain("residual-encoder-unet", widths=(2, 4, 4, 4, 4, 4, 4)))
    blocks = [type(module).__name__ for module in model.modules()].count("_ResidualBlock")
    assert blocks == 1 + 3 + 4 + 6 + 6 + 6 + 6
    assert sum(isinstance(module, nn.Conv2d) for module in model.decoder.modules()) == 6  # one a level

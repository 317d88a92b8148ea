"""The networks with what they cost."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import MappingProxyType

import pytest

from gliamap.config import NetConfig
from gliamap.errors import ConfigError
from gliamap.nets import zoo
from gliamap.nets.cost import count_parameters, forward_gflops
from gliamap.workflows.training.networks import NetworkCost, networks, networks_table

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    """As if there were these networks alone; the second cannot be had."""

    def refuse(config: NetConfig) -> None:
        raise ConfigError("no torchvision here", remedy="pip install 'gliamap[torchvision]'")

    absent = zoo.Network(refuse, "DeepLabV3", zoo.NETWORKS["unet"].parts, {2: (4, 8)})  # type: ignore[arg-type]
    chosen = {"unet": zoo.NETWORKS["unet"], "deeplabv3": absent, "segresnet": zoo.NETWORKS["segresnet"]}
    monkeypatch.setattr(zoo, "NETWORKS", MappingProxyType(chosen))
    return tuple(chosen)


def test_every_network_of_the_dimensions_in_its_order(few: tuple[str, ...]) -> None:
    told: list[str] = []
    found = networks(2, size=(32, 48, 1), modalities=1, progress=lambda done, total, name: told.append(name))
    assert [one.name for one in found] == told == list(few)
    unet = NetConfig(name="unet", dims=2, in_channels=1, out_channels=3, widths=zoo.NETWORKS["unet"].widths[2][:5])
    assert (found[0].parameters, found[0].gflops) == (count_parameters(unet), forward_gflops(unet, (32, 48, 1)))
    assert found[0].seconds is not None and found[0].seconds > 0 and found[0].device.split(", ")[1] in ("bf16", "fp32")
    assert [one.name for one in networks(3, size=(16, 16, 32))] == ["unet", "segresnet"]


def test_a_network_that_cannot_be_had_says_why(few: tuple[str, ...]) -> None:
    found = networks(2, size=(40, 40, 1))
    assert [one.lacking for one in found] == [
        "takes multiples of 16, one of them larger",
        "pip install 'gliamap[torchvision]'",
        "",
    ]
    assert networks_table(found).rows[1] == (
        "deeplabv3",
        "DeepLabV3; pip install 'gliamap[torchvision]'",
        "-",
        "-",
        "-",
    )


def test_the_size_fits_the_dimensions() -> None:
    for dims, size in ((2, (64, 64, 64)), (3, (64, 64, 1))):
        with pytest.raises(ConfigError, match=rf"is not one of {dims}D"):
            networks(dims, size=size)  # type: ignore[arg-type]


def test_the_table_by_eye() -> None:
    one = NetworkCost("unet", "the classic", 3, (16, 32), (64, 64, 32), 1, 5_600_000, 30.547, 0.234, "cpu, bf16")
    table = networks_table([one])
    assert table.title == "3D, an input of 64 x 64 x 32 with 1 modality, on cpu, bf16"
    assert table.rows == (("unet", "the classic", "5.6 M", "30.5", "0.23"),)


def test_the_verb(few: tuple[str, ...], command: Command) -> None:
    code, out, err = command("networks", "--size", "32", "32", "1")
    assert code == 0 and "2D, an input of 32 x 32 with 4 modalities" in out and "3D" not in out
    assert all(name in out for name in few) and "next: gliamap train" in err
    code, out, _ = command("networks", "--dims", "3", "--size", "16", "16", "32", "--json")
    found = json.loads(out)
    assert code == 0 and [one["name"] for one in found] == ["unet", "segresnet"] and found[0]["size"] == [16, 16, 32]
    code, _, err = command("networks", "--dims", "3", "--size", "16", "16", "1")
    assert code == 2 and "Z = 1 in 2D" in err

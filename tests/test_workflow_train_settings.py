"""The full settings of a training: what the user left open fits the data."""

from __future__ import annotations

import pytest
import torch

from gliamap.config import PrepConfig
from gliamap.errors import ConfigError
from gliamap.io.store import StoreEntry, StoreInfo
from gliamap.labels import Region
from gliamap.nets.zoo import NETWORKS, build_network, size_divisor
from gliamap.workflows.training.train_settings import TrainOptions, full_settings


def info_of(*shapes: tuple[int, int, int], names: str = "Case_{}") -> StoreInfo:
    """A store of cases of these shapes."""
    cases = tuple(
        StoreEntry(
            case_id=names.format(number),
            patient_id=str(number),
            fold=None,
            exclude_when_test_fold=(),
            convention="brats2023",
            shape=shape,
            voxels=dict.fromkeys(Region, 1),
        )
        for number, shape in enumerate(shapes)
    )
    return StoreInfo(
        prep=PrepConfig(modalities=("t1", "t1c")),
        convention="brats2023",
        layouts=("brats",),
        patients_known=True,
        cases=cases,
    )


def test_defaults_fit_volumes() -> None:
    spec, config = full_settings(info_of((130, 170, 140), (140, 180, 50), (150, 160, 40)), TrainOptions(), "run")
    assert (config.patch, config.batch) == ((64, 64, 64), 2)
    net = spec.network
    assert (net.name, net.dims, net.in_channels, net.out_channels) == ("dynunet", 3, 2, 3)
    assert net.widths == (16, 32, 64, 128, 256) and net.deep_supervision
    assert spec.window.patch == config.patch and spec.output.convention == "brats2023"
    assert not spec.phantom_only


def test_patches_cover_the_median_case_rounded_up_to_what_the_network_divides_by() -> None:
    options = TrainOptions(network="unet", widths=(4, 8, 8))
    spec, config = full_settings(info_of((30, 21, 50), (33, 21, 50), (90, 21, 50)), options, "run")
    assert config.patch == (36, 24, 52) and not spec.network.deep_supervision


def test_a_patch_has_more_than_one_voxel_at_the_coarsest_level() -> None:
    _, config = full_settings(info_of((30, 21, 20)), TrainOptions(network="unet", widths=(4,) * 6), "run")
    assert config.patch == (64, 32, 32)


def test_defaults_fit_slices() -> None:
    spec, config = full_settings(info_of((200, 300, 1), (210, 310, 1)), TrainOptions(output="classes"), "run")
    assert (config.patch, config.batch) == ((208, 256, 1), 16)
    assert (spec.network.dims, spec.network.out_channels) == (2, 4)
    assert spec.network.widths == (32, 64, 128, 256, 512)


def test_a_network_for_slices_may_learn_from_volumes_and_not_the_reverse() -> None:
    _, config = full_settings(info_of((100, 90, 80)), TrainOptions(dims=2), "run")
    assert config.patch == (112, 96, 1)
    with pytest.raises(ConfigError, match="cannot learn from single slices"):
        full_settings(info_of((100, 90, 1)), TrainOptions(dims=3), "run")


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_has_settings_that_fit_it(name: str) -> None:
    network = NETWORKS[name]
    for shape in ((100, 90, 80), (100, 90, 1)):
        spec, config = full_settings(info_of(shape), TrainOptions(network=name), "run")
        net = spec.network
        assert net.dims == (2 if shape[2] == 1 or 3 not in network.widths else 3)
        assert net.deep_supervision == network.deep_supervision
        assert net.input_size == (config.patch if name == "unetr" else None)
        assert all(n % size_divisor(net) == 0 for n in config.patch[: net.dims])
        with torch.device("meta"):
            build_network(net)


def test_a_network_is_not_made_for_dimensions_that_it_is_not_for() -> None:
    with pytest.raises(ConfigError, match="'lraspp' is not for 3D"):
        full_settings(info_of((100, 90, 80)), TrainOptions(network="lraspp", dims=3), "run")
    with pytest.raises(ConfigError, match="no network called 'nonsense'"):
        full_settings(info_of((100, 90, 80)), TrainOptions(network="nonsense"), "run")


def test_only_phantoms_alone_make_a_model_for_phantoms_only() -> None:
    shapes = ((32, 32, 32),) * 2
    assert full_settings(info_of(*shapes, names="Phantom_{:05d}"), TrainOptions(), "run")[0].phantom_only
    mixed = info_of(*shapes, names="Phantom_{:05d}").cases + info_of(*shapes).cases[:1]
    assert not full_settings(info_of().model_copy(update={"cases": mixed}), TrainOptions(), "run")[0].phantom_only

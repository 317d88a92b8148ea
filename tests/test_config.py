"""Settings: frozen, strict about keys and ranges, the same after a trip through JSON."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from gliamap.config import (
    ModelSpec,
    NetConfig,
    OutputConfig,
    PrepConfig,
    TrainConfig,
    WindowConfig,
)
from gliamap.errors import LabelError

SPEC = ModelSpec(
    name="tiny",
    network=NetConfig(dims=3, in_channels=4, out_channels=3, widths=(4, 8)),
    output=OutputConfig(kind="regions", convention="brats2023"),
    prep=PrepConfig(modalities=("t1", "t1c", "t2", "flair")),
    window=WindowConfig(patch=(16, 16, 8)),
)


def test_a_model_spec_survives_json() -> None:
    assert ModelSpec.model_validate_json(SPEC.model_dump_json()) == SPEC


def test_an_unknown_key_is_an_error() -> None:
    with pytest.raises(ValidationError, match="learning_rat"):
        TrainConfig.model_validate({"learning_rat": 0.1})


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        SPEC.name = "other"


@pytest.mark.parametrize(
    ("kind", "convention", "channels"),
    [
        ("regions", "brats2021", ("WT", "TC", "ET")),
        ("regions", "brats2012", ("WT", "TC")),
        ("regions", "binary", ("WT",)),
        ("classes", "brats2021", ("background", "NCR", "ED", "ET")),
        ("classes", "msd", ("background", "ED", "NCR", "ET")),
        ("classes", "binary", ("background", "TUMOUR")),
    ],
)
def test_channels_by_eye(kind: Any, convention: str, channels: tuple[str, ...]) -> None:
    assert OutputConfig(kind=kind, convention=convention).channels == channels


def test_an_unknown_convention_is_refused_when_it_is_written_down() -> None:
    with pytest.raises(LabelError, match="no label convention called 'brats1999'"):
        OutputConfig(kind="regions", convention="brats1999")


@pytest.mark.parametrize(
    ("settings", "wrong"),
    [
        (TrainConfig, {"steps": 0}),
        (TrainConfig, {"patch": (64, 0, 64)}),
        (TrainConfig, {"foreground_share": 1.5}),
        (TrainConfig, {"learning_rate": 0}),
        (WindowConfig, {"patch": (8, 8, 8), "overlap": 1.0}),
        (WindowConfig, {"patch": (0, 8, 8)}),
        (NetConfig, {"dims": 4, "in_channels": 1, "out_channels": 1}),
        (NetConfig, {"dims": 2, "in_channels": 1, "out_channels": 1, "widths": (8,)}),
        (NetConfig, {"dims": 2, "in_channels": 1, "out_channels": 1, "widths": (8, 0)}),
        (PrepConfig, {"modalities": ()}),
        (PrepConfig, {"modalities": ("t1", "t1")}),
        (PrepConfig, {"modalities": ("t1",), "spacing": (1.0, 0.0, 1.0)}),
    ],
)
def test_values_out_of_range_are_refused(settings: Any, wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        settings.model_validate(wrong)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"may_be_missing": ["flair"]}, "not told which are there"),
        ({"may_be_missing": ["pet"], "inputs": {"presence": True}}, "never shown"),
    ],
)
def test_a_model_that_does_without_must_be_told_so(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ModelSpec.model_validate(SPEC.model_dump() | change)


def test_weights_lie_beside_their_description() -> None:
    for name in ("../weights.safetensors", "/etc/weights.safetensors", "weights.pth", ".safetensors"):
        with pytest.raises(ValidationError, match="weights_file"):
            ModelSpec.model_validate(SPEC.model_dump() | {"weights_file": name})


def test_fields_that_no_version_ever_filled_are_passed_over() -> None:
    old = SPEC.model_dump() | {"intensity_ranges": {}, "volume_range": None}
    old.pop("seen")
    assert ModelSpec.model_validate(old) == SPEC
    with pytest.raises(ValidationError, match="volume_range"):
        ModelSpec.model_validate(old | {"volume_range": (1.0, 2.0)})

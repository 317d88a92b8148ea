"""A training that starts from the weights of another network: what fits, whom that network knows, what is kept of it.

RUN/transfer.json   where the weights come from, tensor by tensor, and the cases that they were learned from
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from gliamap.config import ModelSpec, Settings, TrainConfig
from gliamap.errors import ConfigError, FileError
from gliamap.io.atomic import read_json, write_json
from gliamap.io.checkpoint import read_spec
from gliamap.io.store import StoreInfo
from gliamap.models.shipped import resolve_model
from gliamap.nets.transfer import Transfer, match
from gliamap.sources.splits import Split, find_split, read_split
from gliamap.workflows.common.auxiliary import read_auxiliary
from gliamap.workflows.common.unchanged import changes, check_unchanged
from gliamap.workflows.training.unseen import check_unseen

logger = logging.getLogger(__name__)

_FILE = "transfer.json"
_NETWORK = {"name", "dims", "widths"}
_PREPARATION = {"modalities", "foreground", "normalise", "spacing"}


class Origin(Settings):
    """``transfer.json``: the network that a training starts from, and what it takes of it.

    ``learned`` and ``validated`` are the cases that this network, and those that it started from itself, were trained
    and chosen on.
    """

    format: Literal[1] = 1
    source: str
    weights_sha256: str | None
    training_data: dict[str, str]
    learned: tuple[str, ...]
    validated: tuple[str, ...]
    transfer: Transfer

    @property
    def summary(self) -> dict[str, Any]:
        """What ``run.json`` says of it."""
        parts = ("taken", "adapted", "new")
        counts = {part: len(getattr(self.transfer, part)) for part in parts}
        fingerprint = self.training_data.get("fingerprint")
        return {"source": self.source, "weights_sha256": self.weights_sha256, "trained_on": fingerprint} | counts


def find_origin(
    path: Path | None, info: StoreInfo, *, spec: ModelSpec, config: TrainConfig, split: Split, leaky: bool
) -> Origin | None:
    """What a training of ``spec`` takes from the run or model at ``path``; ``None`` where it starts from nothing.

    ``ConfigError`` where the networks are of different kinds, where nothing is taken but something is to be held back,
    and, unless ``leaky``, where the other network has learned from patients of the validation or test part, or was
    chosen on patients of the test part: the scores would not hold for new patients. A warning where the images were
    prepared in another way, or nothing is known of the cases. ``FileError`` where there is no model.
    """
    if path is None:
        held_back = config.freeze_encoder_steps or config.transferred_rate < 1
        if held_back and "pretrained" not in spec.training_data:
            raise ConfigError(
                "weights of another network are to be held back, and none are taken over",
                found=f"freeze_encoder_steps {config.freeze_encoder_steps}, "
                f"transferred_rate {config.transferred_rate:g}",
                remedy="name the network with --init-from or --pretrained, or leave these settings out",
            )
        return None
    source = read_spec(resolve_model(path))
    _check_network(path, source, spec)
    learned, validated = seen_cases(path)
    if not leaky:
        _check_seen(path, learned, validated, info, split)
    return Origin(
        source=source.name,
        weights_sha256=source.weights_sha256,
        training_data=source.training_data,
        learned=learned,
        validated=validated,
        transfer=match(source, spec),
    )


def write_origin(run: Path, origin: Origin) -> None:
    """Write ``transfer.json`` into the run's folder."""
    write_json(run / _FILE, origin.model_dump(mode="json"))


def read_origin(run: Path) -> Origin | None:
    """What :func:`write_origin` wrote; ``None`` where there is none, ``FileError`` where it is damaged."""
    path = run / _FILE
    if not path.is_file():
        return None
    try:
        return Origin.model_validate(read_json(path))
    except ValidationError as error:
        raise FileError(
            f"{path} does not say where weights come from", remedy="restore the file, or start from another run"
        ) from error


def _check_network(path: Path, source: ModelSpec, spec: ModelSpec) -> None:
    check_unchanged(
        f"the network does not fit that of {path}",
        *(each.network.model_dump(include=_NETWORK) for each in (source, spec)),
        remedy="leave --network, --dims and --widths out to take those of --init-from, or start from another run",
    )
    other = changes(*(each.prep.model_dump(mode="json", include=_PREPARATION) for each in (source, spec)))
    if source.prep.pixel == spec.prep.pixel and spec.network.dims == 2:
        other.pop("spacing", None)  # said in another way
    if other:
        said = "; ".join(f"{name} {_plain(then)}, here {_plain(now)}" for name, (then, now) in other.items())
        logger.warning("%s was trained on images prepared in another way: %s", path, said)


def _plain(setting: Any) -> str:
    """A setting in words."""
    return ", ".join(map(str, setting)) if isinstance(setting, list) else "native" if setting is None else str(setting)


def seen_cases(path: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The cases that the model at ``path``, and those that it started from, were trained and validated on.

    None, and a warning, where the model lies without its run.
    """
    file = find_split(resolve_model(path))
    if file is None:
        logger.warning("%s has no split.json: nobody knows whether it has seen patients that are held out here", path)
        return (), ()
    split, origin, other = read_split(file), read_origin(file.parent), read_auxiliary(file.parent)
    before = (origin.learned, origin.validated) if origin else ((), ())
    before = ((*before[0], *other.cases), before[1]) if other else before
    learned, validated = (tuple(sorted({*a, *b})) for a, b in zip(before, (split.train, split.val), strict=True))
    return learned, validated


def _check_seen(
    path: Path, learned: tuple[str, ...], validated: tuple[str, ...], info: StoreInfo, split: Split
) -> None:
    remedy = f"divide the cases as it did (--split {find_split(path)}), test on other data, or say --leaky"
    seen = (*learned, *validated)
    check_unseen(f"{path} has seen", seen, info.cases, part="test", held_out=split.test, remedy=remedy)
    check_unseen(f"{path} has learned from", learned, info.cases, part="validation", held_out=split.val, remedy=remedy)

"""What a run's folder says of itself (``run.json``), and whether a run may begin or go on there."""

from __future__ import annotations

import logging
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError

import gliamap
from gliamap.config import (
    OF_THE_MACHINE,
    InputConfig,
    ModelSpec,
    NetConfig,
    OutputConfig,
    PrepConfig,
    Settings,
    TrainConfig,
    WindowConfig,
)
from gliamap.errors import ConfigError, FileError, OutputError
from gliamap.io.atomic import read_json, write_json
from gliamap.io.lock import alone
from gliamap.io.store import StoreInfo
from gliamap.sources.splits import Split, SplitOptions, fingerprint, read_split, write_split
from gliamap.workflows.common.failures import check_folder
from gliamap.workflows.common.unchanged import changes, check_unchanged

logger = logging.getLogger(__name__)

_FREE = frozenset(f"train.{name}" for name in OF_THE_MACHINE)
"""Settings that may change on resuming."""

_KINDS: Mapping[str, type[Settings]] = {
    "train": TrainConfig,
    "network": NetConfig,
    "output": OutputConfig,
    "inputs": InputConfig,
    "prep": PrepConfig,
    "window": WindowConfig,
    "split": SplitOptions,
}
"""What each part of ``settings`` is."""

_DECIDING = ("versions", "machine")
"""What else decides over the last bits of a result."""

_FIXED = ("network", "output", "inputs", "prep", "init_from", "pretrained")
"""What may never change: the saved weights would not fit, mean something else, or come from somewhere else."""


def describe_run(
    info: StoreInfo, split: Split, how: SplitOptions, spec: ModelSpec, config: TrainConfig
) -> dict[str, Any]:
    """The content of ``run.json``. ``settings`` and ``data`` must agree to resume; the rest informs."""
    return {
        "settings": {
            "train": config.model_dump(mode="json"),
            "network": spec.network.model_dump(mode="json"),
            "output": spec.output.model_dump(mode="json"),
            "inputs": spec.inputs.model_dump(mode="json"),
            "prep": spec.prep.model_dump(mode="json"),
            "window": spec.window.model_dump(mode="json"),
            "split": how.model_dump(mode="json"),
        },
        "data": {"fingerprint": info.fingerprint, "cases": len(info.cases), "split": fingerprint(split)},
        **_circumstances(),
        "resumed": [],
    }


@contextmanager
def claimed(
    run: Path, record: Mapping[str, Any], split: Split, *, resume: bool, accept_changes: bool = False
) -> Iterator[None]:
    """Begin the run, or go on with it where there is one and ``resume`` is set; the block has its folder for itself.

    ``OutputError`` where another process trains there; else as of :func:`begin` and :func:`go_on`.
    """
    going_on = resume and (run / "run.json").is_file()
    if not going_on:
        begin(run, record, split)
    with alone(run) as free:
        if not free:
            raise OutputError(
                f"another process is training in {run}", remedy="wait for it, or choose another folder for this run"
            )
        if going_on:
            go_on(run, record, split, accept_changes=accept_changes)
        yield


def begin(run: Path, record: Mapping[str, Any], split: Split) -> None:
    """Write ``split.json``, then ``run.json``: where the second is, the run has begun.

    ``OutputError`` where the folder holds a run already, or something else.
    """
    check_new(run)
    write_split(run / "split.json", split)
    write_json(run / "run.json", dict(record))


def check_new(run: Path) -> None:
    """``OutputError`` where a run cannot begin in this folder: it holds one already, or something else."""
    check_folder(run)
    if (run / "store.json").is_file():
        raise OutputError(f"{run} is a prepared data set", remedy="choose another folder for the run")
    if (run / "run.json").is_file():
        raise OutputError(f"{run} holds a run already", remedy="choose another folder, or go on with --resume")


def is_finished(run: Path) -> bool:
    """The run was trained to its last step."""
    return (run / "last" / "model.json").is_file()


def go_on(run: Path, record: Mapping[str, Any], split: Split, *, accept_changes: bool) -> None:
    """Note in ``run.json`` that the run goes on, under which circumstances and with which changes.

    ``ConfigError`` where settings, data or division differ from those that it began with, unless ``accept_changes``;
    changes of the network and of what it is shown are refused in any case. A change of versions or threads is allowed
    and warned of: the result may then differ in its last bits.
    """
    before = _read(run / "run.json")
    new = {**record["settings"], "data": record["data"]}
    old = _filled(before["settings"], new) | {"data": before["data"]}
    again = f"repeat '{shlex.join(before.get('command', []))}' with --resume, or start a new run elsewhere"
    what = f"this is not the run in {run}"
    if accept_changes:
        check_unchanged(what, *({name: part.get(name) for name in _FIXED} for part in (old, new)), remedy=again)
    else:
        check_unchanged(what, old, new, remedy=again + ", or say --accept-changes", free=_FREE | {"data.split"})
        if read_split(run / "split.json") != split:
            raise ConfigError(
                f"the cases are divided in another way than in {run / 'split.json'}",
                remedy="resume with the same --split, say --accept-changes, or start a new run elsewhere",
            )
    other = changes({name: before.get(name, {}) for name in _DECIDING}, {name: record[name] for name in _DECIDING})
    if other:
        what = ", ".join(f"{name} {now} instead of {then}" for name, (then, now) in other.items())
        logger.warning("not as when the run began: %s; the result may differ in its last bits", what)
    found = _circumstances() | {"changes": changes(old, new)}
    write_split(run / "split.json", split)
    settings = {name: record[name] for name in ("settings", "data")}
    write_json(run / "run.json", before | settings | {"resumed": [*before.get("resumed", []), found]})


def _read(path: Path) -> dict[str, Any]:
    """The content of ``run.json``; ``FileError`` where it is that of something else."""
    saved = read_json(path)
    if not isinstance(saved, dict) or not all(isinstance(saved.get(name), dict) for name in ("settings", "data")):
        raise FileError(f"{path} does not describe a run", remedy="restore the file, or start a new run elsewhere")
    return saved


def _filled(settings: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a run that an earlier version began: what it did not know yet is as it was, the default.

    Its preparation is that of the store's cases, which the data's fingerprint covers.
    """
    known: dict[str, Any] = {"prep": new["prep"], "teachers": [], "patches": {}, "init_from": None}
    known |= {"pretrained": None, **settings}
    for name, kind in _KINDS.items():
        with suppress(ValidationError):  # of a later version: what this one does not know differs, and is named
            known[name] = kind.model_validate(known.get(name, {})).model_dump(mode="json")
    return known


def versions() -> dict[str, str]:
    """The versions of what decides over a result."""
    names = ("gliamap", "torch", "monai", "numpy", "nibabel")
    return {"python": platform.python_version()} | {name: version(name) for name in names}


def command_line() -> list[str]:
    """The words that started this program, without its place on the machine."""
    name = Path(sys.argv[0]).name
    return ["gliamap" if name == "__main__.py" else name, *sys.argv[1:]]


def _circumstances() -> dict[str, Any]:
    machine = {"processor": platform.machine(), "threads": torch.get_num_threads()}
    if torch.cuda.is_available():
        machine["gpu"] = torch.cuda.get_device_name()
    return {
        "command": command_line(),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": versions(),
        "commit": commit(),
        "machine": machine,
        "processes": int(os.environ.get("WORLD_SIZE", "1")),
    }


def commit() -> str | None:
    """The git commit of gliamap's own files, marked where they were changed since; ``None`` where there is no clone."""
    folder = Path(gliamap.__file__).parent
    try:
        asked = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
        tracked = ["git", "-C", str(folder), "ls-files", "--error-unmatch", "__init__.py"]
        subprocess.run(tracked, check=True, capture_output=True, timeout=10)
        return subprocess.run(asked, check=True, capture_output=True, timeout=10, text=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None

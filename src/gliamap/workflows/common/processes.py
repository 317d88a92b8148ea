"""One training in several processes: this one's part in it, and whether all were given the same."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from gliamap.errors import ConfigError
from gliamap.training.devices import Devices


@cache
def open_devices() -> Devices:
    """This process' part in a training: alone, or one of those that torchrun started."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return Devices()
    from gliamap.training.fabric import FabricDevices

    return FabricDevices()


def check_alike(devices: Devices, record: Mapping[str, Any]) -> None:
    """``ConfigError`` where the processes of a training were not given the same."""
    differing = [what for what in ("data", "settings", "versions") if not devices.alike(json.dumps(record[what]))]
    if differing:
        raise ConfigError(
            "the processes of this training do not agree",
            found=f"other {' and '.join(differing)} on some machine",
            remedy="give every machine the same store, the same command and the same versions",
        )


def check_shared(devices: Devices, run: Path) -> None:
    """``ConfigError`` where not every process sees what the first one has written."""
    record = run / "run.json"
    if not devices.alike(record.read_text(encoding="utf-8") if record.is_file() else ""):
        raise ConfigError(
            f"the processes of this training do not see the same folder {run}",
            remedy="put the run on a file system that all machines share",
        )

"""What the web app is told when it starts, and how much of everything it takes."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path

from gliamap.errors import ConfigError

MIN_PASSWORD = 12
"""Characters. A password that protects scans on a network is to be long."""

_JOB = (sys.executable, "-P", "-m", "gliamap", "segment")
"""``-P``: no module is looked for in the folder that the job runs in."""


@dataclass(frozen=True)
class Limits:
    """The most of everything. Sizes in bytes, times in seconds.

    ``file_bytes``: of a file as sent, and unpacked; ``case_bytes``: of all files of a case; ``free_bytes``: what must
    stay free on the disk. ``uploads``, ``watchers``: at a time. ``idle``: that an upload may stand still.
    """

    file_bytes: int = 2**30
    case_bytes: int = 2**32
    free_bytes: int = 2**30
    files: int = 64
    cases: int = 1000
    queue: int = 16
    uploads: int = 32
    watchers: int = 256
    title: int = 80
    body_bytes: int = 2**16
    idle: float = 30.0


@dataclass(frozen=True)
class ServerSettings:
    """``data``: the folder of the cases, the user's alone. ``models``: by the names that the page shows. ``choosing``:
    a case of which no model is said is segmented by the one that comes along and fits.

    ``roots``: folders whose scans may be chosen. ``password``: for hosts that others reach. ``jobs``: at a time.
    ``command``: what segments a case, before its arguments. ``heartbeat``: seconds between signs of life to watchers.
    ``grace``: seconds that a job has to end by itself.
    """

    data: Path
    models: Mapping[str, Path]
    choosing: bool = False
    roots: tuple[Path, ...] = ()
    host: str = "127.0.0.1"
    port: int = 8000
    password: str | None = None
    jobs: int = 1
    limits: Limits = field(default_factory=Limits)
    command: tuple[str, ...] = _JOB
    heartbeat: float = 15.0
    grace: float = 5.0

    def __post_init__(self) -> None:
        """``ConfigError`` where others could reach the app without a password, or with a short one."""
        if is_loopback(self.host):
            return
        if self.password is None or len(self.password) < MIN_PASSWORD:
            raise ConfigError(
                f"{self.host} can be reached by others, so the app needs a password",
                found="none" if self.password is None else f"one of {len(self.password)} characters",
                expected=f"at least {MIN_PASSWORD} characters",
                remedy="set GLIAMAP_PASSWORD, or leave --host out and come through an SSH tunnel",
            )


def is_loopback(host: str) -> bool:
    """Whether only programs on this machine reach the address."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

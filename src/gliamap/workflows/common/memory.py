"""The memory that a training may take: as the user writes it, or as this machine has it."""

from __future__ import annotations

import re
from pathlib import Path

import torch

from gliamap.errors import ConfigError

_UNITS = {"": 10**9, "M": 10**6, "G": 10**9, "T": 10**12, "MI": 2**20, "GI": 2**30, "TI": 2**40}
_MEMINFO = Path("/proc/meminfo")
_CGROUP = Path("/sys/fs/cgroup")


def parse_memory(text: str) -> int:
    """Bytes from ``8GB``, ``8G``, ``8`` (all 8 * 10^9), ``512MB`` or ``7.5GiB``; ``ConfigError`` for anything else."""
    match = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)\s*([MGT]I?)?B?", text.strip().upper(), re.ASCII)
    amount = float(match[1]) * _UNITS[match[2] or ""] if match else 0
    if amount <= 0:
        raise ConfigError(f"'{text}' is no amount of memory", expected="one such as 8GB, 512MB or 7.5GiB")
    return int(amount)


def memory_at_hand() -> tuple[int, str]:
    """Bytes that a training could take here, and where the figure is from: the GPU's, where torch finds one, else RAM.

    ``ConfigError`` where the system does not tell (it is asked as Linux is).
    """
    if torch.cuda.is_available():
        return int(torch.cuda.mem_get_info()[0]), f"free on {torch.cuda.get_device_name()}"
    free = _available_ram(_MEMINFO)
    if free is None:
        raise ConfigError("this system does not say how much memory it has", remedy="say --memory, such as 8GB")
    room = _room_in_cgroup(_CGROUP)
    if room is not None and room < free:
        return room, "left to this container or job"
    return free, "available on this machine"


def _available_ram(meminfo: Path) -> int | None:
    """What Linux says could be given to a program without swapping."""
    try:
        match = re.search(r"^MemAvailable:\s*(\d+) kB$", meminfo.read_text(), re.MULTILINE)
    except OSError:
        return None
    return int(match[1]) * 1024 if match else None


def _room_in_cgroup(folder: Path) -> int | None:
    """What the limit of a container or a batch job leaves; ``None`` where there is none."""
    try:
        limit = (folder / "memory.max").read_text().strip()
        return max(0, int(limit) - int((folder / "memory.current").read_text())) if limit.isdigit() else None
    except (OSError, ValueError):
        return None

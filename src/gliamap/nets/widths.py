"""Which widths a network can have, where it cannot have any."""

from __future__ import annotations

from gliamap.config import NetConfig
from gliamap.errors import ConfigError


def check_doubled(config: NetConfig, *, multiple: int = 1, levels: int | None = None) -> None:
    """``ConfigError`` unless each width is twice the one before and the first a multiple of ``multiple``.

    ``levels``: only so many are looked at.
    """
    first, *others = config.widths[:levels]
    if first % multiple or others != [first * 2**level for level in range(1, len(others) + 1)]:
        which = "widths" if levels is None else f"the first {levels} widths"
        example = ",".join(str(8 * multiple * 2**level) for level in range(len(others) + 1))
        raise ConfigError(
            f"the network '{config.name}' cannot have these widths",
            found=", ".join(map(str, config.widths)),
            expected=f"{which} doubled from level to level"
            + (f", the first a multiple of {multiple}" if multiple > 1 else "")
            + f", such as {example}",
            remedy="or leave --widths out",
        )


def attention_heads(width: int, each: int) -> int:
    """How many heads of ``each`` channels or more share ``width`` evenly; one, where it is narrower."""
    return next(heads for heads in range(max(1, width // each), 0, -1) if width % heads == 0)

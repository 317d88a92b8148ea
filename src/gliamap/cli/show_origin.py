"""What a training took over from another network, as a short list."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from gliamap.cli.show import plain, say

if TYPE_CHECKING:
    from gliamap.workflows.training.transfer import Origin

_FATES = ("taken", "adapted", "new")


def say_origin(origin: Origin, network: str) -> None:
    """How many tensors of each part of the ``network`` were taken, adapted and new; the last two by name."""
    from gliamap.nets.zoo import network_of

    say(f"[bold]weights[/] from {plain(origin.source)}, tensors:")
    part_of = network_of(network).parts.of
    counts = {fate: Counter(part_of(each.name) for each in getattr(origin.transfer, fate)) for fate in _FATES}
    say(f"  {'':8}" + "".join(f"{fate:>9}" for fate in _FATES))
    for part in ("encoder", "decoder", "heads"):
        say(f"  {part:8}" + "".join(f"{counts[fate][part]:9}" for fate in _FATES))
    for fate in _FATES[1:]:
        for each in getattr(origin.transfer, fate):
            say(f"  {fate:8} {each.name} {each.shape}: {plain(each.note)}")

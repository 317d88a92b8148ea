"""Patches of another data set that is learned from, too, though its cases may lack some of the modalities."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gliamap.io.store import StoreEntry


@dataclass(frozen=True)
class Auxiliary:
    """Cases of another prepared data set, of which a ``share`` of the training patches are.

    ``places``: for each modality that the network is shown its place among those of ``store``; ``None`` where these
    cases lack it.
    """

    store: Path
    entries: tuple[StoreEntry, ...]
    places: tuple[int | None, ...]
    share: float

    @property
    def there(self) -> tuple[bool, ...]:
        """Which of the network's modalities the cases have."""
        return tuple(place is not None for place in self.places)

    def lay_out(self, channels: NDArray[np.float32], modalities: int) -> NDArray[np.float32]:
        """``channels`` ``(C, *space)`` of the store's ``modalities`` as those of the network, 0 where it lacks one.

        Where the modalities are followed by their mirror image, that is laid out likewise.
        """
        space = channels.shape[1:]
        own = channels.reshape(-1, modalities, *space)
        laid = np.zeros((len(own), len(self.places), *space), np.float32)
        for place, source in enumerate(self.places):
            if source is not None:
                laid[:, place] = own[:, source]
        return laid.reshape(-1, *space)

"""What a network is shown of a prepared image: the modalities, their mirror image, and which of them are there.

Training and inference both go through here. Training varies a patch between the two steps.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from gliamap.boxes import Box, Shape, read_padded
from gliamap.config import InputConfig


@dataclass(frozen=True, eq=False)
class NetworkInput:
    """A prepared image ``(C, X, Y, Z)`` as a network is shown it, box by box.

    ``present`` says for each of the C modalities whether it is there; ``None`` says that all are.
    """

    image: NDArray[np.floating]
    config: InputConfig = field(default_factory=InputConfig)
    present: tuple[bool, ...] | None = None

    @property
    def shape(self) -> Shape:
        """The grid of the image."""
        x, y, z = self.image.shape[1:]
        return (x, y, z)

    def cut(self, box: Box) -> NDArray[np.float32]:
        """The input channels ``(C', *box.shape)``, zero where the box leaves the grid."""
        return with_presence(cut_channels(self.image, box, self.config), self.present, self.config)

    def is_blank(self, box: Box) -> bool:
        """All that the network is shown of ``box`` is 0, but for what says which modalities are there."""
        boxes = (box, mirrored(box, self.shape[0])) if self.config.mirror else (box,)
        return not any(self.image[(..., *part.clip(self.shape).slices)].any() for part in boxes)


def cut_channels(image: NDArray[np.floating], box: Box, config: InputConfig) -> NDArray[np.float32]:
    """The modalities inside ``box``, ``(C, *box.shape)`` float32, followed by the mirrored ones where asked for.

    Prepared images are in RAS+ and cropped to the head, so the middle of X is near the midsagittal plane: the partner
    of voxel x is voxel X - 1 - x. Modalities that are missing are 0 in ``image``.
    """
    own = read_padded(image, box).astype(np.float32, copy=False)
    if not config.mirror:
        return own
    other = read_padded(image, mirrored(box, image.shape[1]))
    return np.concatenate([own, other[:, ::-1].astype(np.float32, copy=False)])


def mirrored(box: Box, width: int) -> Box:
    """The box of the partners of ``box`` on a grid of ``width`` voxels along X."""
    (x0, y0, z0), (x1, y1, z1) = box.start, box.stop
    return Box((width - x1, y0, z0), (width - x0, y1, z1))


def with_presence(
    channels: NDArray[np.float32], present: tuple[bool, ...] | None, config: InputConfig
) -> NDArray[np.float32]:
    """``channels`` with the missing modalities blank, mirrored ones too, and followed by the presence maps.

    Unchanged where the network has no presence maps; then every modality must be there (``ValueError``).
    """
    if not config.presence:
        if present is not None and not all(present):
            raise ValueError("this network needs every modality")
        return channels
    modalities = len(channels) // (1 + config.mirror)
    there = np.ones(modalities, np.float32) if present is None else np.array(present, np.float32)
    maps = np.broadcast_to(there[:, None, None, None], (modalities, *channels.shape[1:]))
    blanked = channels.reshape(-1, *maps.shape) * there[:, None, None, None]
    return np.concatenate([blanked.reshape(channels.shape), maps])

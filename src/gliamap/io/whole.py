"""NIfTI files looked through to their end without keeping them: is this what its header says, no less and no more?"""

from __future__ import annotations

import math
from pathlib import Path

from gliamap.errors import FileError
from gliamap.io.nifti_header import check_size, grid_of, read_header, sizes_of
from gliamap.io.voxels import opened
from gliamap.volume import Grid

_CHUNK = 2**20


def check_whole(path: Path, *, most_bytes: int) -> Grid:
    """The grid of a file from somebody who is not trusted, packed or not, once all of it was seen.

    The header is judged before anything else is unpacked, and reading ends at the first byte past what it declares, so
    that a small file that unpacks to a huge one costs nothing. ``FileError`` as from
    :func:`gliamap.io.nifti.read_volume`, where the header declares more than ``most_bytes``, and where the content is
    shorter or longer than it declares.
    """
    with opened(path) as stream:
        header = read_header(stream, path)
        grid = grid_of(header, path)
        check_size(header, path)
        declared = int(header["vox_offset"]) + math.prod(sizes_of(header)) * header.get_data_dtype().itemsize
        if declared > most_bytes:
            raise FileError(f"{path} is too large", found=f"{declared} bytes", expected=f"at most {most_bytes}")
        seen = header.sizeof_hdr
        while seen <= declared:
            part = stream.read(min(_CHUNK, declared - seen + 1))
            if not part:
                break
            seen += len(part)
    if seen != declared:
        raise FileError(
            f"{path} does not hold what its header declares",
            found=f"{seen} bytes" if seen < declared else "more bytes",
            expected=f"{declared} bytes",
            remedy="copy or export it again",
        )
    return grid

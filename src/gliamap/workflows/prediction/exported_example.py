"""Segment one case with the network in this folder, without gliamap. Research use only; not a medical device.

    python example.py OUT.nii.gz t1=CASE_t1.nii.gz t1c=CASE_t1ce.nii.gz t2=CASE_t2.nii.gz flair=CASE_flair.nii.gz

The files of a case lie on one grid. The mask is written on that grid, with the labels that README.md lists. An image of
a slice (PNG, JPEG) gives an OUT.png; that needs Pillow.
"""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]
Shape = tuple[int, ...]
Network = Callable[[Array], Array]
"""From a patch (1, C, X, Y, Z), of a slice (1, C, X, Y), to logits (1, R, ...)."""

orientations: Any = nib.orientations


def segment(folder: Path, out: Path, files: Mapping[str, Path]) -> None:
    """Write the mask of the case whose ``files`` are named by modality."""
    model = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    network = json.loads((folder / "network.json").read_text(encoding="utf-8"))
    image, affine = read(files, model["prep"]["modalities"], model["may_be_missing"])
    turn = orientations.io_orientation(affine)
    turned = np.stack([orientations.apply_orientation(channel, turn) for channel in image])
    native = np.sqrt((affine[:3, :3] ** 2).sum(axis=0))[np.argsort(turn[:, 0])]
    prepared, crop = prepare(turned, native, model["prep"])
    patch, overlap = model["window"]["patch"], model["window"]["overlap"]
    if model["window"]["mode"] == "one-pass":
        patch, overlap = one_pass(prepared.shape[1:], patch, network["divisor"]), 0.0
    shown, inner = channels(prepared, which_are_there(prepared, files, model), model["inputs"], patch)
    run = load(folder / network["file"], (1, len(shown), *patch[: model["network"]["dims"]]))
    probabilities = slide(lambda x: activate(run(x), model), shown, patch, overlap)[(slice(None), *inner)]
    mask = np.zeros(turned.shape[1:], np.uint8)
    mask[crop] = decode(resample(probabilities, mask[crop].shape), model["output"]["kind"], network["label_values"])
    unit, of_one = ("px", 1) if is_image(next(iter(files.values()))) else ("mm", 1000)
    if not model["seen"] or model["seen"]["unit"] == unit:  # so many pixels are not so many mL
        size = abs(float(np.linalg.det(affine[:3, :3]))) / of_one
        remove_small(mask, math.ceil(round(model["clean_up"]["min_size"] / size, 6)), network["tumour_values"])
    back = orientations.ornt_transform(orientations.axcodes2ornt("RAS"), turn)
    write(out, orientations.apply_orientation(mask, back), next(iter(files.values())))


def is_image(path: Path) -> bool:
    """Whether the file is an image of a slice."""
    return path.suffix.lower() in (".png", ".jpg", ".jpeg")


def read(files: Mapping[str, Path], modalities: Sequence[str], may_be_missing: Sequence[str]) -> tuple[Array, Array]:
    """The modalities (C, X, Y, Z), zero where one is missing, and their affine."""
    lacking = [name for name in modalities if name not in files and name not in may_be_missing]
    if lacking or not set(files) <= set(modalities) or not files:
        sys.exit(f"expected files for {', '.join(modalities)}, found {', '.join(files) or 'none'}")
    opened = {name: _read_image(path) if is_image(path) else _read_volume(path) for name, path in files.items()}
    volumes = {name: volume for name, (volume, _) in opened.items()}
    first, affine = next(iter(opened.values()))
    for volume, other in opened.values():
        if volume.shape != first.shape or not np.allclose(affine, other, atol=1e-2):
            sys.exit("the files do not share a voxel grid: register them to one grid first")
    return np.stack([volumes.get(name, np.zeros_like(first)) for name in modalities]), affine


def _read_volume(path: Path) -> tuple[Array, Array]:
    volume: Any = nib.load(path)
    data = np.asarray(volume.get_fdata(dtype=np.float32))
    if data.ndim != 3:
        sys.exit(f"{path} has {data.ndim} axes: give one 3D file for each modality")
    return np.nan_to_num(data, nan=0.0, posinf=0.0, neginf=0.0), np.asarray(volume.affine)


def _read_image(path: Path) -> tuple[Array, Array]:
    from PIL import Image, ImageOps

    rows = np.asarray(ImageOps.exif_transpose(Image.open(path)), np.float32)
    grey = rows if rows.ndim == 2 else rows[..., 1]
    # Radiological view: columns run to the patient's left, rows to posterior.
    return grey.T[..., None], np.diag([-1.0, -1.0, 1.0, 1.0])


def prepare(image: Array, spacing: Array, prep: Mapping[str, Any]) -> tuple[Array, tuple[slice, ...]]:
    """The image in RAS+ cropped to the foreground, resampled and normalised there; and where the crop lies."""
    margin, brain = prep["crop_margin"], prep["foreground"] == "brain"
    find = brain_mask if brain else head_mask
    inside = find(image)
    crop = []
    for axis, n in enumerate(inside.shape):
        line = np.flatnonzero(inside.any(axis=tuple(other for other in range(3) if other != axis)))
        crop.append(slice(max(0, line[0] - margin), min(n, line[-1] + 1 + margin)) if line.size else slice(0, n))
    image = image[(slice(None), *crop)].astype(np.float32)
    inside = find(image)
    if prep["spacing"] is not None:
        steps = zip(inside.shape, spacing, prep["spacing"], strict=True)
        shape = tuple(n if n == 1 else max(1, round(n * s / target)) for n, s, target in steps)
        image = resample(image, shape)
        inside = resample(inside[None].astype(np.float32), shape)[0] >= 0.5
    for channel in image:
        values = channel[inside].astype(np.float64)
        if prep["normalise"] == "robust" and values.size:
            low, high = np.percentile(channel[inside], (0.5, 99.5))
            np.clip(channel, low, high, out=channel)
            values = channel[inside].astype(np.float64)
        mean, deviation = (values.mean(), values.std()) if values.size else (0.0, 0.0)
        if deviation > 1e-6 * abs(mean):  # else it is constant
            channel[...] = (channel - np.float32(mean)) / np.float32(deviation) * (inside | (not brain))
        else:
            channel[...] = 0
    return image, tuple(crop)


def brain_mask(image: Array) -> Array:
    """Where a skull-stripped image (C, X, Y, Z) is not zero."""
    return np.asarray((image != 0).any(axis=0))


def head_mask(image: Array) -> Array:
    """Where a whole head is: brighter than Otsu's threshold, holes filled slice by slice, the largest piece."""
    from scipy import ndimage

    bright = np.any([channel > _otsu(channel) for channel in image], axis=0)
    for z in range(bright.shape[2]):
        bright[..., z] = ndimage.binary_fill_holes(bright[..., z])
    pieces, count = ndimage.label(bright)
    return np.asarray(pieces == 1 + np.argmax(np.bincount(pieces.ravel())[1:])) if count else bright


def _otsu(channel: Array) -> float:
    """The threshold between 256 bins with the largest variance between the two classes."""
    low, high = np.float64(channel.min()), np.float64(channel.max())
    if low == high:
        return float(high)
    counts, edges = np.histogram(channel, 256, (low, high))
    middle = (edges[:-1] + edges[1:]) / 2
    below, sums = np.cumsum(counts)[:-1], np.cumsum(counts * middle)
    above = channel.size - below
    gap = sums[:-1] / np.maximum(below, 1) - (sums[-1] - sums[:-1]) / np.maximum(above, 1)
    return float(edges[1 + np.argmax(below * above * gap**2)])


def resample(image: Array, shape: Shape) -> Array:
    """Linear interpolation of (C, X, Y, Z) to ``shape`` over the same extent."""
    for axis, (n, m) in enumerate(zip(image.shape[1:], shape, strict=True), start=1):
        if n != m:
            image = np.moveaxis(np.tensordot(_weights(n, m), image, (1, axis)), 0, axis).astype(np.float32)
    return image


def _weights(n: int, m: int) -> Array:
    """What each of ``m`` new samples takes of ``n`` old ones: where they shrink, these are smoothed first."""
    step = n / m
    at = np.clip((np.arange(m) + 0.5) * step - 0.5, 0, n - 1)
    low = np.floor(at).astype(int)
    weights = np.zeros((m, n))
    np.add.at(weights, (np.arange(m), low), 1 - (at - low))
    np.add.at(weights, (np.arange(m), np.minimum(low + 1, n - 1)), at - low)
    if step <= 1:
        return weights
    sigma = 0.5 * (step - 1)
    reach = int(4 * sigma + 0.5)
    offsets = np.arange(-reach, reach + 1)
    kernel = np.exp(-0.5 * (offsets / sigma) ** 2)
    smooth = np.zeros((n, n))
    for offset, weight in zip(offsets, kernel / kernel.sum(), strict=True):
        to = np.mod(np.arange(n) + offset, 2 * n)  # mirrored at the borders
        np.add.at(smooth, (np.arange(n), np.where(to < n, to, 2 * n - 1 - to)), weight)
    return np.asarray(weights @ smooth)


def channels(
    image: Array, present: Sequence[bool], inputs: Mapping[str, bool], patch: Sequence[int]
) -> tuple[Array, tuple[slice, ...]]:
    """What the network is shown: the modalities, then their mirror image, then maps of which are there.

    An image smaller than the patch lies in the middle of zeros; where, is told as well.
    """
    there = np.array(present, np.float32)[:, None, None, None]
    shown = image * there
    if inputs["mirror"]:
        shown = np.concatenate([shown, shown[:, ::-1]])
    gaps = [max(0, p - n) for n, p in zip(image.shape[1:], patch, strict=True)]
    rims = [(gap - gap // 2, gap // 2) for gap in gaps]
    shown = np.pad(shown, [(0, 0), *rims])
    if inputs["presence"]:
        shown = np.concatenate([shown, np.broadcast_to(there, (len(there), *shown.shape[1:]))])
    inner = (slice(before, before + n) for (before, _), n in zip(rims, image.shape[1:], strict=True))
    return shown, tuple(inner)


def which_are_there(image: Array, files: Mapping[str, Path], model: Mapping[str, Any]) -> list[bool]:
    """Whether each modality has a file that, where the network can do without it, is not blank."""
    names, needed = model["prep"]["modalities"], set(model["prep"]["modalities"]) - set(model["may_be_missing"])
    there = [name in files for name in names]
    seen = [has and (m in needed or bool(c.any())) for has, m, c in zip(there, names, image, strict=True)]
    return seen if any(seen) else there


def one_pass(shape: Shape, patch: Sequence[int], divisor: int) -> list[int]:
    """The window that shows the network everything at once; for slices, all of a slice."""
    step = -(-16 // divisor) * divisor
    return [1 if p == 1 else max(2 * divisor, -(-n // step) * step) for n, p in zip(shape, patch, strict=True)]


def load(path: Path, shape: Shape) -> Network:
    """The network, for patches of ``shape``. What runs it reports nothing to anybody."""
    if path.suffix == ".onnx":
        os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
        import onnxruntime

        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        name = session.get_inputs()[0].name
        return lambda patch: np.asarray(session.run(None, {name: patch})[0])
    if path.suffix == ".xml":
        sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
        import openvino

        network = openvino.Core().read_model(path)
        network.reshape(list(shape))
        compiled = openvino.compile_model(network, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        return lambda patch: np.asarray(compiled(patch)[0])
    import torch

    # PyTorch guards against sizes equal to the divisor, for which the graph holds as well.
    module = torch.export.load(path).module(check_guards=False)
    return lambda patch: np.asarray(module(torch.from_numpy(patch)).detach())


def activate(logits: Array, model: Mapping[str, Any]) -> Array:
    """Probabilities: of each region by itself, or of one class among all."""
    scaled = logits / np.float32(model["temperature"])
    if model["output"]["kind"] == "regions":
        return np.asarray(0.5 * (1 + np.tanh(0.5 * scaled)))
    raised = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))


def slide(run: Network, image: Array, patch: Sequence[int], overlap: float) -> Array:
    """Probabilities (R, X, Y, Z) of windows that overlap, averaged with a Gaussian weight."""
    lines = [np.exp(-0.5 * ((np.arange(n) - (n - 1) / 2) / (n / 8)) ** 2) for n in patch]
    weight = lines[0][:, None, None] * lines[1][None, :, None] * lines[2][None, None, :]
    weight = np.maximum(weight / weight.max(), 1e-3).astype(np.float32)
    total: Any = 0.0
    weights = np.zeros(image.shape[1:], np.float32)
    sized = zip(image.shape[1:], patch, strict=True)
    for start in product(*(_starts(n, p, overlap) for n, p in sized)):
        box = tuple(slice(a, a + p) for a, p in zip(start, patch, strict=True))
        window = np.ascontiguousarray(image[(None, slice(None), *box)], np.float32)
        answer = run(window[..., 0] if patch[2] == 1 else window)[0]
        if np.ndim(total) == 0:
            total = np.zeros((len(answer), *weights.shape), np.float32)
        total[(slice(None), *box)] += answer.reshape(len(answer), *patch) * weight
        weights[box] += weight
    return np.asarray(total / weights)


def _starts(size: int, patch: int, overlap: float) -> list[int]:
    """Where windows of ``patch`` begin that cover ``size``, evenly spread."""
    step = max(1, int(patch * (1 - overlap) + 1e-9))
    count = -(-(size - patch) // step) + 1
    return [0] if count == 1 else [round(i * (size - patch) / (count - 1)) for i in range(count)]


def decode(probabilities: Array, kind: str, values: Sequence[int]) -> Array:
    """The values of labels (X, Y, Z): inner regions over outer ones, or the class that is largest."""
    if kind == "classes":
        return np.asarray(np.array([0, *values], np.uint8)[probabilities.argmax(axis=0)])
    mask = np.zeros(probabilities.shape[1:], np.uint8)
    for region, value in zip(probabilities, values, strict=True):
        mask[region > 0.5] = value
    return mask


def remove_small(mask: Array, least: int, tumour: Sequence[int]) -> None:
    """Set connected parts of tumour with fewer than ``least`` voxels to 0, in place."""
    if least <= 1:
        return
    from scipy import ndimage

    pieces, _ = ndimage.label(np.isin(mask, tumour), np.ones((3, 3, 3)))
    sizes = np.bincount(pieces.ravel())
    mask[(pieces > 0) & (sizes < least)[pieces]] = 0


def write(out: Path, mask: Array, reference: Path) -> None:
    """Write the mask on the grid of one of the files."""
    if is_image(reference):
        from PIL import Image

        Image.fromarray(np.ascontiguousarray(mask[..., 0].T)).save(out)
        return
    like: Any = nib.load(reference)
    header = like.header.copy()
    header.set_data_dtype(np.uint8)
    header.set_slope_inter(1, 0)
    like.__class__(mask, None, header).to_filename(out)


def main() -> None:
    """Read the command line."""
    if len(sys.argv) < 3 or any("=" not in word for word in sys.argv[2:]):
        sys.exit(str(__doc__))
    files = {name: Path(path) for name, _, path in (word.partition("=") for word in sys.argv[2:])}
    segment(Path(__file__).parent, Path(sys.argv[1]), files)


if __name__ == "__main__":
    main()

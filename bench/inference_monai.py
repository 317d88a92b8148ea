"""A process of ``bench/inference.py``: MONAI's sliding window in eager fp32, as its BraTS bundle uses it.

Files are stacked, each normalised over its voxels that are not zero, nothing is cropped; windows overlap by half and
are averaged as logits with equal weight; labels where the sigmoid is over 0.5.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import torch
from inference_network import register
from inference_process import Report, read_job
from monai.inferers.inferer import SlidingWindowInferer
from monai.transforms.compose import Compose
from monai.transforms.intensity.dictionary import NormalizeIntensityd
from monai.transforms.io.array import SaveImage
from monai.transforms.io.dictionary import LoadImaged

from gliamap.io.checkpoint import read_spec
from gliamap.nets.zoo import load_network


def main() -> None:
    """Do the job."""
    job = read_job()
    torch.set_num_threads(job.threads)
    register(one_pass=False)
    report = Report(job, {name: version(name) for name in ("monai", "torch")})
    folder = Path(job.weights)
    network = report.counted(load_network(folder, read_spec(folder)).eval())
    before = Compose([LoadImaged("image"), NormalizeIntensityd("image", nonzero=True, channel_wise=True)])
    windows = SlidingWindowInferer(job.patch, sw_batch_size=1, overlap=0.5)
    save = SaveImage(job.out, output_postfix="", separate_folder=False, output_dtype="uint8", print_log=False)

    def segment(files: Sequence[str]) -> None:
        with report.stage("read"):
            image = before({"image": list(files)})["image"]
        with report.stage("network"):
            logits = windows(image[None], network)[0]
        with report.stage("write"):
            whole, core, enhancing = logits.sigmoid() > 0.5
            labels = torch.where(enhancing, 3, torch.where(core, 2, torch.where(whole, 1, 0)))
            save(labels[None])

    report.begin()
    with torch.inference_mode():
        for files in job.cases.values():
            segment(files)
    report.end()
    report.write()


if __name__ == "__main__":
    main()

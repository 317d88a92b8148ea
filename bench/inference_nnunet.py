"""A process of ``bench/inference.py``: nnU-Net's own predictor, with its plan for BraTS. Runs in nnU-Net's Python.

Case by case in one process, as its ``predict_from_files_sequential`` does it, each step timed: what its other ways
overlap, they pay for with processes that import everything once more. Of its readers it takes the one that turns scans
to RAS+, so that its masks can be compared with ours.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from inference_process import Job, Report, read_job
from safetensors.torch import load_file

STRIDES = [[1, 1, 1], *[[2, 2, 2]] * 4, [2, 2, 1]]
"""Of each level along Z, Y, X."""

TOLERANCE = 1e-4
"""How far two networks with the same weights may be apart, as a share of the largest logit."""

DATASET: dict[str, Any] = {
    "channel_names": {"0": "T1", "1": "T1ce", "2": "T2", "3": "Flair"},
    "labels": {"background": 0, "whole tumor": [1, 2, 3], "tumor core": [2, 3], "enhancing tumor": 3},
    "regions_class_order": [1, 2, 3],
    "file_ending": ".nii.gz",
    "overwrite_image_reader_writer": "NibabelIOWithReorient",
}


def plans_of(patch: Sequence[int], widths: Sequence[int]) -> dict[str, Any]:
    """What ``nnUNetv2_plan_experiment`` writes of BraTS, as far as prediction reads it."""
    levels = len(widths)
    resampling = {"is_seg": False, "order": 1, "order_z": 0, "force_separate_z": None}
    configuration = {
        "data_identifier": "nnUNetPlans_3d_fullres",
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": 2,
        "patch_size": list(patch),
        "median_image_size_in_voxels": [140.0, 171.0, 136.0],
        "spacing": [1.0, 1.0, 1.0],
        "normalization_schemes": ["ZScoreNormalization"] * 4,
        "use_mask_for_norm": [True] * 4,
        "resampling_fn_data": "resample_data_or_seg_to_shape",
        "resampling_fn_seg": "resample_data_or_seg_to_shape",
        "resampling_fn_data_kwargs": resampling | {"order": 3},
        "resampling_fn_seg_kwargs": resampling | {"is_seg": True},
        "resampling_fn_probabilities": "resample_data_or_seg_to_shape",
        "resampling_fn_probabilities_kwargs": resampling,
        "architecture": {
            "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
            "arch_kwargs": {
                "n_stages": levels,
                "features_per_stage": list(widths),
                "conv_op": "torch.nn.modules.conv.Conv3d",
                "kernel_sizes": [[3, 3, 3]] * levels,
                "strides": STRIDES,
                "n_conv_per_stage": [2] * levels,
                "n_conv_per_stage_decoder": [2] * (levels - 1),
                "conv_bias": True,
                "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
                "norm_op_kwargs": {"eps": 1e-05, "affine": True},
                "dropout_op": None,
                "dropout_op_kwargs": None,
                "nonlin": "torch.nn.LeakyReLU",
                "nonlin_kwargs": {"inplace": True},
            },
            "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
        },
        "batch_dice": False,
    }
    return {
        "dataset_name": "Dataset137_BraTS2021",
        "plans_name": "nnUNetPlans",
        "original_median_spacing_after_transp": [1.0, 1.0, 1.0],
        "original_median_shape_after_transp": [140, 171, 136],
        "image_reader_writer": "NibabelIOWithReorient",
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "configurations": {"3d_fullres": configuration},
        "experiment_planner_used": "ExperimentPlanner",
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {str(channel): {} for channel in range(4)},
    }


def predictor_of(job: Job, report: Report) -> Any:
    """nnU-Net's predictor with our weights in its network; ``ValueError`` where some do not belong there."""
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
    from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    widths = [int(width) for width in job.choice["widths"].split(",")]
    plans = PlansManager(plans_of(job.patch[::-1], widths))
    settings = plans.get_configuration("3d_fullres")
    architecture = settings.configuration["architecture"]
    network = get_network_from_plans(
        architecture["network_class_name"],
        architecture["arch_kwargs"],
        architecture["_kw_requires_import"],
        len(DATASET["channel_names"]),
        len(DATASET["labels"]) - 1,
        deep_supervision=False,
    )
    fill(network, Path(job.weights), heads=len(widths) - 1)
    check = load_file(Path(job.weights).with_name("check.safetensors"))
    report.network_differs = difference(network, check)
    if "alike" in job.choice:
        weigh_alike(check["weight"])
    report.counted(network, turned=True)
    predictor = nnUNetPredictor(use_mirroring=job.flips, device=torch.device("cpu"), allow_tqdm=False)
    weights = network.state_dict()
    predictor.manual_initialization(network, plans, settings, [weights], DATASET, "nnUNetTrainer", (0, 1, 2))
    return predictor


def fill(network: Any, weights: Path, *, heads: int) -> None:
    """Put the weights into the network. What it has beside them: biases that an instance norm takes away again, heads
    of coarser levels, and the same tensors by other names.
    """
    given = load_file(weights)
    found = network.load_state_dict(given, strict=False)
    needed = [name for name in found.missing_keys if name.endswith("weight") and "all_modules" not in name]
    coarse = [f"decoder.seg_layers.{level}.weight" for level in range(heads - 1)]
    rest = [name for name in needed if name not in coarse and not name.startswith("decoder.encoder.")]
    if found.unexpected_keys or rest:
        raise ValueError(f"the networks differ: {found.unexpected_keys[:3]}, {rest[:3]}")


def difference(network: Any, check: dict[str, torch.Tensor]) -> float:
    """The largest difference of its logits from ours on the same image; ``ValueError`` above 1e-4 of their size."""
    with torch.inference_mode():
        answer = network.eval()(check["shown"])
    found = float((answer - check["answer"]).abs().max())
    if found > TOLERANCE * max(1.0, float(check["answer"].abs().max())):
        raise ValueError(f"the networks answer differently: by {found}")
    return found


def weigh_alike(weight: torch.Tensor) -> None:
    """Make nnU-Net weigh its windows as gliamap does, and add them up in fp32.

    Its own sums are fp16, and its weight has no floor of 1e-3. What still differs then is that it averages logits.
    """
    from nnunetv2.inference import predict_from_raw_data

    def given(tile_size: object, sigma_scale: float, value_scaling_factor: float, device: object) -> torch.Tensor:
        return weight

    predict_from_raw_data.compute_gaussian = given
    torch.half = torch.float32


def main() -> None:
    """Do the job."""
    job = read_job()
    os.environ |= {f"nnUNet_{name}": job.out for name in ("raw", "preprocessed", "results")}
    from nnunetv2.inference.export_prediction import export_prediction_from_logits

    torch.set_num_threads(job.threads)
    report = Report(job, {name: version(name) for name in ("nnunetv2", "torch")})
    predictor = predictor_of(job, report)
    plans, settings = predictor.plans_manager, predictor.configuration_manager
    preprocessor = settings.preprocessor_class(verbose=False)
    report.begin()
    for name, files in job.cases.items():
        with report.stage("read"):
            data, _, about = preprocessor.run_case(list(files), None, plans, settings, DATASET)
        with report.stage("network"):
            logits = predictor.predict_logits_from_preprocessed_data(torch.from_numpy(data)).cpu()
        with report.stage("write"):
            export_prediction_from_logits(logits, about, settings, plans, DATASET, str(Path(job.out) / name))
    report.end()
    report.write()


if __name__ == "__main__":
    main()

"""The tables of ``bench/inference.py`` and ``bench/faithfulness.py`` for ``tools/tables.py``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gliamap.comparison.as_markdown import short_commits
from gliamap.scoring.text_table import NOT_RUN, NOTHING, TextTable, as_markdown

Result = Mapping[str, Any]
Loaded = Sequence[tuple[str, Any]]

SYSTEMS = (
    "System",
    "Seconds a case",
    "Start-up, s",
    "Outside the network",
    "TFLOP a case",
    "GFLOP/s",
    "Peak MiB",
    "against nnU-Net",
    "against MONAI",
    "Voxels differing",
    "Windows weighted alike",
)

WAYS = (
    "Way",
    "Region",
    "Dice",
    "Change [95 % interval]",
    "Largest change",
    "Turned",
    "Volumes beyond",
    "Largest volume change",
)


def inference_table(loaded: Loaded) -> str:
    """A row a system: what a case costs, beside nnU-Net with the same flips and MONAI with the same windows."""
    return "\n".join(_systems(name, result) for name, result in loaded)


def _systems(name: str, result: Result | None) -> str:
    if result is None:
        return as_markdown(TextTable("", SYSTEMS, ((name, *[NOT_RUN] * (len(SYSTEMS) - 1)),)))
    rows = result["systems"]
    seconds = {row["title"]: row["seconds"] for row in rows}
    cells = tuple(_system(row, seconds) for row in rows)
    network, peaks = result["network"], result["matrix_peak_gflops"]
    patch = "x".join(map(str, network["patch"]))
    commits = ", ".join(dict.fromkeys(short_commits(row["commit"]) for row in rows))
    foot = (
        f"Mean of {len(result['cases'])} cases; network `{network['name']}`, {network['parameters'] / 1e6:.1f} M "
        f"parameters, windows of {patch}, weights `{network['weights_sha256'][:12]}`. {result['threads']} threads; "
        f"products of large matrices: {peaks['fp32']:.0f} GFLOP/s in fp32, {peaks['bf16']:.0f} in bf16. "
        f"{_versions(rows)}. Commit {commits} on {result['machine']}.\n"
    )
    return as_markdown(TextTable("", SYSTEMS, cells)) + "\n" + foot


def _system(row: Result, seconds: Mapping[str, float]) -> tuple[str, ...]:
    network = row["stages"]["network"]
    nnunet = seconds.get("nnU-Net, flips" if row["flips"] else "nnU-Net")
    monai = None if row["flips"] else seconds.get("MONAI, the same windows")
    differ = (row.get("masks_differ"), row.get("masks_differ_alike"))
    return (
        row["title"],
        f"{row['seconds']:.1f}",
        f"{row['start_up_seconds']:.1f}",
        f"{max(0.0, 1 - network / row['seconds']):.0%}",
        f"{row['gflops'] / 1000:.2f}",
        f"{row['gflops'] / network:.0f}",
        f"{row['peak_mib']:.0f}",
        *(NOTHING if other is None else f"{other / row['seconds']:.1f}x" for other in (nnunet, monai)),
        *(NOTHING if share is None else f"{share:.2%}" for share in differ),
    )


def _versions(rows: Sequence[Result]) -> str:
    found = {name: version for row in rows for name, version in row["versions"].items()}
    return ", ".join(f"{name} {version}" for name, version in sorted(found.items()))


def faithfulness_table(loaded: Loaded) -> str:
    """A row a way and region: how Dice and volumes differ from those of fp32 windows in PyTorch."""
    return "\n".join(_ways(name, result) for name, result in loaded)


def _ways(name: str, result: Result | None) -> str:
    if result is None:
        return as_markdown(TextTable("", WAYS, ((name, *[NOT_RUN] * (len(WAYS) - 1)),)))
    cells = tuple(_way(row) for row in result["summary"])
    runs = ", ".join(f"`{run['weights_sha256'][:12]}` ({run['cases']})" for run in result["runs"])
    foot = (
        f"{result['summary'][0]['cases']} cases of {result['patients']} patients, each by a network "
        f"(`{result['runs'][0]['network']['name']}`, {result['runs'][0]['network']['dims']}D) that had not seen it; "
        f"weights (cases): {runs}. Commit {short_commits(result['commit'])} on {result['machine']}.\n"
    )
    return as_markdown(TextTable("", WAYS, cells)) + "\n" + foot


def _way(row: Result) -> tuple[str, ...]:
    change = row["change"]
    between = NOTHING if change["low"] is None else f"[{change['low']:+.4f}, {change['high']:+.4f}]"
    return (
        f"{row['engine']} {row['precision']}, {row['mode']}",
        row["region"],
        f"{row['dice']['mean']:.4f}",
        f"{change['mean']:+.4f} {between}",
        f"{row['largest_change']:+.4f}",
        f"{row['turned']} of {row['cases']}",
        f"{row['beyond']} of {row['cases']}",
        f"{row['largest_volume_change']:.1%}",
    )

"""The verb train."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from gliamap.cli.data_verbs import Json
from gliamap.cli.show import count, plain, print_json, progress_bar, remark, remark_if_stopped, say
from gliamap.cli.show_origin import say_origin
from gliamap.errors import ConfigError

if TYPE_CHECKING:
    from gliamap.training.progress import StepReport
    from gliamap.workflows.common.auxiliary import AuxiliaryOptions
    from gliamap.workflows.training.train import Trained, TrainOptions

_DIVISION, _NETWORK, _LEARNING, _RUN = "How cases are divided", "The network", "How it learns", "The run"
_DRAWING, _TRANSFER = "Patches from a table", "Starting from another network"
_AUXILIARY = "Another data set to learn from, too"


class Tracker(StrEnum):
    """Where figures can go beside the run's folder; an enum because typer takes no list of literals."""

    TENSORBOARD = "tensorboard"
    MLFLOW = "mlflow"


FromRecipe = Annotated[
    str,
    typer.Option(
        "--recipe",
        help="Settings to start from: a name (gliamap recipes lists them), or a file. Other options come first.",
    ),
]
LessonsFolder = Annotated[Path | None, typer.Option(help="Learn from teachers, too: what gliamap teach wrote.")]

TestFold = Annotated[
    int | None,
    typer.Option(
        help="Fold to test on, of the data set's own. Default: a share of the patients.", rich_help_panel=_DIVISION
    ),
]
TestShare = Annotated[
    float | None,
    typer.Option(min=0, max=0.9, help="Patients to test on. Default: 0.2; 0 for none.", rich_help_panel=_DIVISION),
]
ValShare = Annotated[
    float | None,
    typer.Option(min=0, max=0.9, help="Others to validate on. Default: 0.1.", rich_help_panel=_DIVISION),
]
ClosedFolds = Annotated[
    list[int] | None, typer.Option(help="Fold to use for nothing at all; repeatable.", rich_help_panel=_DIVISION)
]
SplitFile = Annotated[
    Path | None, typer.Option(help="Divide the cases as this file of gliamap split does.", rich_help_panel=_DIVISION)
]
Leaky = Annotated[
    bool,
    typer.Option(
        "--leaky",
        help="Take a --split that tears patients apart, or --lessons or --init-from that leak.",
        rich_help_panel=_DIVISION,
    ),
]

Network = Annotated[str | None, typer.Option(help="Default: dynunet. All: gliamap networks.", rich_help_panel=_NETWORK)]
Dims = Annotated[
    int | None, typer.Option(min=2, max=3, help="2 (slices) or 3. Default: as the data.", rich_help_panel=_NETWORK)
]
Widths = Annotated[
    str | None,
    typer.Option(
        help="Feature channels a level. Default: 16,32,64,128,256; twice that in 2D.", rich_help_panel=_NETWORK
    ),
]
OutputKind = Annotated[
    Literal["regions", "classes", "binary"] | None,
    typer.Option(
        help="Overlapping WT/TC/ET (default), the convention's labels, or tumour alone.", rich_help_panel=_NETWORK
    ),
]
Patch = Annotated[
    tuple[int, int, int] | None,
    typer.Option(help="Patch size X Y Z (Z = 1 for slices). Default: as the data.", rich_help_panel=_NETWORK),
]

PatchTable = Annotated[
    Path | None,
    typer.Option("--patches", help="Draw patches from this table of gliamap patches.", rich_help_panel=_DRAWING),
]
Stride = Annotated[
    int | None,
    typer.Option(min=1, help="Make such a table for this run: voxels from patch to patch.", rich_help_panel=_DRAWING),
]
Ratio = Annotated[
    str | None,
    typer.Option(
        help="With tumour : healthy, such as 1:2; or tumour, healthy. Default: natural, all patches.",
        rich_help_panel=_DRAWING,
    ),
]

InitFrom = Annotated[
    Path | None,
    typer.Option(
        help="Run or model whose weights to start from. Its network is taken where none is named.",
        rich_help_panel=_TRANSFER,
    ),
]
Pretrained = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help="Weights from ImageNet for the network's backbone; imagenet has them fetched.",
        rich_help_panel=_TRANSFER,
    ),
]
FreezeEncoder = Annotated[
    int | None,
    typer.Option(min=0, help="Steps in which its encoder does not change. Default: 0.", rich_help_panel=_TRANSFER),
]
TransferredRate = Annotated[
    float | None,
    typer.Option(help="Learning rate of what was taken over, as a factor. Default: 1.", rich_help_panel=_TRANSFER),
]

AuxiliaryStore = Annotated[
    Path | None,
    typer.Option(
        "--auxiliary",
        help="Prepared data set, which may lack modalities. Patients who are not trained on are left out.",
        rich_help_panel=_AUXILIARY,
    ),
]
AuxiliaryShare = Annotated[
    float | None,
    typer.Option(min=0, max=1, help="Patches that are cut from it. Default: 0.5.", rich_help_panel=_AUXILIARY),
]
AuxiliaryClosed = Annotated[
    list[int] | None,
    typer.Option(
        "--auxiliary-closed-fold", help="Its fold to use for nothing; repeatable.", rich_help_panel=_AUXILIARY
    ),
]

Steps = Annotated[int | None, typer.Option(help="Optimiser steps. Default: 1000.", rich_help_panel=_LEARNING)]
BatchSize = Annotated[int | None, typer.Option(help="Patches a step. Default: 2; 16 in 2D.", rich_help_panel=_LEARNING)]
MicroBatch = Annotated[
    int | None,
    typer.Option(
        help="Patches at once, to fit into memory; gradients are added up. Default: all.", rich_help_panel=_LEARNING
    ),
]
Rate = Annotated[float | None, typer.Option(help="Highest learning rate. Default: 0.001.", rich_help_panel=_LEARNING)]
LossName = Annotated[
    str | None,
    typer.Option(
        help="ce, weighted-ce, focal, dice, dice-sample, dice-focal, generalised-dice, log-cosh-dice, tversky, "
        "focal-tversky, boundary or lesion-dice-ce. Default: dice-ce, Dice + cross-entropy.",
        rich_help_panel=_LEARNING,
    ),
]
Optimiser = Annotated[Literal["adamw", "sgd"] | None, typer.Option(help="Default: adamw.", rich_help_panel=_LEARNING)]
Schedule = Annotated[Literal["cosine", "poly"] | None, typer.Option(help="Default: cosine.", rich_help_panel=_LEARNING)]
Precision = Annotated[
    Literal["fp32", "bf16"] | None, typer.Option(help="Default: bf16 autocast.", rich_help_panel=_LEARNING)
]
Seed = Annotated[
    int | None,
    typer.Option(min=0, help="Seed of split, weights and patches. Default: 0.", rich_help_panel=_LEARNING),
]

ValidateEvery = Annotated[
    int | None, typer.Option(help="Steps between validations. Default: 250.", rich_help_panel=_RUN)
]
SaveEvery = Annotated[
    float | None, typer.Option(help="Minutes between saves for --resume. Default: 5.", rich_help_panel=_RUN)
]
Workers = Annotated[int | None, typer.Option(help="Processes that load patches. Default: 1.", rich_help_panel=_RUN)]
Track = Annotated[
    list[Tracker] | None,
    typer.Option(help="Send figures and pictures there, too; repeatable.", rich_help_panel=_RUN),
]
Resume = Annotated[
    bool,
    typer.Option(
        "--resume",
        help="Go on where the run in --out stopped, if it began; say all else as before.",
        rich_help_panel=_RUN,
    ),
]
Accept = Annotated[
    bool,
    typer.Option(
        "--accept-changes", help="Resume although settings or cases differ; run.json notes it.", rich_help_panel=_RUN
    ),
]


def train(
    store: Annotated[Path, typer.Argument(help="Prepared data set (gliamap prepare).")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the run.")],
    recipe: FromRecipe = "default",
    lessons: LessonsFolder = None,
    test_fold: TestFold = None,
    test_share: TestShare = None,
    val_share: ValShare = None,
    closed_fold: ClosedFolds = None,
    split: SplitFile = None,
    leaky: Leaky = False,
    network: Network = None,
    dims: Dims = None,
    widths: Widths = None,
    output: OutputKind = None,
    patch: Patch = None,
    patches: PatchTable = None,
    stride: Stride = None,
    ratio: Ratio = None,
    init_from: InitFrom = None,
    pretrained: Pretrained = None,
    freeze_encoder: FreezeEncoder = None,
    transferred_rate: TransferredRate = None,
    auxiliary: AuxiliaryStore = None,
    auxiliary_share: AuxiliaryShare = None,
    auxiliary_closed_fold: AuxiliaryClosed = None,
    steps: Steps = None,
    batch: BatchSize = None,
    micro_batch: MicroBatch = None,
    learning_rate: Rate = None,
    loss: LossName = None,
    optimiser: Optimiser = None,
    schedule: Schedule = None,
    precision: Precision = None,
    seed: Seed = None,
    validate_every: ValidateEvery = None,
    save_every: SaveEvery = None,
    workers: Workers = None,
    track: Track = None,
    resume: Resume = False,
    accept_changes: Accept = False,
    json: Json = False,
) -> None:
    """Train a network on a prepared data set.

    Patients are divided into training, validation and test. After Ctrl-C, the same command with --resume goes on.
    A recipe with a base trains that first, into OUT/base; to change it: gliamap recipes NAME --json > mine.json

    Examples:

    gliamap train store -o run --test-fold 3 --steps 5000 --network unet

    gliamap train store -o run --recipe strong --steps 5000
    """
    options = _options(locals())
    from gliamap.workflows.training.train import train as run

    with remark_if_stopped(f"the same command with --resume goes on in {plain(out)}"), progress_bar("train") as bar:
        done = run(store, out, options=options, resume=resume, accept_changes=accept_changes, observe=_watch(bar))
    _print_trained(done, json=json)


def _options(said: Mapping[str, Any]) -> TrainOptions:
    """The recipe's settings, and over them what was said on the command line, by the names of its options."""
    from gliamap.config import TrainConfig
    from gliamap.recipes.named import find_recipe
    from gliamap.recipes.recipe import Recipe
    from gliamap.sources.splits import SplitOptions
    from gliamap.workflows.training.train import TrainOptions

    given = {name: value for name, value in said.items() if value is not None}
    if "widths" in given:
        given["widths"] = _widths(given["widths"])
    if "save_every" in given:
        given["save_every_minutes"] = given["save_every"]
    if "freeze_encoder" in given:
        given["freeze_encoder_steps"] = given["freeze_encoder"]
    chosen = find_recipe(given["recipe"])
    config = {"seed": 0} | chosen.config | {name: given[name] for name in TrainConfig.model_fields if name in given}
    division: dict[str, Any] = {name: given[name] for name in ("test_fold", "test_share", "val_share") if name in given}
    division |= {"closed_folds": tuple(given.get("closed_fold", ())), "seed": config["seed"]}
    return TrainOptions.model_validate(
        chosen.model_dump()
        | {name: given[name] for name in Recipe.model_fields if name in given}
        | {
            "config": config,
            "split": SplitOptions.model_validate(division),
            "split_file": said["split"],
            "leaky": said["leaky"],
            "lessons": said["lessons"],
            "patches": said["patches"],
            "auxiliary": auxiliary_options(said["auxiliary"], said["auxiliary_share"], said["auxiliary_closed_fold"]),
            "track": tuple(one.value for one in given.get("track", ())),
        }
    )


def auxiliary_options(
    store: Path | None, share: float | None, closed_folds: Sequence[int] | None
) -> AuxiliaryOptions | None:
    """What the options about another data set say; ``ConfigError`` where they say something of none."""
    from gliamap.workflows.common.auxiliary import AuxiliaryOptions

    said = {"share": share, "closed_folds": tuple(closed_folds or ()) or None}
    given = {name: value for name, value in said.items() if value is not None}
    if store is None and given:
        raise ConfigError("no auxiliary data set is named", remedy="name it with --auxiliary")
    return None if store is None else AuxiliaryOptions.model_validate(given | {"store": store})


def _widths(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise typer.BadParameter(
            f"'{text}' is no list of numbers such as 16,32,64,128", param_hint="--widths"
        ) from error


def _watch(progress: Callable[[float, int, str], None]) -> Callable[[StepReport], None]:
    """Show a smoothed loss and the latest validation; a line of its own for each validation."""
    loss = 0.0
    dice = ""
    base = False

    def observe(report: StepReport) -> None:
        nonlocal loss, dice, base
        if report.base != base:
            base, loss, dice = report.base, 0.0, ""
        part = "base, " if base else ""
        loss = 0.98 * loss + 0.02 * report.loss if loss else report.loss
        if report.dice:
            dice = " ".join(f"{region} {score:.2f}" for region, score in report.dice.items())
            remark(f"{part}step {report.step}: loss {loss:.3f}, validation Dice {dice}")
        progress(report.step, report.steps, f"{part}loss {loss:.3f} {dice}")

    return observe


def _print_trained(done: Trained, *, json: bool) -> None:
    best, split, run = dict(done.spec.metrics), done.split, plain(done.run)
    if json:
        cases = {name: len(getattr(split, name)) for name in ("train", "val", "test", "left_out")}
        drawn = {"epoch": asdict(done.epoch)} if done.epoch else {}
        taken = {"init_from": done.origin.summary} if done.origin else {}
        other = {"auxiliary": done.other.summary} if done.other else {}
        print_json({"run": done.run, "best": best, "cases": cases} | drawn | taken | other)
        return
    say(f"[bold]trained[/] on {count(split.train, 'case')}; model, log and curves in {run}")
    if epoch := done.epoch:
        table, each = (f"{side.tumour} with tumour : {side.healthy} healthy" for side in (epoch.there, epoch.drawn))
        say(f"patches: {table}; in an epoch of {epoch.steps:.4g} steps {each}")
    if done.other:
        modalities, names = plain(", ".join(done.other.modalities)), plain(", ".join(done.other.sources))
        say(f"and on {count(done.other.cases, 'case')} of {names} with {modalities}; {done.other.left_out} left out")
    if done.origin:
        say_origin(done.origin, done.spec.network.name)
    if best:
        step = int(best.pop("step"))
        scores = ", ".join(f"{name.removeprefix('validation_dice_')} {value:.3f}" for name, value in best.items())
        say(f"best validation Dice ({count(split.val, 'case')}, step {step}): {scores}")
    else:
        remark("no case was left for validation: the last weights count as the best")
    remark(f"next: gliamap segment SCANS -o masks --model {run}")

"""Make one of the models that come with gliamap, from data sets to weights, scores and card.

    GLIAMAP_DATA=... make model-NAME                   everything; what is done already is not done again
    ... .venv/bin/python tools/make_model.py NAME --work /tmp/try --steps 20

Stages: prepare; cross-validate (the closed fold left out of everything); choose the smallest part to keep; calibrate;
predict the held-out cases anew as the model will, and score them; with every subset of the modalities, where the model
can do without some; train on all open folds; test it on sets whose patients it does not know; pack; see how little
half precision changes. ``--open-closed-fold`` tests these weights on the closed fold, once for a recipe.

WORK/package holds what was made: model.json, weights.safetensors, CARD.md, model-NAME.json with all figures, pictures.
``--ship`` copies it into the repository. A quick try (another recipe than the shipped one) cannot be shipped, nor may
it open the closed fold.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from collect import as_text, run_facts, study_facts
from gliamap.errors import ConfigError, GliamapError
from gliamap.io.atomic import read_json, write_text
from gliamap.io.checkpoint import read_spec
from gliamap.models.shipped import SHIPPED
from gliamap.recipes.named import RECIPES, find_recipe
from gliamap.recipes.recipe import Recipe
from gliamap.sources.splits import read_split
from gliamap.workflows.common.auxiliary import read_auxiliary
from gliamap.workflows.common.folds import Fold
from gliamap.workflows.common.unchanged import changes, deciding
from model_card import card_text
from model_facts import with_validation
from model_final import check_widths, closed_fold, elsewhere, may_open, opened, pack, trained
from model_halved import halved_alike
from model_making import Making, Row, key_of, say, state_of
from model_pictures import draw_pictures
from model_plan import PLANS
from model_stages import calibrated, cleaned_up, cross_validated, prepared, scored, subsets
from tables import RESULTS, ROOT, filled

PICTURES = ROOT / "docs" / "pictures"


def make(making: Making, *, open_closed: bool = False, results: Path | None = None) -> Path:
    """Go through all stages; the folder of what was made. ``results`` are the committed ones, if there are any."""
    results = results or making.folder / "none"
    known = opened(making, results)
    if open_closed:
        may_open(making, known)
    again = known is not None and not changes(known["recipe"], deciding(making.recipe))
    prepared(making)
    check_widths(making)
    folds = cross_validated(making)
    sizes = cleaned_up(making, folds)
    calibration = calibrated(making, folds, sizes)
    evaluation = scored(making, folds)
    each = subsets(making, folds)
    final = trained(making, sizes["size"])
    others = elsewhere(making, final)
    closed = closed_fold(making, final, known) if open_closed or again else {}
    further: Row = {"clean_up": sizes, "calibration": calibration, "subsets": each, "closed_fold": closed}
    further["elsewhere"] = others
    further["opened"] = opened(making, results)  # stays known, whatever recipe comes next
    return package(making, folds, final.run, evaluation=evaluation, further=further)


def package(making: Making, folds: tuple[Fold, ...], run: Path, *, evaluation: Row, further: Row) -> Path:
    """Write model, results, pictures and card."""
    out, name = making.folder / "package", making.plan.name
    shutil.rmtree(out, ignore_errors=True)
    best = read_spec(run / "best")
    sets, cases = making.plan.sources, str(len(read_split(run / "split.json").train))
    if other := read_auxiliary(run):
        sets, cases = (*sets, *other.sources), f"{cases} and {len(other.cases)} of {', '.join(other.sources)}"
    data = {"sets": ", ".join(sets), "cases": cases}
    said = {"name": name, "summary": making.plan.summary, "licence": making.plan.licence}
    spec = best.model_copy(update={**said, "training_data": best.training_data | data, "metrics": {}})
    known = making.info.patients_known
    sealed = pack(run / "best", out, with_validation(spec, evaluation, further["subsets"], patients_known=known))
    further["patients_known"] = known
    further |= {"half_precision": halved_alike(making, run / "best", out)}
    final = run_facts(f"{name}, as shipped", run, read_json(run / "run.json")["commit"])
    facts = study_facts(name, making.study) | {"command": f"make model-{name}"}
    facts |= {"final": final | {"command": facts["command"]}, "weights_sha256": sealed.weights_sha256}
    masks = making.folder / f"held-out-{key_of(state_of(folds))}" / "repeat0"
    drawn = draw_pictures(making, evaluation, masks, out)
    write_text(out / f"model-{name}.json", as_text(facts, evaluation | further | {"pictures": drawn}))
    write_text(out / "CARD.md", card_text(name, partial(filled, folder=out)))
    say(f"package: {out}")
    return out


def ship(out: Path, name: str) -> None:
    """Copy what was made into the repository, and remove pictures of an earlier model of this name."""
    for old in sorted(PICTURES.glob(f"model-{name}-*.png")):
        if not (out / old.name).is_file():
            old.unlink()
    for path in sorted(out.iterdir()):
        folder = {".png": PICTURES}.get(path.suffix, RESULTS if path.name == f"model-{name}.json" else SHIPPED / name)
        folder.mkdir(exist_ok=True)
        shutil.copyfile(path, folder / path.name)
    say(f"shipped: {(SHIPPED / name).relative_to(ROOT)}; now make tables")


def recipe_of(name: str, given: argparse.Namespace) -> Recipe:
    """The recipe asked for, with its quick changes."""
    found = find_recipe(given.recipe or name)
    changes = {"steps": given.steps, "validate_every": given.steps} if given.steps else {}
    return found.model_copy(update={"config": found.config | changes})


def arguments(words: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("name", choices=PLANS)
    parser.add_argument("--work", type=Path, help="folder to work in (default: work/models/NAME)")
    parser.add_argument("--recipe", help="another recipe, by name or file")
    parser.add_argument("--steps", type=int, help="so many steps, for a quick try")
    parser.add_argument("--repeats", type=int, help="repeats of the cross-validation")
    parser.add_argument("--jobs", type=int, default=2, help="folds side by side")
    parser.add_argument("--open-closed-fold", action="store_true")
    parser.add_argument("--ship", action="store_true", help="copy what was made into the repository")
    return parser.parse_args(words)


def main(words: Sequence[str]) -> int:
    """Make the model named on the command line."""
    given = arguments(words)
    try:
        if "GLIAMAP_DATA" not in os.environ:
            raise ConfigError("GLIAMAP_DATA is not set", expected="the folder of the data sets")
        recipe, shipped = recipe_of(given.name, given), PLANS[given.name]
        plan = replace(shipped, repeats=given.repeats or shipped.repeats)
        another = (deciding(recipe), plan) != (deciding(RECIPES[given.name]), shipped)
        if another and (given.ship or given.open_closed_fold):
            raise ConfigError(
                "only the shipped recipe can be shipped, and the closed fold opened for it",
                remedy="change gliamap/recipes/shipped.py",
            )
        work = given.work or ROOT / "work" / "models" / given.name
        making = Making(plan, recipe, Path(os.environ["GLIAMAP_DATA"]), work, given.jobs)
        results = RESULTS / f"model-{given.name}.json"
        out = make(making, open_closed=given.open_closed_fold, results=results)
        if given.ship:
            ship(out, given.name)
    except GliamapError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

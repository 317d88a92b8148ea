"""What a training remembers of its cases."""

from __future__ import annotations

from pathlib import Path

import pytest

import make
import stores
import tiny
from gliamap.checks.likeness import look_of, seen_in, tumour_of
from gliamap.config import PrepConfig, Seen
from gliamap.io.checkpoint import read_spec
from gliamap.io.store import StoreInfo, read_case
from gliamap.labels import Region
from gliamap.workflows.training import seen
from gliamap.workflows.training.seen import collect_seen
from gliamap.workflows.training.train import train

INFO = StoreInfo(prep=PrepConfig(modalities=make.MODALITIES), convention="brats2021", layouts=(), patients_known=True)


def test_a_store_says_what_its_cases_say(tmp_path: Path) -> None:
    store, entries = stores.write_tiny_store(tmp_path)
    found = collect_seen(store, INFO, [entry.case_id for entry in entries])
    assert (found.cases, found.without_tumour, found.unit) == (3, 1, "mm")
    cases = [read_case(store, entry.case_id) for entry in entries]
    sizes = sorted(case.index.voxels[Region.ET] * case.record.voxel_size for case in cases if case.index)
    assert sizes[:2] == [0, 0] and found.volumes[Region.ET] == (sizes[2], sizes[2])
    parts = [(look_of(case, make.MODALITIES), tumour_of(case.labels, case.record.native)) for case in cases]  # type: ignore[arg-type]
    alike = seen_in(parts)
    assert found.model_copy(update={"volumes": {}}) == alike.model_copy(update={"volumes": {}})
    assert {k: pytest.approx(v) for k, v in found.volumes.items()} == alike.volumes
    assert Seen.model_validate_json(found.model_dump_json()) == found


def test_of_many_cases_some_are_drawn_evenly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, _ = stores.write_tiny_store(tmp_path)
    monkeypatch.setattr(seen, "MOST_CASES", 2)
    assert collect_seen(store, INFO, ["0", "2", "1"]) == collect_seen(store, INFO, ["0", "2"])


def test_a_training_writes_it_into_the_model(tmp_path: Path) -> None:
    store = tiny.write_store(tmp_path, 4)
    done = train(store, tmp_path / "run", options=tiny.options(steps=1, validate_every=1))
    for part in ("best", "last"):
        found = read_spec(tmp_path / "run" / part).seen
        assert found is not None and found.cases == len(done.split.train)
        assert list(found.intensities) == list(make.MODALITIES)

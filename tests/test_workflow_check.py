"""The preflight over whole data sets: what is looked at, what is compared, what is written, how it ends."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

import make
import tiny
from gliamap.case import CaseFiles
from gliamap.checks.case import CheckedCase, Expected
from gliamap.checks.duplicates import Entry, Kind, Pair
from gliamap.checks.findings import CaseReport, Finding, Level
from gliamap.checks.fingerprint import Fingerprint
from gliamap.errors import ConfigError, LabelError, LayoutError, OutputError
from gliamap.sources.splits import Split, write_split
from gliamap.workflows.common.parallel import default_workers
from gliamap.workflows.data import check as module
from gliamap.workflows.data.check import CheckOptions, check

NAMES = ("BraTS2021_00000", "BraTS2021_00001", "BraTS2021_00002")


@dataclass
class Fake:
    """Stands in for the look at one case and the comparison of all; tells what it was asked."""

    findings: dict[str, tuple[Finding, ...]] = field(default_factory=dict)
    foregrounds: dict[str, str] = field(default_factory=dict)
    pairs: tuple[tuple[Kind, str, str], ...] = ()
    asked: list[tuple[CaseFiles, Expected]] = field(default_factory=list)
    compared: list[Entry] = field(default_factory=list)

    def check_case(self, files: CaseFiles, expected: Expected) -> CheckedCase:
        self.asked.append((files, expected))
        report = CaseReport(files.case_id, files.identity.patient_id, self.findings.get(files.case_id, ()))
        shows = self.foregrounds.get(files.case_id)
        return CheckedCase(report, foreground=shows, fingerprint=Fingerprint.__new__(Fingerprint))  # type: ignore[arg-type]

    def find_duplicates(self, entries: Sequence[Entry]) -> list[Pair]:
        self.compared = list(entries)
        at = {entry.case_id: number for number, entry in enumerate(entries)}
        return [Pair(kind, at[one], at[other], "alike") for kind, one, other in self.pairs]

    def across_cases(
        self, entries: Sequence[Entry], pairs: Sequence[Pair]
    ) -> tuple[dict[int, list[Finding]], tuple[str, ...]]:
        assert [entry.case_id for entry in entries] == [entry.case_id for entry in self.compared]
        found = {pair.second: [Finding(pair.kind.value, f"as {entries[pair.first].case_id}")] for pair in pairs}
        return found, ("compared",) if pairs else ()


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Fake:
    one = Fake()
    for name in ("check_case", "find_duplicates", "across_cases"):
        monkeypatch.setattr(module, name, getattr(one, name))
    return one


@pytest.fixture
def data(tmp_path: Path) -> Path:
    make.write_brats_set(tmp_path / "data")
    return tmp_path / "data"


def split_file(path: Path, **parts: tuple[str, ...]) -> Path:
    write_split(path, Split(**({"train": (), "val": (), "test": ()} | parts), seed=0))  # type: ignore[arg-type]
    return path


def test_every_case_is_looked_at_and_told(data: Path, fake: Fake) -> None:
    fake.findings = {NAMES[1]: (Finding("saturated", "t1"),), NAMES[2]: (Finding("empty-image", "t2"),)}
    told: list[tuple[int, int, str]] = []
    found = check([data], progress=lambda *state: told.append(state))
    assert [row.report.case_id for row in found.cases] == list(NAMES)
    assert found.counts == {Level.PASS: 1, Level.WARN: 1, Level.FAIL: 1}
    assert told == [(1, 3, NAMES[0]), (2, 3, NAMES[1]), (3, 3, NAMES[2])]
    (one,) = found.data_sets
    assert (one.name, one.layout, one.cases, one.patients, one.labels) == ("data", "brats", 3, 3, ("brats2021",))
    assert [expected for _, expected in fake.asked] == [Expected(make.MODALITIES, (), "brain")] * 3
    assert [entry.case_id for entry in fake.compared] == list(NAMES)


def test_each_case_is_told_its_own_convention(tmp_path: Path, fake: Fake) -> None:
    make.write_brats_set(tmp_path)
    make.write_brats_set(tmp_path, convention="brats2023")
    check([tmp_path])
    assert {files.conventions for files, _ in fake.asked} == {("brats2021",), ("brats2023",)}
    fake.asked.clear()
    found = check([tmp_path], options=CheckOptions(labels="msd"))
    assert {files.conventions for files, _ in fake.asked} == {("msd",)}
    assert found.data_sets[0].labels == ("msd",)


def test_a_convention_that_is_not_told_is_a_remark(data: Path, fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    scanned = module.scan(data)
    vague = [CaseFiles(c.identity, c.modalities, c.labels, ("msd", "brats2023")) for c in scanned.cases]
    monkeypatch.setattr(module, "scan", lambda *_: module.DataSet(data, "brats", tuple(vague), "brain"))
    monkeypatch.setattr("gliamap.workflows.common.conventions.read_mask_file", lambda _: (np.array([1, 2, 3]), None))
    monkeypatch.setattr("gliamap.workflows.common.conventions._by_anatomy", lambda *_: (None, "too dark"))
    found = check([data])
    assert found.data_sets[0].labels == ()
    assert any("label convention not told" in note and "too dark" in note for note in found.notes)
    assert {files.conventions for files, _ in fake.asked} == {("msd", "brats2023")}


def test_a_case_that_breaks_the_look_does_not_stop_the_others(
    data: Path, fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    def check_case(files: CaseFiles, expected: Expected) -> CheckedCase:
        if files.case_id == NAMES[1]:
            raise ZeroDivisionError("oops")
        return fake.check_case(files, expected)

    monkeypatch.setattr(module, "check_case", check_case)
    found = check([data])
    assert [row.report.level for row in found.cases] == [Level.PASS, Level.FAIL, Level.PASS]
    assert found.cases[1].report.findings[0].code == "unreadable"
    assert "ZeroDivisionError" in found.cases[1].report.findings[0].found


def test_one_folder_named_twice_is_checked_once(data: Path, fake: Fake) -> None:
    found = check([data, data / ".", data / NAMES[0]])
    assert len(found.cases) == len(fake.asked) == 3
    assert len(found.data_sets) == 1
    assert [note for note in found.notes if "again" in note] == [
        f"{data} names all of its cases again: they are checked once",
        f"{data / NAMES[0]} names all of its cases again: they are checked once",
    ]


def test_data_sets_of_one_name_are_told_apart_and_compared(tmp_path: Path, fake: Fake) -> None:
    make.write_brats_set(tmp_path / "a" / "set")
    make.write_brats_set(tmp_path / "b" / "set", convention="brats2023")
    fake.pairs = ((Kind.DUPLICATE, NAMES[0], "BraTS-GLI-00002-000"),)
    found = check([tmp_path / "a" / "set", tmp_path / "b" / "set"])
    assert [one.name for one in found.data_sets] == ["set", "set (2)"]
    assert {(entry.data_set, entry.case_id) for entry in fake.compared} >= {("set", NAMES[0])}
    assert [finding.found for finding in found.cases[5].report.findings] == [f"as {NAMES[0]}"]
    assert found.cases[5].data_set == "set (2)"
    assert "compared" in found.notes


def test_modalities_are_expected_where_most_cases_have_them(data: Path, fake: Fake) -> None:
    (data / NAMES[0] / f"{NAMES[0]}_t2.nii.gz").unlink()
    for name in NAMES[1:]:
        (data / name / f"{name}_flair.nii.gz").unlink()
    check([data])
    assert fake.asked[0][1].modalities == ("t1", "t1c", "t2")


def test_a_leak_by_patient_id(tmp_path: Path, fake: Fake) -> None:
    for visit in ("00007-000", "00007-001", "00008-000"):
        make.write_brats(tmp_path / "set", make.case(case_id=f"BraTS-GLI-{visit}"), convention="brats2023")
    one, other, third = (f"BraTS-GLI-{visit}" for visit in ("00007-000", "00007-001", "00008-000"))
    leaky = split_file(tmp_path / "leaky.json", train=(one, third), test=(other,))
    found = check([tmp_path / "set"], options=CheckOptions(split=leaky))
    assert [[f.code for f in row.report.findings] for row in found.cases] == [["leak"], ["leak"], []]
    assert found.cases[0].report.findings[0].found == f"in train; the same patient as {other} (test)"
    sound = split_file(tmp_path / "sound.json", train=(one, other), test=(third,))
    assert not check([tmp_path / "set"], options=CheckOptions(split=sound)).rules


@pytest.mark.parametrize(
    ("kind", "words"), [(Kind.DUPLICATE, "the same image as"), (Kind.SAME_PATIENT, "looks like the same patient as")]
)
def test_a_leak_by_what_the_images_show(data: Path, fake: Fake, kind: Kind, words: str) -> None:
    fake.pairs = ((kind, NAMES[0], NAMES[2]),)
    split = split_file(data.parent / "split.json", train=(NAMES[0], NAMES[1]), val=(NAMES[2],))
    found = check([data], options=CheckOptions(split=split))
    leaks = [[f.found for f in row.report.findings if f.code == "leak"] for row in found.cases]
    assert leaks == [[f"in train; {words} {NAMES[2]} (val)"], [], [f"in val; {words} {NAMES[0]} (train)"]]
    same_part = split_file(data.parent / "same.json", train=NAMES)
    assert not [rule for rule, _ in check([data], options=CheckOptions(split=same_part)).rules if rule.code == "leak"]


def test_a_split_of_other_cases(data: Path, fake: Fake) -> None:
    some = split_file(data.parent / "some.json", train=(NAMES[0], "elsewhere"))
    assert "1 cases of the split are not here: elsewhere" in check([data], options=CheckOptions(split=some)).notes
    none = split_file(data.parent / "none.json", train=("elsewhere",))
    with pytest.raises(ConfigError, match="about other cases"):
        check([data], options=CheckOptions(split=none))


def test_what_most_cases_show_is_expected_of_all(tmp_path: Path, fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    make.write_pairs(tmp_path, 6)
    scanned = module.scan(tmp_path)
    silent = module.DataSet(scanned.root, scanned.layout, scanned.cases, None, patients_known=False)
    monkeypatch.setattr(module, "scan", lambda *_: silent)
    fake.foregrounds = dict.fromkeys("12346", "brain") | {"5": "head"}
    found = check([tmp_path])
    odd = [row.report for row in found.cases if row.report.findings]
    assert [(report.case_id, report.findings[0].code) for report in odd] == [("5", "foreground-unexpected")]
    assert "a whole head" in odd[0].findings[0].found
    fake.foregrounds["4"] = "head"
    assert not check([tmp_path]).rules


def test_the_report_is_written_whole(data: Path, fake: Fake, tmp_path: Path) -> None:
    fake.findings = {NAMES[1]: (Finding("saturated", "t1: so"),)}
    out = tmp_path / "out"
    found = check([data], out=out)
    assert tiny.files_in(out) == ["check.html", "check.json"]
    said = json.loads((out / "check.json").read_text())
    assert said.pop("versions")["gliamap"]
    assert said == found.as_json()
    assert said["counts"] == {"PASS": 2, "WARN": 1, "FAIL": 0}
    assert said["cases"][1] == {
        "data_set": "data",
        "case_id": NAMES[1],
        "level": "WARN",
        "findings": [{"code": "saturated", "level": "WARN", "found": "t1: so"}],
    }
    page = (out / "check.html").read_text()
    assert NAMES[1] in page and page.count("data:image/jpeg") == 1
    assert str(tmp_path) not in page + (out / "check.json").read_text()
    before = page
    check([data], out=out, options=CheckOptions(overwrite=True))
    assert (out / "check.html").read_text() == before


def test_nothing_is_replaced_unasked(data: Path, fake: Fake, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "check.json").write_text("mine")
    with pytest.raises(OutputError, match="holds a report already"):
        check([data], out=out)
    assert (out / "check.json").read_text() == "mine" and not fake.asked
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="is a file"):
        check([data], out=tmp_path / "file")


@pytest.mark.parametrize("damage", ["image", "mask", "all"])
def test_pictures_of_damaged_cases_are_left_out_or_bare(data: Path, fake: Fake, tmp_path: Path, damage: str) -> None:
    for path in (data / NAMES[0]).iterdir():
        if damage == "all" or (damage == "mask") == path.name.endswith("_seg.nii.gz"):
            path.write_bytes(b"damaged")
    fake.findings = {NAMES[0]: (Finding("unreadable", "so"),)}
    check([data], out=tmp_path / "out")
    page = (tmp_path / "out" / "check.html").read_text()
    assert page.count("data:image/jpeg") == (1 if damage == "mask" else 0)


def test_names_that_are_not_utf8_are_written_all_the_same(
    tmp_path: Path, fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    make.write_brats(tmp_path / "data", make.case(case_id="BraTS2021_00000"))
    fake.findings = {"BraTS2021_00000": (Finding("unreadable", "a\udcffb"),)}
    check([tmp_path / "data"], out=tmp_path / "out")
    said = json.loads((tmp_path / "out" / "check.json").read_text())
    assert said["cases"][0]["findings"][0]["found"] == "a\\udcffb"


def test_wrong_input_is_refused(data: Path, tmp_path: Path, fake: Fake) -> None:
    calls: list[tuple[type[Exception], Callable[[], object]]] = [
        (LayoutError, lambda: check([tmp_path / "nowhere"])),
        (LabelError, lambda: check([data], options=CheckOptions(labels="none"))),
    ]
    for error, call in calls:
        with pytest.raises(error):
            call()
    assert not fake.asked


BY_NAME = "{case}/{case}_{modality}.nii.gz"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "pattern", "levels", "codes"),
    [
        ("brats21", None, (10, 1, 0), {"saturated"}),
        ("brats23", None, (1, 0, 0), set()),
        ("btp-t1post", BY_NAME, (0, 0, 12), {"spacing-implausible"}),
        ("clinical-raw", BY_NAME, (0, 0, 1), {"grids-differ"}),
    ],
)
def test_real_data_sets(
    data_root: Path, name: str, pattern: str | None, levels: tuple[int, int, int], codes: set[str]
) -> None:
    found = check([data_root / name], options=CheckOptions(pattern=pattern, workers=default_workers()))
    assert tuple(found.counts.values()) == levels
    assert {rule.code for rule, _ in found.rules} == codes


@pytest.mark.slow
def test_a_patient_under_another_name_leaks(data_root: Path, tmp_path: Path) -> None:
    """The copy is stored flipped, in another type and on another scale, as another tool would save it."""
    first, other, copy = "BraTS2021_01476", "BraTS2021_01477", "BraTS2021_99999"
    for name in (first, other, copy):
        (tmp_path / "data" / name).mkdir(parents=True)
        source = first if name == copy else name
        for path in (data_root / "brats21" / source).iterdir():
            image = nib.load(path)
            values, affine = np.asarray(image.dataobj), image.affine
            if name == copy:
                values = values[::-1] if "seg" in path.name else (values[::-1] * 3.7).astype(np.float32)
                affine = affine @ np.array([[-1, 0, 0, len(values) - 1], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
            nib.Nifti1Image(values, affine).to_filename(tmp_path / "data" / name / path.name.replace(source, name))
    split = split_file(tmp_path / "split.json", train=(first, other), test=(copy,))
    found = check([tmp_path / "data"], options=CheckOptions(split=split))
    leaks = {row.report.case_id for row in found.cases if any(f.code == "leak" for f in row.report.findings)}
    assert leaks == {first, copy}

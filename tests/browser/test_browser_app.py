"""The web app in a real browser, with jobs that only pretend (real ones: test_browser_app_whole.py)."""

from __future__ import annotations

import gzip
import io
import json
import re
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from app_server import AppServer
from axe import serious_findings
from playwright.sync_api import Page, Route, expect

import make

expect.set_options(timeout=30_000)  # a busy machine is not a bug


@pytest.fixture
def app(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[AppServer]:
    """A running app without cases, whose jobs are quick, or as the test says; under its root lies a case."""
    make.write_brats(tmp_path / "scans", make.case())
    one = AppServer(tmp_path, *getattr(request, "param", ["quick"]), roots=(tmp_path / "scans",))
    yield one
    one.stop()


waiting = pytest.mark.parametrize("app", [["quick", "slow"]], indirect=True)
"""The app has a model whose jobs never end, too."""


@pytest.fixture
def inside(app: AppServer, page: Page) -> Iterator[Page]:
    """The app's page, let in. What the browser complains of fails the test."""
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda said: complaints.append(said.text) if "Content Security" in said.text else None)
    yield app.enter(page)
    assert not complaints


@pytest.fixture
def scans(app: AppServer) -> list[Path]:
    """The four scans and the mask of one case, named as in BraTS 2021."""
    return sorted(app.data.parent.glob("scans/*/*.nii.gz"))


def add(page: Page, *files: Path) -> None:
    """Add files to the case on the page, or to a new one, and wait until they are taken."""
    with page.expect_file_chooser() as chooser:
        page.locator("#choose-files:visible, #add-files:visible").click()
    chooser.value.set_files(files)
    expect(page.locator("#case .files")).to_be_visible()
    expect(page.locator("#sent")).to_have_count(0)


def run(page: Page, model: str) -> None:
    """Start the case on the page with this model."""
    page.select_option("#model", model)
    expect(page.locator("#start")).to_be_enabled()
    page.click("#start")
    expect(page.locator("iframe" if model == "quick" else "#work")).to_be_visible()


def test_from_files_to_a_report_and_a_download(inside: Page, scans: list[Path], tmp_path: Path) -> None:
    add(inside, *scans)
    taken = {
        row.locator(".name").inner_text().split("_")[-1]: row.locator("select").input_value()
        for row in inside.locator(".files li").all()
    }
    assert taken == {
        "flair.nii.gz": "flair",
        "seg.nii.gz": "",
        "t1.nii.gz": "t1",
        "t1ce.nii.gz": "t1c",
        "t2.nii.gz": "t2",
    }
    assert "mm" in inside.locator(".files .facts").first.inner_text()

    inside.click("#start")
    expect(inside.frame_locator("iframe").locator("body")).to_be_attached()
    expect(inside.locator("#case .badge")).to_have_text("Done")
    assert "1 warning" in inside.locator("#cases").inner_text()
    with inside.expect_download() as downloaded:
        inside.get_by_role("link", name="Save mask").click()
    downloaded.value.save_as(tmp_path / "mask.nii.gz")
    assert (tmp_path / "mask.nii.gz").read_bytes() == scans[0].read_bytes()  # the job hands back its first scan


def test_a_file_whose_name_does_not_tell_is_named_by_hand(inside: Page, scans: list[Path], tmp_path: Path) -> None:
    odd = tmp_path / "scan7.nii.gz"
    odd.write_bytes(scans[3].read_bytes())
    add(inside, *scans[:3], odd, scans[4])
    expect(inside.locator("#problems")).to_contain_text("The model needs t1c")
    expect(inside.locator("#start")).to_be_disabled()
    inside.get_by_label("What scan7.nii.gz is").select_option("t1c")
    expect(inside.locator("#start")).to_be_enabled()
    inside.get_by_label("Remove scan7.nii.gz").click()
    expect(inside.locator("#start")).to_be_disabled()


@waiting
def test_a_job_outlives_a_reload_and_ends_when_cancelled(inside: Page, scans: list[Path]) -> None:
    add(inside, *scans)
    run(inside, "slow")
    expect(inside.locator("#left")).to_contain_text("50 %, about 2 s left")
    inside.reload()
    expect(inside.locator("#left")).to_contain_text("50 %")
    expect(inside.locator("[aria-current=step]")).to_have_text("Looking for tumour")
    inside.click("#cancel")
    expect(inside.locator("#case .badge")).to_have_text("Cancelled")
    run(inside, "quick")


@pytest.mark.parametrize("app", [["failing"]], indirect=True)
def test_why_a_job_failed_is_said(inside: Page, scans: list[Path]) -> None:
    add(inside, *scans)
    inside.click("#start")
    expect(inside.locator("#case .box.fail")).to_contain_text("The scan is not one. Found: case")
    expect(inside.locator("#start")).to_have_text("Start again")


def test_two_tabs_show_the_same(inside: Page, scans: list[Path]) -> None:
    add(inside, *scans)
    other = inside.context.new_page()
    other.goto(inside.url)
    expect(other.locator("#start")).to_be_enabled()
    other.click("#start")
    expect(inside.locator("iframe")).to_be_visible()
    expect(other.locator("iframe")).to_be_visible()
    inside.click("#delete")
    inside.locator("#ask .danger").click()
    expect(other.locator("#cases li")).to_have_count(0)
    expect(other.locator("#new")).to_be_visible()


@pytest.mark.slow
@waiting
def test_after_a_restart_cases_are_there_and_say_if_they_were_interrupted(
    app: AppServer, inside: Page, scans: list[Path]
) -> None:
    for model in ("quick", "slow"):
        inside.goto(f"{app.address}/#/")
        expect(inside.locator("#new")).to_be_visible()
        add(inside, *scans)
        run(inside, model)
    app.stop()
    expect(inside.locator("#trouble")).to_contain_text("gliamap does not answer")
    app.start()
    expect(inside.locator("#trouble")).to_contain_text("Open the newest link")
    inside.reload()
    expect(inside.locator("h1")).to_have_text("Open the link from the terminal")
    app.enter(inside)
    expect(inside.locator("#cases .badge")).to_have_text(["Interrupted", "Done"])
    inside.locator("#cases a").first.click()
    expect(inside.locator(".files .name").first).to_have_text("File 1")  # names are not kept on the disk
    expect(inside.locator("#start")).to_have_text("Start again")


def _zip(**content: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return packed.getvalue()


REFUSED: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "no NIfTI": ("t1.nii", lambda _scan: b"bad" * 500),
    "cut off": ("t1.nii.gz", lambda scan: scan[: len(scan) // 2]),
    "more than its header says": ("t1.nii.gz", lambda scan: gzip.compress(gzip.decompress(scan) + bytes(2**20))),
    "bomb": ("t1.nii.gz", lambda scan: gzip.compress(gzip.decompress(scan)[:352] + bytes(2**27))),
    "way out of a zip": ("t1.zip", lambda scan: _zip(**{"../../t1.nii.gz": scan})),
    "zip without scans": ("t1.zip", lambda _scan: _zip(words=b"nothing")),
    "broken picture": ("t1.png", lambda _scan: b"\x89PNG\r\n\x1a\n" + bytes(100)),
    "too large": ("t1.nii", lambda _scan: bytes(2**24 + 1)),
}


_REFUSED_QUICKLY = ("no NIfTI", "way out of a zip", "too large")


@pytest.mark.parametrize(
    "why", [why if why in _REFUSED_QUICKLY else pytest.param(why, marks=pytest.mark.slow) for why in REFUSED]
)
def test_what_is_refused_is_said_and_the_rest_is_taken(
    inside: Page, scans: list[Path], tmp_path: Path, why: str
) -> None:
    name, spoil = REFUSED[why]
    bad = tmp_path / f"odd_{name}"
    bad.write_bytes(spoil(scans[2].read_bytes()))
    inside.set_input_files("#files", [bad, scans[0]])
    said = inside.locator("#case .box.fail[role=alert]")
    expect(said).to_contain_text("One file was not taken")
    expect(said.locator("li")).to_have_text(re.compile(rf"^odd_{re.escape(name)}: .{{10,}}"))
    assert str(tmp_path) not in said.inner_text()
    expect(inside.locator(".files li")).to_have_count(1)


def test_what_is_no_scan_at_all_is_told_before_it_is_sent(inside: Page, tmp_path: Path) -> None:
    (tmp_path / "letter.docx").write_bytes(b"words")
    inside.set_input_files("#files", [tmp_path / "letter.docx"])
    expect(inside.locator("#trouble")).to_contain_text("no scan")
    expect(inside.locator("#cases li")).to_have_count(0)


def test_an_upload_that_stands_still_can_be_stopped(inside: Page, scans: list[Path]) -> None:
    unanswered: list[Route] = []  # the first one only; unroute() would let it go on, stopped or not
    inside.route("**/files", lambda route: route.continue_() if unanswered else unanswered.append(route))
    inside.set_input_files("#files", scans)
    expect(inside.locator("#sending")).to_contain_text("Taking in")
    expect(inside.locator("#cases .badge")).to_have_text("Uploading")
    inside.click("#stop")
    expect(inside.locator("#sent")).to_have_count(0)
    expect(inside.locator("#case .box.fail")).to_have_count(0)
    assert len(unanswered) == 1
    add(inside, *scans[:1])
    expect(inside.locator(".files li")).to_have_count(1)


def test_an_upload_that_breaks_off_is_told_apart_from_a_server_that_is_gone(inside: Page, scans: list[Path]) -> None:
    inside.route("**/files", lambda route: route.abort())
    inside.set_input_files("#files", scans[0])
    expect(inside.locator("#case .box.fail li")).to_contain_text("Its upload broke off")


_LINES = """
window.lines = [];
window.EventSource = class extends EventTarget {
  constructor() {
    super();
    document.documentElement.dataset.lines = lines.push(this);
    setTimeout(() => this.tell("cases", '{"cases": []}'));
  }
  close() {}
  tell(name, data) { this.dispatchEvent(new MessageEvent(name, {data})); }
};
"""  # the test says what comes over the line


def test_an_older_change_does_not_take_back_what_an_answer_told(inside: Page, scans: list[Path]) -> None:
    inside.add_init_script(_LINES)
    inside.reload()
    add(inside, scans[0])
    old = inside.evaluate("fetch('/api/cases').then((answer) => answer.json())") | {"gone": []}
    inside.evaluate("(old) => lines[0].tell('changes', old)", json.dumps(old))
    inside.select_option("#modality-1", "t2")
    expect(inside.locator(".needs li").nth(2)).to_have_text("\u2713 T2")
    inside.evaluate("(old) => lines[0].tell('changes', old)", json.dumps(old))
    expect(inside.locator(".needs li").nth(2)).to_have_text("\u2713 T2")


def test_a_case_that_is_gone_does_not_come_back_by_a_late_answer(inside: Page, scans: list[Path]) -> None:
    inside.add_init_script(_LINES)
    inside.reload()
    add(inside, scans[0])
    old = inside.evaluate("fetch('/api/cases').then((answer) => answer.json())")
    gone = [case["id"] for case in old["cases"]]
    inside.evaluate("(told) => lines[0].tell('changes', told)", json.dumps({"cases": [], "gone": gone}))
    expect(inside.locator("#no-cases")).to_be_visible()
    inside.evaluate("(told) => lines[0].tell('changes', told)", json.dumps(old | {"gone": []}))
    expect(inside.locator("#no-cases")).to_be_visible()


def test_a_line_that_falls_silent_is_made_anew(inside: Page) -> None:
    inside.add_init_script(_LINES)
    inside.clock.install()
    inside.reload()
    expect(inside.locator("#new")).to_be_visible()
    for _ in range(3):
        inside.clock.run_for(30_000)
        inside.evaluate("lines[0].tell('beat', '{}')")
    expect(inside.locator("html")).to_have_attribute("data-lines", "1")
    inside.clock.run_for(41_000)
    expect(inside.locator("html")).to_have_attribute("data-lines", "2")


def test_two_windows_add_files_at_a_time(inside: Page, scans: list[Path]) -> None:
    add(inside, scans[0])
    other = inside.context.new_page()
    other.goto(inside.url)
    expect(other.locator(".files li")).to_have_count(1)
    for window, own in ((inside, scans[2:3]), (other, scans[3:])):
        with window.expect_file_chooser() as chooser:
            window.click("#add-files")
        chooser.value.set_files(own)
    for window in (inside, other):
        expect(window.locator(".files li")).to_have_count(4)


def test_a_changed_case_keeps_its_result_until_it_is_started_again(inside: Page, scans: list[Path]) -> None:
    add(inside, *scans)
    run(inside, "quick")
    inside.click("#again")
    expect(inside.locator("#problems")).to_have_count(0)  # a mask that is not used needs no word
    inside.select_option("#modality-1", "")
    expect(inside.locator("#problems")).to_contain_text("The model needs")
    inside.click("#again")
    expect(inside.locator("iframe")).to_be_visible()


def test_a_report_that_is_gone_is_said_in_words(app: AppServer, inside: Page, scans: list[Path]) -> None:
    add(inside, *scans)
    run(inside, "quick")
    next(app.data.glob("*/out/*_report.html")).unlink()
    inside.reload()
    expect(inside.frame_locator("iframe").locator("p")).to_contain_text("Start the case again")


def test_folders_and_zips_are_taken_whole(inside: Page, scans: list[Path], tmp_path: Path) -> None:
    inside.set_input_files("#folder", scans[0].parent)
    expect(inside.locator(".files li")).to_have_count(5)
    expect(inside.locator("#case-title bdi")).to_have_text(scans[0].parent.name)
    packed = tmp_path / "case.zip"
    packed.write_bytes(_zip(**{f"a/{scan.name}": scan.read_bytes() for scan in scans}))
    inside.goto(inside.url.split("#")[0] + "#/")
    expect(inside.locator("#new")).to_be_visible()
    add(inside, packed)
    expect(inside.locator(".files li")).to_have_count(5)


def test_a_folder_can_be_dropped(inside: Page, scans: list[Path]) -> None:
    devtools = inside.context.new_cdp_session(inside)
    data = {"items": [], "files": [str(scans[0].parent)], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        devtools.send("Input.dispatchDragEvent", {"type": kind, "x": 700, "y": 400, "data": data})
    expect(inside.locator(".files li")).to_have_count(5)


def test_what_is_dropped_goes_to_the_case_that_is_named(inside: Page, scans: list[Path]) -> None:
    devtools = inside.context.new_cdp_session(inside)

    def drag(*kinds: str) -> None:
        data = {"items": [], "files": [str(scans[1])], "dragOperationsMask": 1}
        for kind in kinds:
            devtools.send("Input.dispatchDragEvent", {"type": kind, "x": 700, "y": 400, "data": data})

    over = inside.locator("#over")
    drag("dragEnter", "dragOver")
    expect(over).to_have_text("Drop: a new case")
    add(inside, scans[0])
    drag("dragEnter", "dragOver")
    expect(over).to_contain_text("Drop: added to ")
    drag("drop")
    expect(over).to_be_hidden()
    expect(inside.locator(".files li")).to_have_count(2)


def test_a_case_is_found_among_many(app: AppServer, inside: Page) -> None:
    expect(inside.locator("#find")).to_be_hidden()
    for number in range(13):
        inside.evaluate(
            "(title) => fetch('/api/cases', {method: 'POST', body: JSON.stringify({title}),"
            " headers: {'Content-Type': 'application/json'}})",
            f"Visit {number}",
        )
    expect(inside.locator("#cases li")).to_have_count(13)
    inside.fill("#find", "VISIT 1")
    found = inside.locator("#cases li:visible .name")
    expect(found).to_have_count(4)
    assert sorted(found.all_inner_texts()) == ["Visit 1", "Visit 10", "Visit 11", "Visit 12"]
    inside.fill("#find", "nobody")
    expect(inside.locator("#none-found")).to_be_visible()


def test_a_folder_of_the_server_is_found_and_taken(inside: Page, scans: list[Path]) -> None:
    inside.click("#choose-root")
    inside.locator("#ask").get_by_role("button", name=scans[0].parent.name).click()
    inside.locator("#ask").get_by_role("button", name="Use this folder").click()
    expect(inside.locator(".files li")).to_have_count(5)


def test_names_from_outside_are_words_and_nothing_else(inside: Page, scans: list[Path], tmp_path: Path) -> None:
    hostile = tmp_path / "<img src=x onerror=alert(1)>\u202et1.nii.gz"
    hostile.write_bytes(scans[2].read_bytes())
    add(inside, hostile)
    expect(inside.locator(".files .name")).to_have_text("<img src=x onerror=alert(1)>\ufffdt1.nii.gz")
    assert inside.locator("#case img").count() == 0
    (tmp_path / "\u202etxt.nii").write_bytes(b"bad" * 500)
    with inside.expect_file_chooser() as chooser:
        inside.click("#add-files")
    chooser.value.set_files(tmp_path / "\u202etxt.nii")
    expect(inside.locator("#case .box.fail b")).to_have_text("\ufffdtxt.nii")


def test_a_title_is_kept_and_a_case_deleted_only_after_a_question(
    app: AppServer, inside: Page, scans: list[Path]
) -> None:
    add(inside, scans[0])
    inside.click("#rename")
    inside.fill("#title", "First visit")
    inside.keyboard.press("Enter")
    expect(inside.locator("#cases .name")).to_have_text("First visit")
    expect(inside).to_have_title("First visit · gliamap")
    inside.click("#delete")
    inside.keyboard.press("Escape")
    expect(inside.locator("#cases li")).to_have_count(1)
    inside.click("#delete")
    inside.locator("#ask .danger").click()
    expect(inside.locator("#no-cases")).to_be_visible()
    assert not list(app.data.glob("*/files"))


def test_the_keyboard_is_enough(inside: Page, scans: list[Path]) -> None:
    def tab_to(selector: str) -> None:
        for _ in range(60):
            inside.keyboard.press("Tab")
            if inside.evaluate("(wanted) => document.activeElement.matches(wanted)", selector):
                return
        pytest.fail(f"Tab does not lead to {selector}")

    inside.on("filechooser", lambda _chooser: None)  # a key is quicker than a listener that begins with it
    tab_to(".skip")
    inside.keyboard.press("Enter")
    tab_to("#choose-files")
    with inside.expect_file_chooser() as chooser:
        inside.keyboard.press("Enter")
    chooser.value.set_files(scans)
    expect(inside.locator("#case-title")).to_be_focused()
    expect(inside.locator("#start")).to_be_enabled()
    tab_to("#start")
    inside.keyboard.press("Enter")
    expect(inside.locator("iframe")).to_be_visible()
    expect(inside.locator("#said")).to_contain_text("Done")
    tab_to("#delete")
    inside.keyboard.press("Enter")
    tab_to("#ask .danger")
    inside.keyboard.press("Enter")
    expect(inside.locator("#new")).to_be_visible()
    expect(inside.locator("#new-title")).to_be_focused()


@waiting
@pytest.mark.parametrize("scheme", ["light", pytest.param("dark", marks=pytest.mark.slow)])
def test_axe_finds_nothing_serious_and_nothing_sticks_out(
    app: AppServer, inside: Page, scans: list[Path], scheme: str
) -> None:
    inside.emulate_media(color_scheme="dark" if scheme == "dark" else "light")

    def look() -> None:
        for width in (360, 1440):
            inside.set_viewport_size({"width": width, "height": 800})
            assert inside.evaluate("document.documentElement.scrollWidth") <= width
            assert serious_findings(inside) == []

    look()
    inside.click("#choose-root")
    look()
    inside.keyboard.press("Escape")
    add(inside, *scans[:2])
    inside.locator("summary").click()
    look()
    add(inside, *scans[2:])
    run(inside, "slow")
    look()
    inside.click("#cancel")
    run(inside, "quick")
    look()
    inside.click("#delete")
    look()
    for door in ("locked.html", "login.html"):
        inside.goto(f"{app.address}/static/{door}")
        look()


def test_a_password_opens_the_door_and_signing_out_shuts_it(page: Page, tmp_path: Path) -> None:
    app = AppServer(tmp_path, "quick", password="a long password")
    try:
        page.goto(app.address)
        page.fill("#password", "another password")
        page.keyboard.press("Enter")
        expect(page.locator("#problem")).to_have_text("This is not the password.")
        page.fill("#password", "a long password")
        page.keyboard.press("Enter")
        expect(page.locator("#new")).to_be_visible()
        page.click("#sign-out")
        expect(page.locator("#password")).to_be_visible()
    finally:
        app.stop()

"""The view in 3D in a real browser: what is seen from where, and what every control does."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import payloads
import pytest
from axe import serious_findings
from numpy.typing import NDArray
from payloads import SHAPE, SPACING
from PIL import Image
from playwright.sync_api import Page

from gliamap.labels import Tissue
from gliamap.viewer.document import SURFACES, VIEWER, embed, read_scripts, read_static, write_document
from gliamap.viewer.packing import packed
from gliamap.viewer.surfaces import make_surfaces

OpenPage = Callable[..., Page]
Pixels = NDArray[np.int64]

START = """
window.moves = [];
const slices = { state: { at: [14, 28, 18] }, onMove: (callback) => window.moves.push(callback) };
window.turned = createSurfaces(document.getElementById("turned"), readPayload("case"), blobsInPage("case"), slices);
window.turned.ready.then(() => { document.documentElement.dataset.ready = ""; });
"""
TUMOUR = (14, 36, 24)  # of 44, 52, 36: on the left, in front, above


def nested_balls() -> NDArray[np.uint8]:
    """Edema around an enhancing rim around a core."""
    labels = np.zeros(SHAPE, np.uint8)
    for tissue, radius in ((Tissue.ED, 9), (Tissue.ET, 6), (Tissue.NCR, 4)):
        labels[payloads.ball(TUMOUR, radius)] = tissue
    return labels


def surfaces_page(labels: NDArray[np.uint8]) -> str:
    """A page with a view in 3D, ``window.turned``, of labels in the head of the viewer's phantom."""
    found = make_surfaces(labels, payloads.volumes()["flair"] > 0, SPACING)
    blobs, entries = {}, []
    for number, one in enumerate(found):
        names = f"s{number}v", f"s{number}f"
        blobs |= dict(zip(names, (packed(one.vertices), packed(one.faces)), strict=True))
        entries.append(one.describe(*names))
    content, _ = payloads.phantom(surfaces=entries)
    return write_document(
        "surfaces",
        ['<h1>Surfaces</h1><div id="turned"></div>', embed("case", content, blobs)],
        version="test",
        styles=[read_static(f"{SURFACES}.css")],
        scripts=[*read_scripts(VIEWER), *read_scripts(SURFACES), START],
    )


@pytest.fixture(scope="module")
def opened(shared_page: OpenPage) -> Page:
    """Head and tumour, with nothing that moves by itself; opened once, for that takes longer than a test."""
    page = shared_page(surfaces_page(nested_balls()), width=500)
    page.emulate_media(reduced_motion="reduce")
    return page


@pytest.fixture
def turned(opened: Page) -> Page:
    """The same page as it was at first."""
    opened.set_viewport_size({"width": 500, "height": 900})
    opened.evaluate(
        """() => {
          document.activeElement.blur();
          window.turned.reset();
          for (const { value } of document.querySelectorAll(".surfaces-list input")) window.turned.show(value, true);
        }"""
    )
    settle(opened)
    return opened


def settle(page: Page) -> None:
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


def view(page: Page) -> Any:
    """Azimuth and elevation in degrees, and the zoom."""
    found = page.evaluate("window.turned.view")
    return [round(np.degrees(found["azimuth"])), round(np.degrees(found["elevation"])), round(found["zoom"], 2)]


def look(page: Page, key: str) -> None:
    page.locator(".surfaces-stage").press(key)
    settle(page)


def pixels(page: Page) -> Pixels:
    """What the stage shows, ``(rows, columns, RGB)``, without letters and crosshair."""
    page.evaluate("document.querySelector('.surfaces-marks').style.visibility = 'hidden'")
    settle(page)
    shot = page.locator(".surfaces-stage").screenshot()
    page.evaluate("document.querySelector('.surfaces-marks').style.visibility = ''")
    return np.asarray(Image.open(io.BytesIO(shot)).convert("RGB")).astype(int)


def coloured(shown: Pixels) -> NDArray[np.bool_]:
    return np.asarray(shown.max(axis=2) - shown.min(axis=2) > 60)


def middle_of(mask: NDArray[np.bool_]) -> tuple[float, float]:
    """Column and row of the mask's middle, as shares of the picture, each from -1 to 1."""
    rows, columns = np.nonzero(mask)
    return float(2 * columns.mean() / mask.shape[1] - 1), float(2 * rows.mean() / mask.shape[0] - 1)


def test_the_patients_sides_are_where_the_letters_say(turned: Page) -> None:
    """The tumour lies on the left, in front of and above the middle. Seen from below and above, the nose is up."""
    turned.locator(".surfaces-list input[value=head]").uncheck()
    for key, across in {"a": 1, "p": -1, "l": -1, "r": 1, "i": 1, "s": -1}.items():
        look(turned, key)
        column, row = middle_of(coloured(pixels(turned)))
        assert column * across > 0.05 and row < -0.1, key


def test_every_surface_can_be_taken_away(turned: Page) -> None:
    full = pixels(turned)
    boxes = turned.locator(".surfaces-list input")
    assert [box.get_attribute("value") for box in boxes.all()] == ["head", "WT", "ET", "NCR"]
    for box in boxes.all():
        before = pixels(turned)
        box.uncheck()
        assert np.any(pixels(turned) != before)
    assert not coloured(pixels(turned)).any()
    for box in boxes.all():
        box.check()
    assert np.array_equal(pixels(turned), full)


def test_inner_surfaces_shine_through_outer_ones(turned: Page) -> None:
    for name in ("head", "ET"):
        turned.locator(f".surfaces-list input[value={name}]").uncheck()
    red = lambda: int(np.count_nonzero(pixels(turned) @ [1, -1, -1] > 20))  # noqa: E731
    both = red()
    turned.locator(".surfaces-list input[value=WT]").uncheck()
    assert 0 < both <= red()


def test_pointer_turns_and_reset_brings_back(turned: Page) -> None:
    first = view(turned)
    assert first == [46, 17, 1]  # the phantom's tumour lies in the left half
    edge = turned.locator(".surfaces-stage").bounding_box()
    assert edge is not None
    turned.mouse.move(edge["x"] + 300, edge["y"] + 200)
    turned.mouse.down()
    turned.mouse.move(edge["x"] + 400, edge["y"] + 250)
    turned.mouse.up()
    assert view(turned) == [0, 40, 1]  # 100 and 50 pixels of 0.46 degrees
    turned.get_by_role("button", name="Reset view").click()
    assert view(turned) == first


def test_keys_turn_and_zoom_within_bounds(turned: Page) -> None:
    look(turned, "a")
    look(turned, "ArrowLeft")
    look(turned, "ArrowDown")
    assert view(turned) == [10, 10, 1]
    look(turned, "+")
    assert view(turned) == [10, 10, 1.25]
    turned.evaluate("window.turned.turnTo({ elevation: 7, zoom: 99 })")
    assert view(turned) == [10, 90, 8]
    look(turned, "0")
    assert view(turned) == [46, 17, 1]


def test_the_wheel_belongs_to_the_page_until_the_stage_is_chosen(turned: Page) -> None:
    turned.locator(".surfaces-stage").hover()
    turned.mouse.wheel(0, -200)
    assert view(turned)[2] == 1
    turned.locator(".surfaces-stage").focus()
    turned.mouse.wheel(0, -200)
    settle(turned)
    assert view(turned)[2] == pytest.approx(1.35)


def test_a_letter_can_be_clicked(turned: Page) -> None:
    look(turned, "a")
    edge = turned.locator(".surfaces-stage").bounding_box()
    assert edge is not None
    turned.mouse.click(edge["x"] + 38 + 24, edge["y"] + edge["height"] - 38)  # from the front, L is on the right
    assert view(turned) == [90, 0, 1]


def test_two_fingers_zoom(turned: Page) -> None:
    turned.evaluate(
        """() => {
          const stage = document.querySelector(".surfaces-stage");
          stage.setPointerCapture = () => {};
          const send = (kind, pointerId, clientX) =>
            stage.dispatchEvent(new PointerEvent(kind, { pointerId, clientX, clientY: 200, pointerType: "touch" }));
          send("pointerdown", 1, 300);
          send("pointerdown", 2, 400);
          send("pointermove", 2, 500);
          send("pointerup", 1, 300);
          send("pointerup", 2, 500);
        }"""
    )
    assert view(turned)[2] == 2


def test_the_crosshair_of_the_slices_is_marked(turned: Page) -> None:
    def marks() -> bytes:
        return turned.evaluate("document.querySelector('.surfaces-marks').toDataURL()")

    before = marks()
    turned.evaluate("window.moves[0]([30, 20, 10])")
    settle(turned)
    assert marks() != before


def test_words_say_where_one_looks_from(turned: Page) -> None:
    look(turned, "l")
    turned.wait_for_selector("text=Seen from the left.")
    look(turned, "ArrowRight")
    look(turned, "ArrowRight")
    turned.wait_for_selector("text=Seen from the left and the front.")


def test_without_webgl_a_sentence_says_so(page: Page, open_page: OpenPage) -> None:
    page.add_init_script(
        """const get = HTMLCanvasElement.prototype.getContext;
        HTMLCanvasElement.prototype.getContext = function (kind, more) {
          return kind === "webgl2" ? null : get.call(this, kind, more);
        };"""
    )
    open_page(surfaces_page(nested_balls()))
    assert "lacks WebGL2" in page.locator(".surfaces").inner_text()
    assert not page.locator(".surfaces-panel").is_visible()


def test_a_lost_context_comes_back(turned: Page) -> None:
    before = pixels(turned)
    turned.evaluate(
        """window.lost = document.querySelector(".surfaces-solid").getContext("webgl2")
        .getExtension("WEBGL_lose_context"); window.lost.loseContext()"""
    )
    turned.wait_for_selector(".surfaces-notice", state="visible")
    turned.evaluate("window.lost.restoreContext()")
    turned.wait_for_selector(".surfaces-notice", state="hidden")
    assert np.array_equal(pixels(turned), before)


def test_nothing_to_show_hides_the_view(open_page: OpenPage) -> None:
    page = open_page(surfaces_page(np.zeros((*SHAPE[:2], 1), np.uint8)))
    assert not page.locator("#turned").is_visible()


@pytest.mark.parametrize("width", [1000, 360])
def test_it_fits_and_helpers_can_read_it(turned: Page, width: int) -> None:
    turned.set_viewport_size({"width": width, "height": 900})
    settle(turned)
    assert turned.evaluate("document.documentElement.scrollWidth") <= width
    assert serious_findings(turned) == []

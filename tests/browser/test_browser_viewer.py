"""The viewer in a real browser: what is where on the screen, and what every control does."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import numpy as np
import payloads
import pytest
from axe import serious_findings
from numpy.typing import NDArray
from payloads import MARKER, SHAPE, TUMOUR
from playwright.sync_api import Page, expect

OpenPage = Callable[..., Page]
Pixels = NDArray[np.int64]
ALL_LABELS = ("Axial", "Coronal", "Sagittal")


@pytest.fixture(scope="module")
def opened(shared_page: OpenPage) -> Page:
    """The phantom with everything, on a wide screen; opened once, for that takes longer than a test."""
    page = shared_page(payloads.viewer_page(*payloads.phantom()))
    page.evaluate("() => { window.first = window.viewer.state; }")
    return page


@pytest.fixture
def viewer(opened: Page) -> Page:
    """The same page as it was at first."""
    opened.set_viewport_size({"width": 1440, "height": 900})
    opened.emulate_media(color_scheme="light")
    opened.evaluate("window.viewer.setState(window.first)")
    settle(opened)
    return opened


def state(page: Page) -> Any:
    """The viewer's state."""
    return page.evaluate("window.viewer.state")


def settle(page: Page) -> None:
    """Wait until two frames were drawn and nothing is loading."""
    for _ in range(2):
        page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
        page.wait_for_selector(".viewer[aria-busy=false]")


def set_state(page: Page, **changes: Any) -> None:
    """Change the state and wait until it is drawn."""
    page.evaluate("changes => window.viewer.setState(changes)", changes)
    settle(page)


def canvas(page: Page, plane: str = "Axial") -> Any:
    """A plane's canvas, the first where there are two."""
    return page.locator(f".viewer-screen:visible canvas[aria-label^='{plane}']").first


def pixels(page: Page, plane: str = "Axial") -> Pixels:
    """What a plane shows without its edge of letters, ``(rows, columns, RGB)``."""
    url = canvas(page, plane).evaluate(
        """one => {
          const { data, width, height } = one.getContext('2d').getImageData(0, 0, one.width, one.height);
          const words = [];
          for (let from = 0; from < data.length; from += 8192) {
            words.push(String.fromCharCode(...data.subarray(from, from + 8192)));
          }
          return [btoa(words.join('')), height, width];
        }"""
    )
    shown = np.frombuffer(base64.b64decode(url[0]), np.uint8).reshape(url[1], url[2], 4)
    return shown[28:-28, 28:-28, :3].astype(int)


def coloured(shown: Pixels) -> int:
    """How many pixels are not grey."""
    return int(np.count_nonzero(shown.max(axis=2) - shown.min(axis=2) > 25))


def point(page: Page, plane: str, at: tuple[int, ...], side: int = 0) -> tuple[float, float]:
    """Where a voxel lies on a plane's canvas, CSS pixels."""
    x, y = page.evaluate(
        """([plane, at, side]) => {
          const { layoutOf, placeOf, planesOf, sidesOf } = window.inside;
          const { grid } = JSON.parse(document.getElementById('case').textContent);
          const { state } = window.viewer;
          const width = document.querySelector('.viewer').clientWidth;
          const layout = layoutOf(grid, sidesOf(state).length, width, window.innerHeight);
          const number = planesOf(grid).findIndex(({ title }) => title === plane);
          const found = planesOf(grid)[number];
          const place = placeOf(found, grid, { ...state, fit: layout.fit }, layout.placeOf(number, side).size);
          return place.at(at[found.columns], at[found.rows]);
        }""",
        [plane, list(at), side],
    )
    return x, y


def on_screen(page: Page, plane: str, at: tuple[int, ...]) -> tuple[float, float]:
    """Where a voxel lies in the window."""
    box = canvas(page, plane).bounding_box()
    x, y = point(page, plane, at)
    return box["x"] + x, box["y"] + y


def test_sides_are_those_of_radiology(viewer: Page) -> None:
    """The bright ball lies in the patient's right half, in front of and above the middle."""
    set_state(viewer, at=list(MARKER), window=[490, 510], overlay="off", crosshair=False)
    for plane in ALL_LABELS:
        shown = pixels(viewer, plane)
        rows, columns = np.nonzero(shown.min(axis=2) > 200)
        middle_row, middle_column = (n / 2 for n in shown.shape[:2])
        assert rows.size and columns.mean() < middle_column - 5, plane  # right, or front
        assert rows.mean() < middle_row - 5, plane  # front, or head


def test_a_millimetre_is_as_long_in_every_plane(viewer: Page) -> None:
    set_state(viewer, at=[n // 2 for n in SHAPE], window=[0, 60], overlay="off", crosshair=False)
    extents = {}
    for plane in ALL_LABELS:
        rows, columns = np.nonzero(pixels(viewer, plane).min(axis=2) > 128)
        extents[plane] = (np.ptp(columns), np.ptp(rows))
    (x, y), (x2, z), (y2, z2) = (extents[plane] for plane in ALL_LABELS)
    assert abs(x - x2) <= 3 and abs(y - y2) <= 3 and abs(z - z2) <= 3
    assert x / z == pytest.approx(40 * 3 / (34 * 4), rel=0.03)  # voxels of the head, and their edges


def test_a_click_moves_the_crosshair_to_the_voxel_under_it(viewer: Page) -> None:
    viewer.mouse.click(*on_screen(viewer, "Axial", MARKER))
    assert state(viewer)["at"] == [MARKER[0], MARKER[1], TUMOUR[2]]
    viewer.mouse.click(*on_screen(viewer, "Coronal", MARKER))
    assert state(viewer)["at"] == list(MARKER)
    settle(viewer)
    expect(viewer.get_by_label("Axial slice").first).to_have_value(str(MARKER[2]))
    captions = viewer.locator(".viewer-screen:visible .viewer-caption span")
    expect(captions).to_have_text(["slice 22 · S 10.0 mm", "slice 30 · A 13.5 mm", "slice 9 · R 37.5 mm"])
    reading = viewer.locator(".viewer-reading")
    expect(reading).to_contain_text("R 37.5, A 13.5, S 10.0 mm")
    expect(reading).to_contain_text("510")


def test_a_drag_moves_it_along_and_callbacks_hear_of_it(viewer: Page) -> None:
    viewer.evaluate("() => { window.heard = []; window.end = window.viewer.onMove((at) => window.heard.push(at)); }")
    viewer.mouse.move(*on_screen(viewer, "Sagittal", (0, 10, 10)))
    viewer.mouse.down()
    viewer.mouse.move(*on_screen(viewer, "Sagittal", (0, 20, 30)), steps=3)
    viewer.mouse.up()
    assert state(viewer)["at"] == [TUMOUR[0], 20, 30]
    heard = viewer.evaluate("window.heard")
    assert heard[0] == [TUMOUR[0], 10, 10] and heard[-1] == [TUMOUR[0], 20, 30]
    viewer.evaluate("() => { window.end(); window.viewer.moveTo([-5, 2.4, 999]); }")
    assert state(viewer)["at"] == [0, 2, SHAPE[2] - 1]
    assert viewer.evaluate("window.heard.length") == len(heard)


@pytest.mark.parametrize(
    ("key", "plane", "moved"),
    [
        ("ArrowRight", "Axial", (-1, 0, 0)),
        ("Shift+ArrowUp", "Axial", (0, 10, 0)),
        ("PageDown", "Axial", (0, 0, -1)),
        ("ArrowDown", "Coronal", (0, 0, -1)),
        ("ArrowLeft", "Sagittal", (0, 1, 0)),
        ("PageUp", "Sagittal", (1, 0, 0)),
    ],
)
def test_keys_move_the_crosshair_as_it_is_seen(viewer: Page, key: str, plane: str, moved: tuple[int, ...]) -> None:
    canvas(viewer, plane).focus()
    viewer.keyboard.press(key)
    assert state(viewer)["at"] == [a + b for a, b in zip(TUMOUR, moved, strict=True)]


def test_every_letter_does_what_the_help_says(viewer: Page) -> None:
    canvas(viewer).focus()
    for key, name, expected in (
        ("2", "image", "flair"),
        ("1", "image", "t1c"),
        ("o", "overlay", "fill"),
        ("o", "overlay", "off"),
        ("c", "masks", "reference"),
        ("c", "masks", "side"),
        ("c", "masks", "agreement"),
        ("u", "map", "entropy"),
        ("u", "map", None),
        ("x", "crosshair", False),
        ("+", "zoom", 1.25),
        ("w", "window", [102, 408]),
        ("w", "window", [0, 510]),
        ("w", "window", [102, 408]),
        ("0", "window", [0, 510]),
    ):
        viewer.keyboard.press(key)
        assert state(viewer)[name] == expected, key
    assert state(viewer)["zoom"] == 1
    viewer.keyboard.press("?")
    expect(viewer.get_by_role("dialog")).to_be_visible()
    viewer.keyboard.press("Escape")
    expect(viewer.get_by_role("dialog")).to_be_hidden()


def test_the_wheel_turns_slices_and_with_control_zooms_about_the_pointer(viewer: Page) -> None:
    x, y = on_screen(viewer, "Axial", MARKER)
    viewer.mouse.move(x, y)
    viewer.mouse.wheel(0, -120)
    assert state(viewer)["at"][2] == TUMOUR[2] + 1
    viewer.keyboard.down("Control")
    viewer.mouse.wheel(0, -120)
    viewer.mouse.wheel(0, -120)
    viewer.keyboard.up("Control")
    assert state(viewer)["zoom"] > 1.5
    assert on_screen(viewer, "Axial", MARKER) == pytest.approx((x, y), abs=0.5)


def test_shift_pans_the_right_button_windows_and_a_double_click_resets(viewer: Page) -> None:
    before = on_screen(viewer, "Coronal", TUMOUR)
    viewer.keyboard.down("Shift")
    viewer.mouse.move(*before)
    viewer.mouse.down()
    viewer.mouse.move(before[0] + 40, before[1] - 24)
    viewer.mouse.up()
    viewer.keyboard.up("Shift")
    assert on_screen(viewer, "Coronal", TUMOUR) == pytest.approx((before[0] + 40, before[1] - 24), abs=0.5)
    assert state(viewer)["at"] == list(TUMOUR)
    viewer.mouse.down(button="right")
    viewer.mouse.move(before[0] - 60, before[1])
    viewer.mouse.up(button="right")
    low, high = state(viewer)["window"]
    assert high - low < 400 and state(viewer)["at"] == list(TUMOUR)
    canvas(viewer, "Coronal").dblclick()
    assert (state(viewer)["window"], state(viewer)["zoom"], state(viewer)["at"]) == ([0, 510], 1, list(TUMOUR))


def test_two_fingers_zoom_and_move(viewer: Page) -> None:
    x, y = on_screen(viewer, "Axial", TUMOUR)
    touch = viewer.context.new_cdp_session(viewer)

    def fingers(kind: str, *apart: float) -> None:
        points = [{"x": x + d, "y": y, "id": n} for n, d in enumerate(apart)]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    fingers("touchStart", -20)
    fingers("touchStart", -20, 20)
    for apart in (25, 30, 35, 40):
        fingers("touchMove", -apart, apart)
    fingers("touchEnd")
    settle(viewer)
    assert state(viewer)["zoom"] == pytest.approx(2, rel=0.15)
    assert on_screen(viewer, "Axial", TUMOUR) == pytest.approx((x, y), abs=6)


def test_the_window_is_set_by_presets_and_sliders(viewer: Page) -> None:
    viewer.get_by_text("FLAIR").click()
    assert state(viewer)["window"] == [100, 900]
    viewer.get_by_text("full range").click()
    assert state(viewer)["window"] == [0, 1020]
    viewer.get_by_label("Width").fill("500")
    low, high = state(viewer)["window"]
    assert (low + high) / 2 == pytest.approx(510, abs=2) and high - low == pytest.approx(510, abs=2)


def test_contours_and_fills_show_what_is_ticked(viewer: Page) -> None:
    set_state(viewer, crosshair=False)
    counts = {}
    for overlay in ("contour", "fill", "off"):
        set_state(viewer, overlay=overlay)
        counts[overlay] = coloured(pixels(viewer))
    assert counts["off"] == 0 < counts["contour"] < counts["fill"]
    set_state(viewer, overlay="fill")
    viewer.get_by_label("edema").uncheck()
    settle(viewer)
    assert state(viewer)["tissues"] == ["ET", "NCR"]
    assert 0 < coloured(pixels(viewer)) < 0.6 * counts["fill"]


def test_a_contour_encloses_the_voxels_of_its_mask_and_no_other(viewer: Page) -> None:
    """Whatever the mask: the middle of a voxel lies inside its contour exactly if the voxel is in the mask."""
    rng = np.random.default_rng(0)
    height, width = 9, 12
    masks = [rng.random(height * width) < share for share in (0, 0.05, 0.3, 0.5, 0.7, 0.95, 1) for _ in range(5)]
    found = viewer.evaluate(
        """([masks, width, height]) => masks.map((mask) => {
          const path = window.inside.contourOf(Uint8Array.from(mask), width, height, Uint8Array.of(0, 1));
          const ink = new OffscreenCanvas(1, 1).getContext('2d');
          return mask.map((_, n) => ink.isPointInPath(path, n % width + 0.5, Math.floor(n / width) + 0.5, 'evenodd'));
        })""",
        [[mask.astype(int).tolist() for mask in masks], width, height],
    )
    assert np.array_equal(np.array(found), np.array(masks))


def test_voxels_that_touch_at_a_corner_only_stay_apart(viewer: Page) -> None:
    inside = viewer.evaluate(
        """() => {
          const path = window.inside.contourOf(Uint8Array.of(1, 0, 0, 1), 2, 2, Uint8Array.of(0, 1));
          return new OffscreenCanvas(1, 1).getContext('2d').isPointInPath(path, 1, 1, 'evenodd');
        }"""
    )
    assert not inside


def test_agreement_tells_both_from_either(viewer: Page) -> None:
    """The reference lies two voxels further to the front: behind is only predicted, in front only referenced."""
    set_state(viewer, masks="agreement", overlay="contour", crosshair=False)
    expect(viewer.get_by_text("only prediction")).to_be_visible()
    shown = {}
    for name, y in (("both", 33), ("prediction", 28 - 8), ("reference", 28 + 10)):
        x, row = point(viewer, "Axial", (TUMOUR[0], y, TUMOUR[2]))
        shown[name] = pixels(viewer)[round(row) - 28, round(x) - 28]
    red, green, blue = range(3)
    assert shown["prediction"][red] > shown["prediction"][blue] + 20  # amber
    assert shown["reference"][blue] > shown["reference"][red] + 20  # light blue
    assert shown["both"][blue] > shown["both"][green] + 5  # violet
    set_state(viewer, tissues=[])
    assert coloured(pixels(viewer)) == 0


def test_prediction_and_reference_stand_side_by_side(viewer: Page) -> None:
    viewer.get_by_text("side by side").click()
    settle(viewer)
    titles = viewer.locator(".viewer-screen:visible b").all_inner_texts()
    assert titles == [f"{plane} · {side}" for plane in ALL_LABELS for side in ("prediction", "reference")]
    set_state(viewer, masks="prediction")
    assert viewer.locator(".viewer-screen:visible").count() == 3


def test_a_map_comes_with_its_colours_and_values(viewer: Page) -> None:
    set_state(viewer, overlay="off", crosshair=False)
    viewer.get_by_text("uncertainty (entropy)").first.click()
    settle(viewer)
    assert coloured(pixels(viewer)) > 500
    expect(viewer.locator(".viewer-scale")).to_have_text("00.69")
    expect(viewer.locator(".viewer-reading")).to_contain_text("0.162")  # 60 of 255 parts of 0.69


@pytest.mark.parametrize(("width", "canvases", "scheme"), [(1440, 3, "light"), (768, 3, "dark"), (360, 1, "light")])
def test_every_width_has_room_and_helpers_can_read_it(viewer: Page, width: int, canvases: int, scheme: str) -> None:
    viewer.set_viewport_size({"width": width, "height": 740})
    viewer.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    settle(viewer)
    for masks, shown in (("prediction", canvases), ("side", 2 * canvases)):
        set_state(viewer, masks=masks)
        assert viewer.locator(".viewer-screen:visible canvas").count() == shown
        assert viewer.evaluate("document.documentElement.scrollWidth") <= width
    assert serious_findings(viewer) == []


def test_on_a_phone_tabs_choose_the_plane(viewer: Page) -> None:
    viewer.set_viewport_size({"width": 360, "height": 740})
    settle(viewer)
    viewer.get_by_text("Sagittal", exact=True).first.click()
    settle(viewer)
    assert canvas(viewer, "Sagittal").is_visible() and not canvas(viewer, "Axial").is_visible()


def test_an_image_is_one_plane_in_pixels(open_page: OpenPage) -> None:
    page = open_page(payloads.viewer_page(*payloads.image()))
    assert page.locator(".viewer-screen:visible canvas").count() == 1
    expect(page.locator(".viewer-reading")).to_contain_text("column 29, row 23")  # of the file, from 0
    assert page.get_by_text("Masks").count() == 0
    page.get_by_label("edema").uncheck()
    assert state(page)["tissues"] == ["ET", "NCR"]


def test_without_masks_there_is_nothing_to_choose(open_page: OpenPage) -> None:
    content, blobs = payloads.phantom(labels=None, reference=None, maps=[], tissues=[])
    content["images"] = content["images"][:1]
    page = open_page(payloads.viewer_page(content, {"t1c": blobs["t1c"]}))
    set_state(page, crosshair=False)
    assert coloured(pixels(page)) == 0
    assert page.locator(".viewer-group:visible legend").all_inner_texts() == ["Window", "View"]


def test_the_position_is_said_once_the_crosshair_rests(viewer: Page) -> None:
    viewer.evaluate("window.viewer.moveTo([14, 28, 20])")
    said = viewer.get_by_role("status")
    expect(said).to_contain_text("Position L 22.5, A 7.5, S 10.0 mm. T1 post-contrast 140. Prediction necrotic")


def test_names_from_outside_stay_words_and_oblique_scans_say_so(open_page: OpenPage) -> None:
    hostile = '<img src=x onerror="document.title=1"></script><script>document.title=1</script>\u202e' + "x" * 5000
    content, blobs = payloads.phantom(title=hostile)
    content["images"][0]["title"] = hostile
    content["tissues"] = [{**content["tissues"][0], "title": hostile}, *content["tissues"][1:]]
    content["grid"] |= {"oblique_degrees": 17.4, "affine": [[3, 1, 0, -64.5], [-1, 3, 0, -76.5], [0, 0, 4, -70]]}
    page = open_page(payloads.viewer_page(content, blobs))
    assert page.title() != "1" and page.locator("#view img").count() == 0
    assert hostile in page.locator(".viewer-key bdi").first.inner_text()
    expect(page.get_by_text("Oblique by 17°: letters are approx., positions are true.")).to_be_visible()
    expect(page.locator(".viewer-reading")).to_contain_text("R 5.5, P 6.5, S 2.0 mm")  # 14 28 18


def test_a_state_that_cannot_be_is_refused(viewer: Page) -> None:
    for changes in ({"colour": 1}, {"image": "t7"}, {"overlay": "wild"}, {"map": "heat"}):
        refused = viewer.evaluate(
            "changes => { try { window.viewer.setState(changes); return ''; } catch (error) { return error.name; } }",
            changes,
        )
        assert refused == "RangeError", changes
    set_state(viewer, zoom=1000, tissues=["ET"])
    assert state(viewer)["zoom"] == 16


def test_a_broken_blob_is_said_in_words(open_page: OpenPage) -> None:
    content, blobs = payloads.phantom()
    page = open_page(payloads.viewer_page(content, {**blobs, "t1c": b"not gzip"}), ready=False)
    expect(page.get_by_role("alert")).to_contain_text("could not be unpacked")

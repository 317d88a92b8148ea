/* The planes on the page: a canvas each, with its name, its slice and a slider. */

/* One screen for each plane and side; the second side is hidden until masks are compared. */
function screensOf(payload, change) {
  const sides = masksOf(payload).includes("side") ? 2 : 1;
  const made = [];
  planesOf(payload.grid).forEach((plane, n) => {
    for (let side = 0; side < sides; side += 1) made.push(screenOf(payload.grid, plane, { number: n, side }, change));
  });
  return made;
}

function screenOf(grid, plane, { number, side }, change) {
  const canvas = make("canvas", { tabIndex: 0, role: "application" });
  const title = make("b", {}, plane.title);
  const where = make("span");
  const last = grid.shape[plane.across] - 1;
  const slider = make("input", { type: "range", min: 0, max: last, step: 1, ariaLabel: `${plane.title} slice` });
  slider.oninput = () => change(plane.across, Number(slider.value));
  const caption = make("div", { className: "viewer-caption" }, title, where);
  const element = make("div", { className: "viewer-screen" }, canvas, caption);
  if (last > 0) element.append(slider);
  return { element, canvas, title, where, slider, plane, number, side, size: [1, 1], kept: new WeakMap() };
}

/* Words and slider of a screen as the state has it. */
function syncScreen(screen, grid, state) {
  const { plane, canvas, title, where, slider } = screen;
  const which = state.masks === "side" ? ` · ${sidesOf(state)[screen.side]}` : "";
  title.textContent = `${plane.title}${which}`;
  where.textContent = grid.two_d ? "" : sliceWords(plane, grid, state.at);
  slider.value = state.at[plane.across];
  slider.setAttribute("aria-valuetext", where.textContent);
  const words = [title.textContent, where.textContent].filter(Boolean).join(", ");
  canvas.setAttribute("aria-label", `${words}. Arrow keys move the crosshair.`);
}

/* The screen where the layout wants it, and so large; the canvas has the device's own pixels. */
function placeScreen(screen, layout) {
  const { row, column, size } = layout.placeOf(screen.number, screen.side);
  screen.element.style.gridArea = `${row} / ${column}`;
  const wanted = size.map((length) => Math.round(length * (window.devicePixelRatio || 1)));
  const { canvas } = screen;
  if (canvas.width === wanted[0] && canvas.height === wanted[1] && size.join() === screen.size.join()) return;
  screen.size = size;
  [canvas.width, canvas.height] = wanted;
  [canvas.style.width, canvas.style.height] = size.map((length) => `${length}px`);
}

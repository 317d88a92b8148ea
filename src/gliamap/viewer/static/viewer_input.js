/* Pointer, wheel and keys on the planes. `viewer` is {state(), change(…), moveTo(at), zoom(factor, point), reset(),
   help(), hover(at or null), placeOf(screen)}. */

const NOTCH = 40; /* wheel pixels that are one slice */
const ARROWS = {
  ArrowLeft: ["columns", 1],
  ArrowRight: ["columns", -1],
  ArrowUp: ["rows", 1],
  ArrowDown: ["rows", -1],
};

function listenToPointer(screen, viewer) {
  const { canvas, plane } = screen;
  const fingers = new Map();
  let mode = null;
  const spot = (event) => {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  const voxel = (point) => {
    const at = [...viewer.state().at];
    [at[plane.columns], at[plane.rows]] = viewer.placeOf(screen).voxel(...point);
    return at;
  };
  canvas.onpointerdown = (event) => {
    fingers.set(event.pointerId, spot(event));
    canvas.setPointerCapture(event.pointerId);
    if (fingers.size > 1) mode = pinch;
    else if (event.button === 2) mode = turnWindow;
    else if (event.shiftKey || event.button === 1) mode = pan;
    else mode = (_, to) => viewer.moveTo(voxel(to));
    if (fingers.size === 1) mode(spot(event), spot(event), viewer, screen);
  };
  canvas.onpointermove = (event) => {
    const to = spot(event);
    const from = fingers.get(event.pointerId);
    if (!from) return viewer.hover(voxel(to));
    const other = [...fingers].find(([id]) => id !== event.pointerId)?.[1];
    fingers.set(event.pointerId, to);
    return mode(from, to, viewer, screen, other);
  };
  canvas.onpointerup = canvas.onpointercancel = (event) => {
    fingers.delete(event.pointerId);
    /* The finger that stays after a pinch must not drag the crosshair along. */
    mode = pan;
  };
  canvas.onpointerleave = () => viewer.hover(null);
  canvas.oncontextmenu = (event) => event.preventDefault();
  canvas.ondblclick = () => viewer.reset();
}

function pan(from, to, viewer, { plane }) {
  const { centre, zoom } = viewer.state();
  const scale = viewer.fit() * zoom;
  const next = [...centre];
  next[plane.columns] += (to[0] - from[0]) / scale;
  next[plane.rows] += (to[1] - from[1]) / scale;
  viewer.change({ centre: next });
}

function turnWindow(from, to, viewer) {
  const [low, high] = viewer.state().window;
  const width = (high - low) * Math.exp((to[0] - from[0]) / 250);
  const level = (low + high) / 2 + ((to[1] - from[1]) * (high - low)) / 400;
  viewer.change({ window: [level - width / 2, level + width / 2] });
}

/* Two fingers: what is between them stays between them. */
function pinch(from, to, viewer, screen, other) {
  if (!other) return;
  const apart = (point) => Math.max(1, Math.hypot(point[0] - other[0], point[1] - other[1]));
  const middle = (point) => [(point[0] + other[0]) / 2, (point[1] + other[1]) / 2];
  pan(middle(from), middle(to), viewer, screen);
  viewer.zoom(apart(to) / apart(from), pointAt(screen, viewer, middle(to)));
}

/* The place in mm under a point of the screen; along the third axis the middle of the view, which must not move. */
function pointAt({ plane, canvas }, viewer, [x, y]) {
  const { centre, zoom } = viewer.state();
  const scale = viewer.fit() * zoom;
  const point = [...centre];
  point[plane.columns] -= (x - canvas.clientWidth / 2) / scale;
  point[plane.rows] -= (y - canvas.clientHeight / 2) / scale;
  return point;
}

function listenToWheel(screen, viewer) {
  const { canvas, plane } = screen;
  let turned = 0;
  const onWheel = (event) => {
    event.preventDefault();
    const delta = event.deltaMode === 0 ? event.deltaY : event.deltaY * NOTCH;
    if (event.ctrlKey) {
      const box = canvas.getBoundingClientRect();
      const point = pointAt(screen, viewer, [event.clientX - box.left, event.clientY - box.top]);
      viewer.zoom(Math.exp(-clamp(delta, -25, 25) / 100), point);
      return;
    }
    turned += clamp(delta, -NOTCH, NOTCH);
    if (Math.abs(turned) < NOTCH) return;
    step(viewer, plane.across, -Math.sign(turned));
    turned = 0;
  };
  canvas.addEventListener("wheel", onWheel, { passive: false });
}

function step(viewer, axis, by) {
  const at = [...viewer.state().at];
  at[axis] += by;
  viewer.moveTo(at);
}

/* Keys while a plane has the focus. */
function listenToArrows({ canvas, plane }, viewer) {
  canvas.onkeydown = (event) => {
    const by = event.shiftKey ? 10 : 1;
    if (event.key in ARROWS) {
      const [axis, sign] = ARROWS[event.key];
      step(viewer, plane[axis], sign * by);
    } else if (event.key === "PageUp" || event.key === "PageDown") {
      step(viewer, plane.across, event.key === "PageUp" ? by : -by);
    } else return;
    event.preventDefault();
  };
}

/* Keys anywhere in the viewer. */
function listenToKeys(root, payload, viewer) {
  const next = (list, value) => list[(list.indexOf(value) + 1) % list.length];
  const keys = {
    "+": () => viewer.zoom(1.25),
    "=": () => viewer.zoom(1.25),
    "-": () => viewer.zoom(1 / 1.25),
    0: () => viewer.reset(),
    "?": () => viewer.help(),
    o: ({ overlay }) => viewer.change({ overlay: next(Object.keys(OVERLAYS), overlay) }),
    c: ({ masks }) => masks && viewer.change({ masks: next(masksOf(payload), masks) }),
    u: ({ map }) => viewer.change({ map: next([null, ...payload.maps.map(({ name }) => name)], map) }),
    x: ({ crosshair }) => viewer.change({ crosshair: !crosshair }),
    w: (state) => viewer.change({ window: nextWindow(imageOf(payload, state), state.window) }),
  };
  payload.images.forEach(({ name }, n) => {
    keys[n + 1] = () => viewer.change({ image: name });
  });
  root.addEventListener("keydown", (event) => {
    const action = keys[event.key.toLowerCase()];
    if (!action || event.ctrlKey || event.altKey || event.metaKey) return;
    action(viewer.state());
    event.preventDefault();
  });
}

// The 3D view: createSurfaces(element, payload, readBlob, viewer) fills an empty element and gives a handle
//   ready     a promise, kept when all is drawn (then `data-ready` stands on the element), also where there is no 3D
//   view      {azimuth, elevation, zoom} in radians; turnTo({...}) changes some of it, reset() all
//   show(name, on)
// `viewer`, if given, is the one of the slices: its crosshair is marked. Without surfaces the element is hidden; without
// WebGL2 it says so in a sentence. Some small helpers are those of the viewer's scripts.

const SURFACE_TURN = 0.008; // radians for each pixel of a drag
const SURFACE_KEY_TURN = Math.PI / 18;
const SURFACE_SECONDS = 0.3; // of a turn that was asked for by a key
const SURFACE_HELP =
  "Drag or arrow keys: turn. Wheel (after a click), + or -: zoom. R, L, A, P, S, I: look from there. 0: reset.";
const SURFACE_MISSING = "This browser shows no 3D here: it lacks WebGL2. The slices show the same.";
const SURFACE_LOST = "The browser took the 3D view back for a moment.";

function createSurfaces(element, payload, readBlob, viewer = null) {
  element.classList.add("surfaces");
  element.hidden = payload.surfaces.length === 0;
  const parts = surfaceParts(element, payload);
  const scene = element.hidden ? null : surfaceScene(payload.surfaces);
  const shown = new Set(payload.surfaces.map(({ name }) => name));
  const first = element.hidden ? {} : surfaceFirstView(scene);
  const state = { first, view: { ...first }, place: null, meshes: null, draw: null, slow: false, moving: false };
  const gl = element.hidden ? null : surfaceContext(parts.solid, state);

  const paint = () => surfacePaint(parts, payload, scene, shown, state);
  const ask = onceAFrame(paint);
  const rest = surfaceResting(parts.says, payload, state, ask);
  const set = (change) => {
    const view = { ...state.view, ...change };
    view.elevation = clamp(view.elevation, -Math.PI / 2, Math.PI / 2);
    view.zoom = clamp(view.zoom, ...SURFACE_ZOOM);
    Object.assign(state, { view, moving: true });
    ask();
    rest();
  };
  const turnTo = surfaceTurning(state, set);
  const handle = {
    ready: Promise.resolve(),
    get view() { return { ...state.view }; },
    turnTo,
    reset: () => turnTo(first),
    show(name, on) {
      if (on) shown.add(name);
      else shown.delete(name);
      parts.boxes.get(name).checked = on;
      ask();
    },
  };
  if (element.hidden) return handle;
  if (!gl) {
    surfaceNotice(parts, SURFACE_MISSING);
    return handle;
  }
  surfaceControls(parts, payload, state, { set, turnTo, handle });
  surfaceKeepContext(gl, parts, state, ask);
  new ResizeObserver(ask).observe(parts.stage);
  const mark = (at) => {
    state.place = at.map((v, i) => v * payload.grid.spacing[i]);
    ask();
  };
  if (viewer) viewer.onMove(mark);
  handle.ready = Promise.all(payload.surfaces.map((surface) => surfaceMesh(surface, readBlob))).then((meshes) => {
    state.meshes = meshes;
    scene.radius = surfaceReach(meshes, scene.centre);
    if (!gl.isContextLost()) state.draw = surfaceDrawing(gl, meshes);
    if (viewer) mark(viewer.state.at ?? payload.start);
    paint();
    rest();
    element.dataset.ready = "";
  });
  return handle;
}

// The elements, in the order in which a keyboard goes through them.
function surfaceParts(element, payload) {
  const make = (parent, name, kind, more = {}) => {
    const made = Object.assign(document.createElement(name), { className: `surfaces-${kind}` }, more);
    return parent.appendChild(made);
  };
  const stage = make(element, "div", "stage", { tabIndex: 0 });
  stage.setAttribute("role", "application");
  stage.setAttribute("aria-label", `3D view of ${payload.surfaces.map(({ title }) => title).join(", ")}`);
  const solid = make(stage, "canvas", "solid");
  const marks = make(stage, "canvas", "marks");
  const notice = make(stage, "p", "notice", { hidden: true });
  const panel = make(element, "div", "panel");
  const list = make(panel, "div", "list");
  list.setAttribute("role", "group");
  list.setAttribute("aria-label", "Surfaces shown");
  const boxes = new Map();
  for (const { name, title, colour } of payload.surfaces) {
    const label = make(list, "label", "choice");
    boxes.set(name, make(label, "input", "box", { type: "checkbox", checked: true, value: name }));
    make(label, "span", "swatch").style.background = colour;
    make(label, "span", "title", { textContent: title });
  }
  const reset = make(panel, "button", "reset", { type: "button", textContent: "Reset view" });
  const says = make(panel, "p", "says");
  says.setAttribute("aria-live", "polite");
  const hint = make(panel, "p", "hint", { textContent: SURFACE_HELP, id: `${element.id || "surfaces"}-hint` });
  stage.setAttribute("aria-describedby", hint.id);
  return { stage, solid, marks, notice, panel, boxes, reset, says };
}

// Where all lies: the box of the surfaces in mm, its centre, and the middle of the tumour. The meshes tell the radius.
function surfaceScene(surfaces) {
  const corner = (key, pick, from) => [0, 1, 2].map((i) => pick(...from.map((surface) => surface[key][i])));
  const middle = (from) => {
    const [a, b] = [corner("lower", Math.min, from), corner("upper", Math.max, from)];
    return a.map((v, i) => (v + b[i]) / 2);
  };
  const [lower, upper] = [corner("lower", Math.min, surfaces), corner("upper", Math.max, surfaces)];
  const tumour = surfaces.filter(({ name }) => name !== "head");
  return { lower, upper, radius: 0, centre: middle(surfaces), focus: middle(tumour.length ? tumour : surfaces) };
}

// How far the vertices reach from the centre, in mm.
function surfaceReach(meshes, centre) {
  let most = 0;
  for (const { vertices, lower, upper } of meshes) {
    const scale = upper.map((v, i) => (v - lower[i]) / 65535);
    for (let v = 0; v < vertices.length; v += 3) {
      const apart = centre.map((middle, i) => lower[i] + vertices[v + i] * scale[i] - middle);
      most = Math.max(most, Math.hypot(...apart));
    }
  }
  return most;
}

// From the front, a little above, and from the side on which the tumour lies.
function surfaceFirstView({ centre, focus }) {
  const side = focus[0] > centre[0] ? -1 : 1;
  return { azimuth: side * 0.8, elevation: 0.3, zoom: 1 };
}

async function surfaceMesh(surface, readBlob) {
  const [vertices, faces] = await Promise.all([readBlob(surface.vertices), readBlob(surface.faces)]);
  const numbers = (bytes) => new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 2);
  const mesh = { ...surface, vertices: numbers(vertices), faces: numbers(faces) };
  return { ...mesh, normals: surfaceNormals(mesh) };
}

function surfacePaint(parts, payload, scene, shown, { view, place, draw, slow, moving }) {
  const { clientWidth: width, clientHeight: height } = parts.stage;
  if (!draw || !width || !height) return;
  const dense = Math.min(window.devicePixelRatio || 1, 2);
  const drawn = slow ? (moving ? 0.6 : 1.4) : dense; // a few pixels while it moves, smooth edges when it rests
  for (const [canvas, scale] of [[parts.solid, drawn], [parts.marks, dense]]) {
    const [w, h] = [Math.round(width * scale), Math.round(height * scale)];
    if (canvas.width !== w) canvas.width = w;
    if (canvas.height !== h) canvas.height = h;
  }
  const camera = surfaceCamera(view, scene, [width, height]);
  const { right, up } = surfaceScreen(view);
  draw(camera, up.map((v, i) => 0.7 * v - 0.35 * right[i]), shown); // light from above and from the left
  const pen = parts.marks.getContext("2d");
  pen.setTransform(dense, 0, 0, dense, 0, 0);
  pen.clearRect(0, 0, width, height);
  if (place) surfaceDrawCross(pen, place, scene, camera.project);
  surfaceDrawGizmo(pen, payload.grid.letters, view, height);
}

// To be called with each movement: once the view has come to rest, says in words where one looks from.
function surfaceResting(line, payload, state, ask) {
  let timer = 0;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      state.moving = false;
      if (state.slow) ask();
      if (payload.grid.letters.length) line.textContent = `Seen from ${surfaceWords(state.view)}.`;
    }, 200);
  };
}

// A context of WebGL2; where the processor draws in place of a graphics card, one without smoothing, which is slow there.
function surfaceContext(canvas, state) {
  const fast = canvas.getContext("webgl2", { antialias: true, failIfMajorPerformanceCaveat: true });
  state.slow = !fast;
  return fast ?? canvas.getContext("webgl2", { antialias: false });
}

// turnTo(view): in a short movement, or at once where the reader wants none.
function surfaceTurning(state, set) {
  let turn = 0;
  return (change) => {
    const mine = ++turn;
    const from = { ...state.view };
    const to = { ...from, ...change };
    const round = 2 * Math.PI;
    from.azimuth -= round * Math.round((from.azimuth - to.azimuth) / round); // the short way
    if (window.matchMedia("(prefers-reduced-motion: reduce)").matches) return set(to);
    const begun = performance.now();
    const step = (now) => {
      if (mine !== turn) return;
      const share = Math.min(1, Math.max(0, (now - begun) / 1000 / SURFACE_SECONDS));
      const eased = share * share * (3 - 2 * share);
      set(Object.fromEntries(Object.keys(to).map((key) => [key, from[key] + eased * (to[key] - from[key])])));
      if (share < 1) requestAnimationFrame(step);
    };
    requestAnimationFrame(step);
    return undefined;
  };
}

function surfaceNotice(parts, words) {
  parts.notice.textContent = words;
  parts.notice.hidden = !words;
  parts.stage.classList.toggle("surfaces-off", Boolean(words));
  parts.panel.hidden = Boolean(words);
}

function surfaceKeepContext(gl, parts, state, ask) {
  parts.solid.addEventListener("webglcontextlost", (event) => {
    event.preventDefault(); // or the browser would not give it back
    state.draw = null;
    surfaceNotice(parts, SURFACE_LOST);
  });
  parts.solid.addEventListener("webglcontextrestored", () => {
    if (state.meshes) state.draw = surfaceDrawing(gl, state.meshes);
    surfaceNotice(parts, "");
    ask();
  });
}

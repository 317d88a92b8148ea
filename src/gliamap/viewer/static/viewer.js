/* The viewer: three linked planes with their controls. README.md tells what can be done with it. */

const UNREADABLE = "The pictures in this page could not be unpacked. A current Firefox, Chrome, Edge or Safari can.";

let viewersWaiting = 0; /* for <html data-ready> */

function createViewer(element, payload, readBlob) {
  const { grid } = payload;
  const volumes = new Map();
  const listeners = new Set();
  let state = changedState(payload, firstState(payload), {});
  let layout = null;
  let markReady;
  const ready = new Promise((resolve) => {
    markReady = resolve;
  });
  const sceneFor = sceneMaker(payload, volumes);

  const change = (changes) => {
    const before = state;
    state = changedState(payload, state, changes);
    if (state.at.join() !== before.at.join()) {
      page.say(state);
      listeners.forEach((callback) => callback([...state.at]));
    }
    plan();
  };
  const moveTo = (at) => change({ at });
  const actions = {
    state: () => state,
    fit: () => layout.fit,
    change,
    moveTo,
    zoom: (factor, point) =>
      change(zoomedAbout(state, point ?? state.at.map((n, axis) => n * grid.spacing[axis]), factor)),
    reset: () => {
      const { image, at, zoom, centre } = { ...firstState(payload), image: state.image };
      change({ at, zoom, centre, window: [...imageOf(payload, { image }).window] });
    },
    help: () => page.help.open || page.help.showModal(),
    hover: (at) => page.read(at && inGrid(grid, at) ? { ...state, at: at.map(Math.round) } : state),
    placeOf: (screen) => placeOf(screen.plane, grid, { ...state, fit: layout.fit }, screen.size),
  };
  const page = buildPage(element, payload, volumes, actions);

  const plan = onceAFrame(() => {
    page.sync(state);
    const missing = blobsOf(payload, state).filter((name) => !volumes.has(name));
    if (missing.length) fetchBlobs(missing);
    else draw();
  });

  function fetchBlobs(names) {
    page.root.ariaBusy = "true";
    Promise.all(names.map(async (name) => volumes.set(name, await readBlob(name)))).then(plan, page.fail);
  }

  function draw() {
    const sides = sidesOf(state).length;
    const fresh = layoutOf(grid, sides, page.root.clientWidth, window.innerHeight);
    page.arrange(fresh, sides, state);
    layout = fresh;
    const scene = sceneFor(state, { fit: layout.fit, zoom: state.zoom, centre: state.centre });
    page.screens.filter((screen) => !screen.element.hidden).forEach((screen) => paintScreen(screen, scene, grid));
    page.read(state);
    page.root.ariaBusy = "false";
    markReady();
  }

  viewersWaiting += 1;
  ready.then(() => {
    viewersWaiting -= 1;
    if (viewersWaiting === 0) document.documentElement.dataset.ready = "";
  });
  new ResizeObserver(plan).observe(page.root);
  plan();
  return {
    ready,
    moveTo,
    setState: change,
    onMove: (callback) => {
      listeners.add(callback);
      return () => listeners.delete(callback);
    },
    get state() {
      return structuredClone(state);
    },
  };
}

/* A function that asks for `paint`: however often it is called within a frame, that is done once. */
function onceAFrame(paint) {
  let asked = false;
  return () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      paint();
    });
  };
}

/* Everything that stands on the page, and what keeps it true. */
function buildPage(element, payload, volumes, actions) {
  const { grid } = payload;
  const screens = listeningScreens(payload, actions);
  const { tabs, above, beside } = controlsOf(payload, actions);
  const elements = (parts) => parts.map((part) => part.element);
  const reading = make("dl", { className: "viewer-reading" });
  const said = make("p", { className: "viewer-said", role: "status" });
  const panel = make("div", { className: "viewer-panel" }, reading, ...elements(beside));
  const planes = make("div", { className: "viewer-planes" }, ...elements(screens), panel);
  const bar = make("div", { className: "viewer-bar" }, ...elements(above));
  const help = helpDialog();
  const notice = make("p", { className: "viewer-notice" }, noticeOf(grid));
  notice.hidden = !notice.textContent;
  const parts = [bar, notice, tabs.element, planes, said, help];
  const root = make("div", { className: "viewer", role: "group", ariaLabel: `Viewer: ${payload.title}` }, ...parts);
  element.replaceChildren(root);
  listenToKeys(root, payload, actions);
  const pairsOf = (state) => readingOf(payload, state, volumes, state.at);
  let speaking;

  return {
    root,
    screens,
    help,
    sync: (state) => {
      [tabs, ...above, ...beside].forEach((part) => part.sync(state));
      screens.forEach((screen) => syncScreen(screen, grid, state));
    },
    arrange: (layout, sides, state) => {
      const alone = layout.kind === "single" && planesOf(grid).length > 1;
      Object.assign(root.dataset, { layout: layout.kind, sides });
      tabs.element.hidden = !alone;
      planes.style.gridTemplateColumns = layout.columns;
      for (const screen of screens) {
        screen.element.hidden = screen.side >= sides || (alone && screen.plane.name !== state.plane);
        if (!screen.element.hidden) placeScreen(screen, layout);
      }
    },
    read: (state) => reading.replaceChildren(...pairsOf(state).map(readingRow)),
    /* Read aloud once the crosshair rests. */
    say: (state) => {
      clearTimeout(speaking);
      speaking = setTimeout(() => {
        said.textContent = pairsOf(state)
          .map((pair) => pair.join(" "))
          .join(". ");
      }, 500);
    },
    fail: () => {
      root.ariaBusy = "false";
      notice.hidden = false;
      notice.setAttribute("role", "alert");
      notice.textContent = UNREADABLE;
    },
  };
}

/* The planes, which hear pointer, wheel and keys. */
function listeningScreens(payload, actions) {
  const screens = screensOf(payload, (axis, index) => {
    const at = [...actions.state().at];
    at[axis] = index;
    actions.moveTo(at);
  });
  for (const screen of screens) {
    listenToPointer(screen, actions);
    listenToWheel(screen, actions);
    listenToArrows(screen, actions);
  }
  return screens;
}

/* The tabs of a narrow screen, what stands above the planes, and what stands in the panel. */
function controlsOf(payload, { change, ...actions }) {
  const planes = planesOf(payload.grid).map(({ name, title }) => [name, title]);
  const tabs = choice(
    "Plane",
    planes,
    (state) => state.plane,
    (plane) => change({ plane }),
  );
  tabs.element.classList.add("viewer-tabs");
  const beside = [];
  if (payload.tissues.length) beside.push(tissuesOf(payload, change));
  if (masksOf(payload).includes("agreement")) beside.push(agreementKey());
  if (payload.maps.length) beside.push(mapKey(payload));
  beside.push(windowsOf(payload, change), buttonsOf(actions));
  return { tabs, above: choicesOf(payload, change), beside };
}

function readingRow([name, words]) {
  return make("div", {}, make("dt", {}, name), make("dd", {}, make("bdi", {}, words)));
}

function noticeOf(grid) {
  const angle = Math.round(grid.oblique_degrees);
  return angle ? `Oblique by ${angle}°: letters are approx., positions are true.` : "";
}

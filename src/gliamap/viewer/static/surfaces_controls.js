// Pointers, wheel, keys and buttons of the 3D view.

function surfaceControls(parts, payload, state, { set, turnTo, handle }) {
  surfacePointers(parts.stage, payload, state, set, turnTo);
  parts.stage.addEventListener("wheel", (event) => {
    if (document.activeElement !== parts.stage && !event.ctrlKey) return; // the page scrolls on
    event.preventDefault();
    set({ zoom: state.view.zoom * Math.exp(-0.0015 * event.deltaY * (event.deltaMode ? 16 : 1)) });
  }, { passive: false });
  parts.stage.addEventListener("keydown", (event) => {
    const change = surfaceKey(event, payload.grid.letters, state);
    if (!change) return;
    event.preventDefault();
    turnTo(change);
  });
  for (const [name, box] of parts.boxes) box.addEventListener("change", () => handle.show(name, box.checked));
  parts.reset.addEventListener("click", handle.reset);
}

// What a key changes of the view; nothing for keys that are not ours.
function surfaceKey(event, letters, { view, first }) {
  if (event.ctrlKey || event.metaKey || event.altKey) return null;
  const side = SURFACE_SIDES.find(({ letter }) => letter === event.key.toUpperCase() && letters.flat().includes(letter));
  if (side) return { azimuth: side.azimuth, elevation: side.elevation };
  switch (event.key) {
    case "ArrowLeft": return { azimuth: view.azimuth + SURFACE_KEY_TURN };
    case "ArrowRight": return { azimuth: view.azimuth - SURFACE_KEY_TURN };
    case "ArrowUp": return { elevation: view.elevation - SURFACE_KEY_TURN };
    case "ArrowDown": return { elevation: view.elevation + SURFACE_KEY_TURN };
    case "+": case "=": return { zoom: view.zoom * 1.25 };
    case "-": return { zoom: view.zoom / 1.25 };
    case "0": case "Home": return first;
    default: return null;
  }
}

// One pointer turns, two turn and zoom; a click on a letter looks from there.
function surfacePointers(stage, payload, state, set, turnTo) {
  const down = new Map();
  let moved = 0;
  const spread = () => {
    const [a, b] = [...down.values()];
    return b ? Math.hypot(a[0] - b[0], a[1] - b[1]) : 0;
  };
  stage.addEventListener("pointerdown", (event) => {
    stage.setPointerCapture(event.pointerId);
    down.set(event.pointerId, [event.clientX, event.clientY]);
    moved = 0;
  });
  stage.addEventListener("pointermove", (event) => {
    const before = down.get(event.pointerId);
    if (!before) return;
    const apart = spread();
    const [dx, dy] = [event.clientX - before[0], event.clientY - before[1]];
    down.set(event.pointerId, [event.clientX, event.clientY]);
    moved += Math.hypot(dx, dy);
    const turn = SURFACE_TURN / down.size;
    const { azimuth, elevation, zoom } = state.view;
    set({
      azimuth: azimuth - turn * dx,
      elevation: elevation + turn * dy,
      zoom: apart ? (zoom * spread()) / apart : zoom,
    });
  });
  const lift = (event) => down.delete(event.pointerId);
  stage.addEventListener("pointercancel", lift);
  stage.addEventListener("pointerup", (event) => {
    if (!lift(event) || moved > 4) return;
    const edge = stage.getBoundingClientRect();
    const at = [event.clientX - edge.left, event.clientY - edge.top];
    const side = surfaceSideAt(payload.grid.letters, state.view, edge.height, at);
    if (side) turnTo({ azimuth: side.azimuth, elevation: side.elevation });
  });
  stage.addEventListener("dblclick", () => turnTo(state.first));
}

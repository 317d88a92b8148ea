/* The state: what is shown, from where. Changing it is the only way to change the picture. */

const ZOOMS = [1, 16];
const WINDOWS = ["standard", "full range", "high contrast"];

function firstState(payload) {
  const masks = masksOf(payload);
  const [image] = payload.images;
  return {
    at: [...payload.start],
    image: image.name,
    window: [...image.window],
    overlay: "contour",
    masks: masks[0] ?? null,
    tissues: payload.tissues.map((tissue) => tissue.name),
    map: null,
    crosshair: true,
    plane: planesOf(payload.grid)[0].name,
    zoom: 1,
    centre: middleOf(payload.grid),
  };
}

/* `state` with some of it changed and all of it within bounds; a new image comes with its own window. */
function changedState(payload, state, changes) {
  for (const name of Object.keys(changes)) {
    if (!(name in state)) throw new RangeError(`a viewer's state has no '${name}'`);
  }
  const next = { ...state, ...changes };
  checkChoices(payload, next);
  if (next.image !== state.image && !changes.window) next.window = [...imageOf(payload, next).window];
  const { shape, spacing } = payload.grid;
  next.at = next.at.map((index, axis) => clamp(Math.round(index), 0, shape[axis] - 1));
  next.zoom = clamp(next.zoom, ...ZOOMS);
  next.centre = next.centre.map((mm, axis) => clamp(mm, 0, (shape[axis] - 1) * spacing[axis]));
  if (next.zoom === 1 && state.zoom !== 1) next.centre = middleOf(payload.grid);
  return next;
}

function checkChoices(payload, state) {
  const names = (list) => list.map((one) => one.name);
  const choices = {
    image: names(payload.images),
    overlay: ["contour", "fill", "off"],
    masks: masksOf(payload).length ? masksOf(payload) : [null],
    map: [null, ...names(payload.maps)],
    plane: names(planesOf(payload.grid)),
  };
  for (const [name, known] of Object.entries(choices)) {
    if (!known.includes(state[name])) throw new RangeError(`a viewer's ${name} cannot be '${state[name]}'`);
  }
}

/* Where the middle must move so that `point` (mm) stays where it is on all screens. */
function zoomedAbout(state, point, factor) {
  const zoom = clamp(state.zoom * factor, ...ZOOMS);
  const centre = point.map((mm, axis) => mm + ((state.centre[axis] - mm) * state.zoom) / zoom);
  return { zoom, centre };
}

/* Black and white level of a preset. */
function windowOf(image, preset) {
  const [low, high] = image.window;
  const margin = (high - low) / 5;
  return { standard: image.window, "full range": image.range, "high contrast": [low + margin, high - margin] }[preset];
}

/* The window of the next preset; presets that are the same count once. */
function nextWindow(image, window) {
  const windows = WINDOWS.map((preset) => windowOf(image, preset));
  const last = windows.findLastIndex((known) => known.join() === window.join());
  return [...windows[(last + 1) % windows.length]];
}

/* The preset that a window is, or null. */
function presetOf(image, [low, high]) {
  return WINDOWS.find((preset) => windowOf(image, preset).join() === [low, high].join()) ?? null;
}

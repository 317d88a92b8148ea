/* The controls around the planes, all of them plain inputs: they bring keyboard and names along. Each maker returns
   {element, sync(state)}; what a user does goes to `change`. */

const OVERLAYS = { contour: "contour", fill: "fill", off: "off" };
const MASKS = { prediction: "prediction", reference: "reference", side: "side by side", agreement: "agreement" };
const HELP = [
  ["Drag, arrow keys", "move the crosshair; with Shift ten voxels a key"],
  ["Wheel, Page Up, Page Down", "next slice"],
  ["Ctrl + wheel, pinch, + and −", "zoom"],
  ["Shift + drag, two fingers", "move the picture"],
  ["Right drag", "window: across its width, up and down its level"],
  ["Double click, 0", "everything back"],
  ["1 to 9", "image"],
  ["O", "contour, fill, off"],
  ["C", "next comparison"],
  ["U", "map over the image"],
  ["W", "next window"],
  ["X", "crosshair on and off"],
  ["?", "this help"],
];

/* An element; what is no property of it becomes an attribute. */
function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in element) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

function group(title, ...children) {
  return make("fieldset", { className: "viewer-group" }, make("legend", {}, title), ...children);
}

/* One of several: `options` are pairs of value and title, `read` finds the value in a state. */
function choice(title, options, read, choose) {
  choice.count = (choice.count ?? 0) + 1;
  const name = `viewer-choice-${choice.count}`;
  const inputs = options.map(([value]) => make("input", { type: "radio", name, onchange: () => choose(value) }));
  const labels = options.map(([, words], n) => make("label", {}, inputs[n], make("span", {}, words)));
  return {
    element: group(title, make("div", { className: "viewer-choice" }, ...labels)),
    sync: (state) =>
      options.forEach(([value], n) => {
        inputs[n].checked = read(state) === value;
      }),
  };
}

/* Image, overlay, masks, map: each only where there is something to choose. */
function choicesOf(payload, change) {
  const set = (name) => (value) => change({ [name]: value });
  const titled = (list) => list.map((one) => [one.name, one.title]);
  const masks = masksOf(payload);
  const found = [];
  if (payload.images.length > 1) found.push(choice("Image", titled(payload.images), (s) => s.image, set("image")));
  if (masks.length > 1)
    found.push(
      choice(
        "Masks",
        masks.map((name) => [name, MASKS[name]]),
        (s) => s.masks,
        set("masks"),
      ),
    );
  if (masks.length) found.push(choice("Overlay", Object.entries(OVERLAYS), (s) => s.overlay, set("overlay")));
  if (payload.maps.length) {
    found.push(choice("Map", [[null, "no map"], ...titled(payload.maps)], (s) => s.map, set("map")));
  }
  return found;
}

/* Zoom, back to the beginning, help: `actions` are {zoom(factor), reset(), help()}. */
function buttonsOf(actions) {
  const button = (words, label, onclick) =>
    make("button", { type: "button", ariaLabel: label, title: label, onclick }, words);
  const buttons = make(
    "div",
    { className: "viewer-buttons" },
    button("−", "Zoom out", () => actions.zoom(1 / 1.25)),
    button("+", "Zoom in", () => actions.zoom(1.25)),
    button("Reset", "Reset position, zoom and window", actions.reset),
    button("?", "Keys and gestures", actions.help),
  );
  return { element: group("View", buttons), sync: () => {} };
}

/* Which tissues are shown: colour and pattern beside each name. */
function tissuesOf(payload, change) {
  const boxes = payload.tissues.map(({ name }) =>
    make("input", { type: "checkbox", onchange: () => change(chosen()) }),
  );
  const chosen = () => ({ tissues: payload.tissues.filter((_, n) => boxes[n].checked).map(({ name }) => name) });
  const labels = payload.tissues.map(({ title, colour }, n) =>
    make("label", { className: "viewer-key" }, boxes[n], swatch(colour, patternOf(n)), make("bdi", {}, title)),
  );
  const element = group("Tissues", make("div", { className: "viewer-keys" }, ...labels));
  return {
    element,
    sync: (state) =>
      payload.tissues.forEach(({ name }, n) => {
        boxes[n].checked = state.tissues.includes(name);
      }),
  };
}

/* What the colours of a comparison mean. */
function agreementKey() {
  const keys = AGREEMENT.map(({ title, colour, pattern }) =>
    make("span", { className: "viewer-key" }, swatch(colour, pattern), title),
  );
  const element = group("Agreement on the tissues ticked", make("div", { className: "viewer-keys" }, ...keys));
  return {
    element,
    sync: (state) => {
      element.hidden = state.masks !== "agreement" || state.overlay === "off";
    },
  };
}

/* A small square as it is drawn in `fill`. */
function swatch(colour, pattern) {
  const side = 18;
  const canvas = make("canvas", { className: "viewer-swatch", width: 2 * side, height: 2 * side, ariaHidden: "true" });
  const context = canvas.getContext("2d");
  context.fillStyle = "#1b1f23";
  context.fillRect(0, 0, 2 * side, 2 * side);
  for (const style of [faint(colour, pattern === "plain" ? 0.7 : 0.45), makePattern(context, pattern, colour, 2)]) {
    context.fillStyle = style;
    context.fillRect(0, 0, 2 * side, 2 * side);
  }
  context.strokeStyle = colour;
  context.lineWidth = 5;
  context.strokeRect(0, 0, 2 * side, 2 * side);
  return canvas;
}

/* The colours of the map, with the values at both ends. */
function mapKey(payload) {
  const canvas = make("canvas", { className: "viewer-ramp", width: 256, height: 1, ariaHidden: "true" });
  const context = canvas.getContext("2d");
  for (let n = 0; n < 256; n += 1) {
    context.fillStyle = `rgb(${mapColour(n / 255).join(" ")})`;
    context.fillRect(n, 0, 1, 1);
  }
  const [low, high, title] = [make("span"), make("span"), make("legend")];
  const ramp = make("div", { className: "viewer-scale" }, low, canvas, high);
  const element = make("fieldset", { className: "viewer-group" }, title, ramp);
  return {
    element,
    sync: (state) => {
      const map = mapOf(payload, state);
      element.hidden = map === null;
      if (!map) return;
      title.textContent = map.title;
      [low.textContent, high.textContent] = map.range.map(numberWords);
    },
  };
}

/* Level and width of the window, and its presets. */
function windowsOf(payload, change) {
  let current;
  const image = () => imageOf(payload, current);
  const presets = choice(
    "Window",
    WINDOWS.map((name) => [name, name]),
    (s) => presetOf(imageOf(payload, s), s.window),
    (name) => change({ window: [...windowOf(image(), name)] }),
  );
  const slider = (words, oninput) => {
    const input = make("input", { type: "range", min: 0, max: 1000, step: 1, oninput });
    const value = make("span");
    return {
      input,
      value,
      element: make("label", { className: "viewer-slider" }, make("span", {}, words), input, value),
    };
  };
  const read = () => {
    const [low, high] = image().range;
    const middle = low + (level.input.value / 1000) * (high - low);
    const half = (Math.max(1, width.input.value) / 2000) * (high - low);
    change({ window: [middle - half, middle + half] });
  };
  const level = slider("Level", read);
  const width = slider("Width", read);
  presets.element.append(level.element, width.element);
  return {
    element: presets.element,
    sync: (state) => {
      current = state;
      presets.sync(state);
      const [low, high] = image().range;
      const [black, white] = state.window;
      showSlider(level, (black + white) / 2, ((black + white) / 2 - low) / (high - low));
      showSlider(width, white - black, (white - black) / (high - low));
    },
  };
}

function showSlider(slider, value, share) {
  /* A slider that the user holds says itself where it is. */
  if (document.activeElement !== slider.input) slider.input.value = 1000 * share;
  slider.value.textContent = numberWords(value);
  slider.input.setAttribute("aria-valuetext", numberWords(value));
}

function helpDialog() {
  const rows = HELP.map(([keys, what]) => make("div", {}, make("dt", {}, keys), make("dd", {}, what)));
  const close = make("button", { type: "button" }, "Close");
  const title = make("p", { className: "viewer-title" }, "Keys and gestures");
  const dialog = make(
    "dialog",
    { className: "viewer-help", ariaLabel: "Keys and gestures" },
    title,
    make("dl", {}, ...rows),
    close,
  );
  close.onclick = () => dialog.close();
  return dialog;
}

/* One plane onto one canvas. A scene is what to show: {view, at, image, layers, map, crosshair}; see sceneOf.
   A layer is an area by its contour: {volume, inside, colour, fill, pattern, line, dash}. */

const PAINT = { letter: "#8cc4f5", cross: "#8cc4f5", bar: "#f2f4f6", halo: "#000000", gap: 9, edge: 13 };
const BARS = [50, 20, 10, 5, 2, 1];

function paintScreen(screen, scene, grid) {
  const { canvas, plane } = screen;
  const context = canvas.getContext("2d");
  const ratio = canvas.width / screen.size[0];
  const place = placeOf(plane, grid, scene.view, screen.size);
  const cut = { plane, grid, place, ratio, index: scene.at[plane.across], kept: screen.kept };
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.fillStyle = "#000";
  context.fillRect(0, 0, ...screen.size);
  paintBytes(context, cut, scene.image);
  if (scene.map) paintBytes(context, cut, scene.map);
  for (const layer of scene.layers[screen.side]) paintLayer(context, cut, layer);
  if (scene.crosshair) paintCrosshair(context, cut, scene.at, screen.size);
  paintLetters(context, planeLetters(plane, grid), screen.size);
  if (grid.unit === "mm") paintBar(context, place.scale, screen.size);
}

/* The voxels of a slice are kept until another is shown. */
function keptSlice(cut, volume) {
  const known = cut.kept.get(volume);
  if (known?.index === cut.index) return known;
  const made = { index: cut.index, slice: sliceOf(volume, cut.grid.shape, cut.plane, cut.index), paths: new Map() };
  cut.kept.set(volume, made);
  return made;
}

function paintBytes(context, cut, { volume, table }) {
  const kept = keptSlice(cut, volume);
  const [width, height] = [cut.grid.shape[cut.plane.columns], cut.grid.shape[cut.plane.rows]];
  if (kept.table !== table) {
    kept.picture = pictureOf(kept.slice, width, height, table);
    kept.table = table;
  }
  context.imageSmoothingEnabled = true;
  context.imageSmoothingQuality = "high";
  context.drawImage(kept.picture, cut.place.left, cut.place.top, cut.place.width, cut.place.height);
}

function paintLayer(context, cut, layer) {
  const kept = keptSlice(cut, layer.volume);
  if (!kept.paths.has(layer.inside)) {
    const [width, height] = [cut.grid.shape[cut.plane.columns], cut.grid.shape[cut.plane.rows]];
    kept.paths.set(layer.inside, contourOf(kept.slice, width, height, layer.inside));
  }
  const { left, top, across, down } = cut.place;
  const path = new Path2D();
  path.addPath(kept.paths.get(layer.inside), new DOMMatrix([across, 0, 0, down, left, top]));
  context.fillStyle = faint(layer.colour, layer.fill);
  context.fill(path, "evenodd");
  if (layer.pattern) {
    const pattern = makePattern(context, layer.pattern, layer.colour, cut.ratio);
    pattern.setTransform(new DOMMatrix([1 / cut.ratio, 0, 0, 1 / cut.ratio, 0, 0]));
    context.fillStyle = pattern;
    context.fill(path, "evenodd");
  }
  if (!layer.line) return;
  context.setLineDash(layer.dash ?? []);
  context.lineWidth = layer.line;
  context.lineJoin = "round";
  context.strokeStyle = layer.colour;
  context.stroke(path);
  context.setLineDash([]);
}

/* Two lines through the voxel, open around it so that it stays visible; they leave the letters' edge free. */
function paintCrosshair(context, cut, at, [width, height]) {
  const [x, y] = cut.place.at(at[cut.plane.columns], at[cut.plane.rows]);
  context.save();
  context.beginPath();
  context.rect(EDGE, EDGE, width - 2 * EDGE, height - 2 * EDGE);
  context.clip();
  context.beginPath();
  for (const [x0, y0, x1, y1] of [
    [0, y, x - PAINT.gap, y],
    [x + PAINT.gap, y, width, y],
    [x, 0, x, y - PAINT.gap],
    [x, y + PAINT.gap, x, height],
  ]) {
    if (x1 <= x0 && y1 <= y0) continue;
    context.moveTo(x0, y0);
    context.lineTo(x1, y1);
  }
  context.lineWidth = 1;
  context.strokeStyle = faint(PAINT.cross, 0.75);
  context.stroke();
  context.restore();
}

function paintLetters(context, letters, [width, height]) {
  if (!letters) return;
  context.font = "600 13px system-ui, sans-serif";
  paintWords(context, letters.left, PAINT.edge, height / 2);
  paintWords(context, letters.right, width - PAINT.edge, height / 2);
  paintWords(context, letters.top, width / 2, PAINT.edge);
  paintWords(context, letters.bottom, width / 2, height - PAINT.edge);
}

/* The longest round length that ends before the letter in the middle. */
function paintBar(context, scale, [width, height]) {
  const room = width / 2 - 34;
  const length = BARS.find((mm) => mm * scale <= room);
  if (length === undefined) return;
  const [x, y] = [10, height - PAINT.edge + 4];
  for (const [style, line] of [
    [PAINT.halo, 4],
    [PAINT.bar, 2],
  ]) {
    context.strokeStyle = style;
    context.lineWidth = line;
    context.beginPath();
    context.moveTo(x, y);
    context.lineTo(x + length * scale, y);
    context.stroke();
  }
  context.font = "12px system-ui, sans-serif";
  paintWords(context, `${length} mm`, x, y - 10, { colour: PAINT.bar, align: "left" });
}

function paintWords(context, words, x, y, { colour = PAINT.letter, align = "center" } = {}) {
  context.textAlign = align;
  context.textBaseline = "middle";
  context.lineWidth = 3;
  context.lineJoin = "round";
  context.strokeStyle = PAINT.halo;
  context.strokeText(words, x, y);
  context.fillStyle = colour;
  context.fillText(words, x, y);
}

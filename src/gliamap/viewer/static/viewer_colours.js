/* Colours and patterns. Every area has both, so that no eye needs the colour alone. */

const AGREEMENT = [
  { name: "both", title: "both", colour: "#b197fc", pattern: "plain" },
  { name: "prediction", title: "only prediction", colour: "#ffb000", pattern: "rising" },
  { name: "reference", title: "only reference", colour: "#4fd2ff", pattern: "dots" },
];

/* From nothing over violet and orange to pale yellow: the brightness rises all the way. */
const MAP_COLOURS = ["#000000", "#3b0f70", "#8c2981", "#de4968", "#fe9f6d", "#fcfdbf"];

const PATTERN_TILE = 8; /* CSS pixels; all patterns repeat after that many */

const PATTERNS = {
  plain: [],
  rising: [[0, 8, 8, 0]],
  falling: [[0, 0, 8, 8]],
  level: [[0, 4, 8, 4]],
  dots: [[3.9, 4, 4.1, 4]],
  upright: [[4, 0, 4, 8]],
  crossed: [
    [0, 8, 8, 0],
    [0, 0, 8, 8],
  ],
  grid: [
    [0, 4, 8, 4],
    [4, 0, 4, 8],
  ],
};

/* The pattern of the n-th tissue. */
function patternOf(n) {
  const names = Object.keys(PATTERNS).slice(1);
  return names[n % names.length];
}

/* A repeating pattern of that colour; `ratio` device pixels are one CSS pixel. */
function makePattern(context, name, colour, ratio) {
  const side = Math.round(PATTERN_TILE * ratio);
  const tile = new OffscreenCanvas(side, side);
  const ink = tile.getContext("2d");
  ink.scale(side / PATTERN_TILE, side / PATTERN_TILE);
  ink.strokeStyle = colour;
  ink.lineWidth = name === "dots" ? 2.6 : 1.3;
  ink.lineCap = name === "dots" ? "round" : "square";
  for (const [x0, y0, x1, y1] of PATTERNS[name]) {
    /* Diagonals need their neighbours' corners as well. */
    const shifts = x0 !== x1 && y0 !== y1 ? [-PATTERN_TILE, 0, PATTERN_TILE] : [0];
    for (const shift of shifts) {
      ink.beginPath();
      ink.moveTo(x0 + shift, y0);
      ink.lineTo(x1 + shift, y1);
      ink.stroke();
    }
  }
  return context.createPattern(tile, "repeat");
}

/* `#rrggbb` as three numbers. */
function rgbOf(colour) {
  return [1, 3, 5].map((from) => parseInt(colour.slice(from, from + 2), 16));
}

/* `#rrggbb` with an opacity. */
function faint(colour, opacity) {
  return `rgb(${rgbOf(colour).join(" ")} / ${opacity})`;
}

/* RGBA of each byte of an image, black at `low` and white at `high`, both in native intensities. */
function greyTable([low, high], range) {
  return tableOf((share) => {
    const native = range[0] + share * (range[1] - range[0]);
    const grey = 255 * clamp((native - low) / Math.max(high - low, 1e-9), 0, 1);
    return [grey, grey, grey, 255];
  });
}

/* RGBA of each byte of a map: the larger the value, the brighter and the less transparent. */
function mapTable() {
  return tableOf((share) => [...mapColour(share), 255 * Math.min(0.8, 2 * share)]);
}

/* The colour of a share 0..1 of a map's range. */
function mapColour(share) {
  const place = share * (MAP_COLOURS.length - 1);
  const below = Math.min(Math.floor(place), MAP_COLOURS.length - 2);
  const [from, to] = [rgbOf(MAP_COLOURS[below]), rgbOf(MAP_COLOURS[below + 1])];
  return from.map((value, n) => value + (place - below) * (to[n] - value));
}

function tableOf(colour) {
  const bytes = new Uint8ClampedArray(256 * 4);
  for (let value = 0; value < 256; value += 1) bytes.set(colour(value / 255), 4 * value);
  return new Uint32Array(bytes.buffer);
}

/* A slice as a small picture, one pixel a voxel. */
function pictureOf(slice, width, height, table) {
  const data = new ImageData(width, height);
  const pixels = new Uint32Array(data.data.buffer);
  for (let n = 0; n < slice.length; n += 1) pixels[n] = table[slice[n]];
  const picture = new OffscreenCanvas(width, height);
  picture.getContext("2d").putImageData(data, 0, 0);
  return picture;
}

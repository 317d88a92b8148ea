// Where the 3D view is seen from. Axes are RAS+ in mm: x to the patient's right, y to the front, z up.
//
// A view is {azimuth, elevation, zoom}, in radians: azimuth 0 looks from the front, 90 degrees from the patient's left;
// elevation 90 degrees looks from above. Up on the screen is up in the patient, so that nobody loses their bearings.

const SURFACE_LENS = 0.46; // half of the angle of sight
const SURFACE_ZOOM = [0.6, 8];

// How one looks at each side of the head: its letter, in words, and the view.
const SURFACE_SIDES = [
  { letter: "R", words: "the right", azimuth: -Math.PI / 2, elevation: 0 },
  { letter: "L", words: "the left", azimuth: Math.PI / 2, elevation: 0 },
  { letter: "A", words: "the front", azimuth: 0, elevation: 0 },
  { letter: "P", words: "behind", azimuth: Math.PI, elevation: 0 },
  { letter: "S", words: "above", azimuth: Math.PI, elevation: Math.PI / 2 }, // nose up, as a surgeon stands
  { letter: "I", words: "below", azimuth: 0, elevation: -Math.PI / 2 }, // nose up, as axial slices are shown
];

// The three directions of the screen in the patient: to its right, up, and towards the eye.
function surfaceScreen({ azimuth, elevation }) {
  const [s, c, t, d] = [Math.sin(azimuth), Math.cos(azimuth), Math.sin(elevation), Math.cos(elevation)];
  return { right: [-c, -s, 0], up: [s * t, -c * t, d], eye: [-s * d, c * d, t] };
}

function surfaceDot(a, b) {
  return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

// From a view of a scene {centre, focus, radius} on a stage of so many pixels: the matrix (columns first) from mm to
// clip space, the eye's place, and project([x, y, z]) -> [x, y] in pixels. The nearer, the more the focus (the tumour)
// comes into the middle.
function surfaceCamera(view, scene, [width, height]) {
  const { right, up, eye } = surfaceScreen(view);
  const near = 1 - 1 / Math.max(1, view.zoom);
  const target = scene.centre.map((v, i) => v + near * (scene.focus[i] - v));
  const distance = scene.radius / Math.sin(SURFACE_LENS);
  const place = target.map((v, i) => v + distance * eye[i]);
  const lens = view.zoom / Math.tan(SURFACE_LENS);
  const [sx, sy] = [lens * Math.min(1, height / width), lens * Math.min(1, width / height)];
  const reach = 2 * scene.radius;
  const [first, last] = [Math.max(distance - reach, 0.05 * distance), distance + reach];
  const [deep, shift] = [(first + last) / (first - last), (2 * first * last) / (first - last)];
  const row = (axis, scale) => [...axis.map((v) => v * scale), -scale * surfaceDot(axis, place)];
  const [x, y, z] = [row(right, sx), row(up, sy), row(eye, 1)];
  const matrix = new Float32Array([0, 1, 2, 3].flatMap((i) => [x[i], y[i], deep * z[i] + (i === 3 ? shift : 0), -z[i]]));
  const project = (at) => {
    const [a, b, w] = [x, y, z].map((r) => surfaceDot(r, at) + r[3]);
    return [(0.5 - (0.5 * a) / w) * width, (0.5 + (0.5 * b) / w) * height];
  };
  return { matrix, place, project };
}

// "the front, the left and above": the sides that the eye sees, the nearest first.
function surfaceWords(view) {
  const { eye } = surfaceScreen(view);
  const seen = SURFACE_SIDES.map((side) => ({ words: side.words, share: surfaceDot(surfaceScreen(side).eye, eye) }))
    .filter(({ share }) => share > 0.3)
    .sort((a, b) => b.share - a.share)
    .map(({ words }) => words);
  return seen.length > 1 ? `${seen.slice(0, -1).join(", ")} and ${seen.at(-1)}` : seen.join("");
}

/* The three planes: which way up, how large, and the voxels of a slice.

   The payload's axes run to the patient's right, front and head. A picture's columns and rows run the other way along
   theirs, so that the patient's right is on the left, the nose up (axial) or left (sagittal), the head up. */

const PLANES = [
  { name: "axial", title: "Axial", across: 2, columns: 0, rows: 1 },
  { name: "coronal", title: "Coronal", across: 1, columns: 0, rows: 2 },
  { name: "sagittal", title: "Sagittal", across: 0, columns: 1, rows: 2 },
];

/* All three. A grid of one slice has the slice across its last axis, and which plane that is, its letters tell. */
function planesOf(grid) {
  if (!grid.two_d) return PLANES;
  const title = { S: "Axial", A: "Coronal", R: "Sagittal" }[grid.letters[2]?.[1]] ?? "Image";
  return [{ ...PLANES[0], title }];
}

/* Width and height of a plane's picture in mm (pixels for an image). */
function planeSize(plane, grid) {
  return [plane.columns, plane.rows].map((axis) => grid.shape[axis] * grid.spacing[axis]);
}

/* The letters at the left, right, top and bottom edge, or null where the grid knows none. */
function planeLetters(plane, grid) {
  if (grid.letters.length !== 3) return null;
  const [right, left] = grid.letters[plane.columns];
  const [bottom, top] = grid.letters[plane.rows];
  return { left, right, top, bottom };
}

/* The bytes of one slice, a row of the picture after the other. */
function sliceOf(volume, shape, plane, index) {
  const strides = [1, shape[0], shape[0] * shape[1]];
  const [width, height] = [shape[plane.columns], shape[plane.rows]];
  const [step, jump] = [strides[plane.columns], strides[plane.rows]];
  const out = new Uint8Array(width * height);
  let to = 0;
  for (let row = height - 1; row >= 0; row -= 1) {
    let from = index * strides[plane.across] + row * jump + (width - 1) * step;
    for (let column = 0; column < width; column += 1, from -= step, to += 1) out[to] = volume[from];
  }
  return out;
}

/* Where the picture of a plane lies on a screen of that width and height (CSS pixels). `point` and `voxel` turn a place
   on the screen into voxel coordinates along the picture's two axes and back; voxel centres are whole numbers. */
function placeOf(plane, grid, view, [width, height]) {
  const scale = view.fit * view.zoom;
  const { columns, rows } = plane;
  const [across, down] = [grid.spacing[columns] * scale, grid.spacing[rows] * scale];
  const at = (u, v) => [
    width / 2 - (u * across - view.centre[columns] * scale),
    height / 2 - (v * down - view.centre[rows] * scale),
  ];
  const [left, top] = at(grid.shape[columns] - 0.5, grid.shape[rows] - 0.5);
  return {
    left,
    top,
    width: grid.shape[columns] * across,
    height: grid.shape[rows] * down,
    across,
    down,
    scale,
    at,
    voxel: (x, y) => [
      (view.centre[columns] * scale + width / 2 - x) / across,
      (view.centre[rows] * scale + height / 2 - y) / down,
    ],
  };
}

/* The point in the middle of the grid, mm from the centre of its first voxel. */
function middleOf(grid) {
  return grid.shape.map((count, axis) => ((count - 1) * grid.spacing[axis]) / 2);
}

function inGrid(grid, at) {
  return at.every((index, axis) => index > -0.5 && index < grid.shape[axis] - 0.5);
}

function clamp(value, low, high) {
  return Math.min(Math.max(value, low), high);
}

/* What the viewer says of places and values. */

const SIDES = ["LR", "PA", "IS"];

/* Where a voxel lies in the patient, such as ["L 12.5", "A 3.0", "S 20.5"], in mm; true on oblique grids as well. */
function patientWords(grid, [i, j, k]) {
  return grid.affine.map(([x, y, z, origin], axis) => {
    const mm = x * i + y * j + z * k + origin;
    return `${SIDES[axis][mm < 0 ? 0 : 1]} ${Math.abs(mm).toFixed(1)}`;
  });
}

/* A voxel for readers: its place in the patient, or column and row of an image in pixels. */
function voxelWords(grid, at) {
  if (grid.unit === "mm") return `${patientWords(grid, at).join(", ")} mm`;
  const [column, row] = [PLANES[0].columns, PLANES[0].rows].map((axis) => grid.numbers[axis][at[axis]]);
  return `column ${column}, row ${row}`;
}

/* Which slice of a volume a plane shows: its number in the file, and where the crosshair lies in it. */
function sliceWords(plane, grid, at) {
  return `slice ${grid.numbers[plane.across][at[plane.across]]} · ${patientWords(grid, at)[plane.across]} mm`;
}

/* The value that a byte stands for, with as many digits as 256 steps can tell. */
function valueWords(byte, range) {
  return numberWords(range[0] + (byte / 255) * (range[1] - range[0]));
}

function numberWords(value) {
  return String(Number(value.toPrecision(3)));
}

/* What lies at a voxel, as pairs of name and words. */
function readingOf(payload, state, volumes, at) {
  const { grid } = payload;
  const here = at[0] + grid.shape[0] * (at[1] + grid.shape[1] * at[2]);
  const image = imageOf(payload, state);
  const map = mapOf(payload, state);
  const tissue = (blob) => payload.tissues.find(({ value }) => value === volumes.get(blob)?.[here])?.title ?? "none";
  const pairs = [["Position", voxelWords(grid, at)]];
  pairs.push([image.title, volumes.has(image.blob) ? valueWords(volumes.get(image.blob)[here], image.range) : "…"]);
  if (payload.labels && state.masks !== "reference")
    pairs.push([payload.reference ? "Prediction" : "Tissue", tissue(payload.labels)]);
  if (payload.reference && state.masks !== "prediction")
    pairs.push([payload.labels ? "Reference" : "Tissue", tissue(payload.reference)]);
  if (map && volumes.has(map.blob)) pairs.push([map.title, valueWords(volumes.get(map.blob)[here], map.range)]);
  return pairs;
}

/* Contours of a mask, as paths that stay sharp at every zoom.

   The edges between voxels inside and outside are followed, the inside on the right hand; voxels that touch at a corner
   only stay apart. The middles of those edges are the corners of marching squares at one half, and guide a smooth curve:
   two tissues that touch share it. */

const STEPS = [
  [1, 0],
  [0, 1],
  [-1, 0],
  [0, -1],
]; /* right, down, left, up */

/* The closed path around all voxels of a slice whose value has a 1 in `inside`; its unit is the voxel. */
function contourOf(slice, width, height, inside) {
  const edges = edgesOf(slice, width, height, inside);
  const path = new Path2D();
  for (let corner = 0; corner < edges.length; corner += 1) {
    while (edges[corner]) addCurve(path, follow(edges, corner, width + 1));
  }
  return path;
}

/* For each corner of the voxels: a bit for each edge that leaves it, by the directions of STEPS. */
function edgesOf(slice, width, height, inside) {
  const edges = new Uint8Array((width + 1) * (height + 1));
  const is = (x, y) => x >= 0 && y >= 0 && x < width && y < height && inside[slice[y * width + x]] === 1;
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) {
      if (inside[slice[y * width + x]] !== 1) continue;
      const corner = y * (width + 1) + x;
      if (!is(x, y - 1)) edges[corner] |= 1;
      if (!is(x + 1, y)) edges[corner + 1] |= 2;
      if (!is(x, y + 1)) edges[corner + width + 2] |= 4;
      if (!is(x - 1, y)) edges[corner + width + 1] |= 8;
    }
  }
  return edges;
}

/* Takes one closed chain of edges away and returns their middles. */
function follow(edges, start, columns) {
  const first = 31 - Math.clz32(edges[start]);
  const middles = [];
  let corner = start;
  let heading = first;
  do {
    const [dx, dy] = STEPS[heading];
    middles.push([(corner % columns) + dx / 2, Math.floor(corner / columns) + dy / 2]);
    if (middles.length > 1) edges[corner] &= ~(1 << heading);
    corner += dx + dy * columns;
    heading = [heading + 1, heading, heading + 3].map((turn) => turn % 4).find((turn) => edges[corner] & (1 << turn));
  } while (corner !== start || heading !== first);
  edges[start] &= ~(1 << first);
  return middles;
}

/* A closed quadratic spline with these points as its guides. */
function addCurve(path, points) {
  const between = (a, b) => [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2];
  path.moveTo(...between(points[points.length - 1], points[0]));
  points.forEach((point, n) => path.quadraticCurveTo(...point, ...between(point, points[(n + 1) % points.length])));
  path.closePath();
}

/* How large the planes are. All have the same scale, so that a millimetre is as long in each of them. */

const EDGE = 26; /* CSS pixels around a picture, for letters and the bar */
const GAP = 12;
const PANEL = 300;

/* A layout for a container of that width, on a window that is so tall (CSS pixels).

   `kind`: `row`, all planes beside each other; `square`, two by two with the panel in the free corner; `single`, one
   plane at a time, with tabs where there are more; `beside`, one picture with the panel at its right. Two `sides`
   compare masks in columns or rows of their own. `fit`: CSS pixels per mm at zoom 1. `columns`: for the style sheet.
   `placeOf(plane, side)`: row, column and size of that screen. */
function layoutOf(grid, sides, width, tall) {
  const sizes = planesOf(grid).map((plane) => planeSize(plane, grid));
  const kind = kindOf(sizes.length, width);
  const rows = rowsOf(kind, sizes.length, sides);
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => sizes[row[column]?.[0]]?.[0] ?? 0)));
  const heights = rows.map((row) => Math.max(...row.map((cell) => (cell ? sizes[cell[0]][1] : 0))));
  const tallest = Math.max(...heights);
  if (kind === "single") heights.fill(tallest);
  const free = width - (kind === "beside" ? PANEL + GAP : 0) - widths.length * 2 * EDGE - (widths.length - 1) * GAP;
  const needed = widths.reduce((sum, mm) => sum + mm, 0);
  const fit = Math.max(0.05, Math.min(free / needed, (Math.max(320, 0.62 * tall) - 2 * EDGE) / tallest));
  const spare = kind === "beside" ? 0 : Math.max(0, free - needed * fit) / widths.length;
  const across = widths.map((mm) => Math.floor(mm * fit + 2 * EDGE + spare));
  const down = heights.map((mm) => Math.round(mm * fit + 2 * EDGE));
  return {
    kind,
    fit,
    columns: [...across.map((px) => `${px}px`), ...(kind === "beside" ? ["minmax(0, 1fr)"] : [])].join(" "),
    placeOf: (plane, side) => {
      const is = (cell) => cell?.[0] === plane && cell[1] === side;
      const row = rows.findIndex((cells) => cells.some(is));
      const column = rows[row].findIndex(is);
      return { row: row + 1, column: column + 1, size: [across[column], down[row]] };
    },
  };
}

function kindOf(planes, width) {
  if (planes === 1) return width >= 700 ? "beside" : "single";
  if (width < 560) return "single";
  return width >= 1000 ? "row" : "square";
}

/* Which plane and side stands where; null is the panel's place. */
function rowsOf(kind, planes, sides) {
  const count = (n) => Array.from({ length: n }, (_, i) => i);
  if (kind === "row") return count(sides).map((side) => count(planes).map((plane) => [plane, side]));
  if (kind === "square" && sides === 1)
    return [
      [[0, 0], null],
      [
        [1, 0],
        [2, 0],
      ],
    ];
  if (kind === "single") return count(planes).flatMap((plane) => count(sides).map((side) => [[plane, side]]));
  return count(planes).map((plane) => count(sides).map((side) => [plane, side]));
}

// What is drawn flat over the 3D view: which way the patient looks, and where the crosshair of the slices is.

const SURFACE_GIZMO = { reach: 24, knob: 8.5, inset: 38 }; // pixels, from the lower left corner

// The six letters as knobs of a small ball: {side, at: [x, y], depth}, the farthest first. `letters` as in the payload.
function surfaceKnobs(letters, view, height) {
  const { right, up, eye } = surfaceScreen(view);
  const known = new Set(letters.flat());
  const { reach, inset } = SURFACE_GIZMO;
  return SURFACE_SIDES.filter(({ letter }) => known.has(letter))
    .map((side) => {
      const towards = surfaceScreen(side).eye;
      const at = [inset + reach * surfaceDot(towards, right), height - inset - reach * surfaceDot(towards, up)];
      return { side, at, depth: surfaceDot(towards, eye) };
    })
    .sort((a, b) => a.depth - b.depth);
}

// The side whose knob lies at [x, y], if any.
function surfaceSideAt(letters, view, height, [x, y]) {
  const hit = ({ at }) => Math.hypot(at[0] - x, at[1] - y) <= SURFACE_GIZMO.knob + 2;
  return surfaceKnobs(letters, view, height).filter(hit).at(-1)?.side;
}

function surfaceDrawGizmo(pen, letters, view, height) {
  const middle = [SURFACE_GIZMO.inset, height - SURFACE_GIZMO.inset];
  pen.font = "600 11px system-ui, sans-serif";
  pen.textAlign = "center";
  pen.textBaseline = "middle";
  for (const { side, at, depth } of surfaceKnobs(letters, view, height)) {
    const light = Math.round(42 + 14 * depth); // what is behind is darker, and hidden by what is in front
    pen.strokeStyle = pen.fillStyle = `hsl(209 ${light}% ${light + 10}%)`;
    pen.lineWidth = 1.5;
    pen.beginPath();
    pen.moveTo(...middle);
    pen.lineTo(...at);
    pen.stroke();
    pen.beginPath();
    pen.arc(...at, SURFACE_GIZMO.knob, 0, 2 * Math.PI);
    pen.fill();
    pen.fillStyle = "#0c1116";
    pen.fillText(side.letter, at[0], at[1] + 0.5);
  }
}

// Three lines through [x, y, z] in mm as long as the scene, dashed, and a cross where they meet.
function surfaceDrawCross(pen, place, scene, project) {
  for (const axis of [0, 1, 2]) {
    const line = (from, to, dashes, width, alpha) => {
      const ends = [from, to].map((v) => project(place.map((p, i) => (i === axis ? v : p))));
      pen.globalAlpha = alpha;
      pen.lineWidth = width;
      pen.setLineDash(dashes);
      pen.beginPath();
      pen.moveTo(...ends[0]);
      pen.lineTo(...ends[1]);
      pen.stroke();
    };
    pen.strokeStyle = "#ffffff";
    line(scene.lower[axis], scene.upper[axis], [3, 4], 1, 0.45);
    line(place[axis] - 0.05 * scene.radius, place[axis] + 0.05 * scene.radius, [], 2, 1);
  }
  pen.setLineDash([]);
  pen.globalAlpha = 1;
}

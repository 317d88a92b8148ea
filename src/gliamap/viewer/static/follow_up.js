// A viewer for every visit. Those whose scans lie on one voxel grid move together.

// The voxel of the viewer `to` that lies where voxel `at` of `from` does: both are cut out of one grid.
function carried(at, from, to) {
  return at.map((index, axis) => {
    const shared = from.start[axis] + (index + 0.5) * from.steps[axis];
    const own = Math.floor((shared - to.start[axis]) / to.steps[axis]);
    return Math.min(Math.max(own, 0), to.shape[axis] - 1);
  });
}

const visits = readPayload("follow-up").visits.map((visit) => {
  const payload = readPayload(visit.name);
  return { ...visit, payload, shape: payload.grid.shape };
});
for (const visit of visits) {
  const first = visits.find((other) => other.space === visit.space);
  visit.payload.start = carried(first.payload.start, first, visit); // they begin at the same place
  const place = document.getElementById(`${visit.name}-view`);
  visit.viewer = createViewer(place, visit.payload, blobsInPage(visit.name));
}

let leading = null; // the visit that the reader moves; the others only follow
for (const visit of visits) {
  const others = visits.filter((other) => other !== visit && other.space === visit.space);
  visit.viewer.onMove((at) => {
    if (leading) return;
    leading = visit;
    for (const other of others) other.viewer.moveTo(carried(at, visit, other));
    leading = null;
  });
}

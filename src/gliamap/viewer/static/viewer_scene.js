/* From the state to what is painted: which volumes, which layers over them. */

const LINE = 1.6;
const DASH = [5, 3];
const AGREED = { both: 1, prediction: 2, reference: 3 };

/* Which comparisons the payload can show. */
function masksOf(payload) {
  const found = [];
  if (payload.labels) found.push("prediction");
  if (payload.reference) found.push("reference");
  return found.length === 2 ? [...found, "side", "agreement"] : found;
}

/* What stands in the first and second column of a comparison. */
function sidesOf(state) {
  return state.masks === "side" ? ["prediction", "reference"] : [state.masks];
}

/* Names of the blobs that a state needs. */
function blobsOf(payload, state) {
  const names = [imageOf(payload, state).blob];
  const map = mapOf(payload, state);
  if (map) names.push(map.blob);
  if (state.masks && state.masks !== "reference") names.push(payload.labels);
  if (state.masks && state.masks !== "prediction") names.push(payload.reference);
  return names;
}

function imageOf(payload, state) {
  return payload.images.find((image) => image.name === state.image);
}

function mapOf(payload, state) {
  return payload.maps.find((map) => map.name === state.map) ?? null;
}

/* A maker of scenes; what did not change is the same object again, so that painters can keep what they made of it. */
function sceneMaker(payload, volumes) {
  const grey = remember(greyTable);
  const colours = mapTable();
  const inside = {};
  const only = (...values) => {
    const key = values.join();
    inside[key] ??= Uint8Array.from({ length: 256 }, (_, value) => (values.includes(value) ? 1 : 0));
    return inside[key];
  };
  const agreement = remember((tissues) => {
    const values = payload.tissues.filter((tissue) => tissues.includes(tissue.name)).map((tissue) => tissue.value);
    return agreementOf(volumes.get(payload.labels), volumes.get(payload.reference), only(...values));
  });

  const tissueLayers = (state, volume) =>
    payload.tissues.flatMap((tissue, n) => {
      if (!state.tissues.includes(tissue.name)) return [];
      const look = state.overlay === "fill" ? { fill: 0.35, pattern: patternOf(n) } : { fill: 0.14 };
      return [{ volume, inside: only(tissue.value), colour: tissue.colour, line: LINE, ...look }];
    });
  const agreementLayers = (state) => {
    const volume = agreement(state.tissues);
    const filled = state.overlay === "fill";
    const areas = AGREEMENT.map(({ name, colour, pattern }) => ({
      volume,
      inside: only(AGREED[name]),
      colour,
      fill: filled ? 0.35 : 0.2,
      pattern: filled && pattern !== "plain" ? pattern : null,
    }));
    const [, prediction, reference] = AGREEMENT;
    return [
      ...areas,
      { volume, inside: only(AGREED.both, AGREED.prediction), colour: prediction.colour, fill: 0, line: LINE },
      {
        volume,
        inside: only(AGREED.both, AGREED.reference),
        colour: reference.colour,
        fill: 0,
        line: LINE,
        dash: DASH,
      },
    ];
  };
  const layersOf = (state, side) => {
    if (state.overlay === "off" || !side) return [];
    if (side === "agreement") return agreementLayers(state);
    return tissueLayers(state, volumes.get(side === "prediction" ? payload.labels : payload.reference));
  };

  return (state, view) => {
    const image = imageOf(payload, state);
    const map = mapOf(payload, state);
    return {
      at: state.at,
      view,
      crosshair: state.crosshair,
      image: { volume: volumes.get(image.blob), table: grey(state.window, image.range) },
      map: map && { volume: volumes.get(map.blob), table: colours },
      layers: sidesOf(state).map((side) => layersOf(state, side)),
    };
  };
}

/* 1 where both masks hold a wanted tissue, 2 where only the prediction does, 3 where only the reference does. */
function agreementOf(labels, reference, wanted) {
  const out = new Uint8Array(labels.length);
  for (let n = 0; n < out.length; n += 1) {
    const found = wanted[labels[n]];
    out[n] = wanted[reference[n]] ? (found ? AGREED.both : AGREED.reference) : found ? AGREED.prediction : 0;
  }
  return out;
}

/* The function, which gives its last answer again while it is asked the same. */
function remember(make) {
  let [asked, answer] = [null, null];
  return (...questions) => {
    const key = JSON.stringify(questions);
    if (key !== asked) [asked, answer] = [key, make(...questions)];
    return answer;
  };
}

// What things are called on the page.

import { commonName } from "./app_files.js";

export const STATES = {
  new: "New", queued: "Waiting", running: "Running", done: "Done", failed: "Failed", cancelled: "Cancelled",
  interrupted: "Interrupted",
};

export const STAGES = { read: "Reading the scans", network: "Looking for tumour", write: "Writing mask and report" };

const MODALITIES = { t1: "T1", t1c: "T1 post-contrast", t2: "T2", flair: "FLAIR" };

export const modality = (one) => MODALITIES[one] ?? one;

/** The case's own title, else what its files are called, as long as that is known, else its number. */
export function title(one) {
  return one.title || commonName(one.files.map((file) => file.name).filter(Boolean)) || `Case ${one.id.slice(0, 4)}`;
}

/** Size and voxels of a file: "240 × 240 × 155, 1 × 1 × 1 mm". */
export function grid({ shape, spacing, unit }) {
  const sizes = shape.join(" × ");
  return unit === "px" ? `${sizes} pixels` : `${sizes}, ${spacing.map((step) => Number(step.toFixed(2))).join(" × ")} mm`;
}

/** What a model is for, in a sentence or two. */
export function meant(model) {
  const scans = model.dims === 2 ? "For images, one slice each" : "For volumes";
  const heads = model.foreground === "brain" ? "of skull-stripped brains" : "of whole heads";
  return `${scans}, ${heads}; finds ${model.regions.join(", ")}.`
    + (model.phantom_only ? " Trained on drawn phantoms only: to try the app, not for real scans." : "");
}

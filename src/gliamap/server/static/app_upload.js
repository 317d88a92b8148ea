// Files on their way to a case, one after the other.

import * as api from "./app_api.js";
import { bytes } from "./app_dom.js";

const NO_USE_TO_GO_ON = [0, 401, 404]; // nobody answers, signed out, the case was deleted

/** Which files are worth sending; why not, of those that plainly are not. Other kinds in a folder are passed over. */
export function unsent(files, { kinds, limits }) {
  const readable = ({ path }) => kinds.some((kind) => path.toLowerCase().endsWith(kind));
  const wanted = files.filter(readable);
  const refused = files.filter((one) => !readable(one) && !one.path.includes("/"))
    .map(({ path }) => ({ path, why: `Not a kind of file that gliamap reads (${kinds.join(", ")}).` }));
  if (!wanted.length) {
    const which = files.length === 1 ? "This is no scan" : "There is no scan among these";
    throw new Error(`${which} that gliamap reads. Expected: ${kinds.join(", ")}. To do: convert DICOM to NIfTI first, for example with dcm2niix.`);
  }
  if (wanted.length > limits.files) throw new Error(`These are ${wanted.length} scans; a case has at most ${limits.files}. Choose the folder of one case.`);
  const small = wanted.filter(({ file, path }) => {
    if (file.size > limits.file_bytes) refused.push({ path, why: `${bytes(file.size)}, and at most ${bytes(limits.file_bytes)} are taken.` });
    return file.size <= limits.file_bytes;
  });
  return { wanted: small, refused };
}

/** Sends the files; `told(upload, state)` hears how it goes and the case after each file. */
export async function send(id, { wanted, refused }, told) {
  const line = new AbortController();
  const total = wanted.reduce((sum, { file }) => sum + file.size, 0);
  const upload = { done: false, stage: "", now: "", sent: 0, total, refused, stop: () => line.abort() };
  let before = 0;
  for (const one of wanted) {
    upload.now = one.path;
    upload.stage = `${one.path} ${upload.refused.length}`;
    told(upload, null);
    try {
      const state = await api.upload(id, one, {
        told(sent) {
          upload.sent = before + sent;
          told(upload, null);
        },
        stop: line.signal,
      });
      told(upload, state);
    } catch (error) {
      if (line.signal.aborted) break;
      upload.refused = [...upload.refused, { path: one.path, why: error.message }];
      if (NO_USE_TO_GO_ON.includes(error.status)) break;
    }
    before += one.file.size;
    upload.sent = before;
  }
  upload.done = true;
  upload.stage = `done ${upload.refused.length}`;
  told(upload, null);
}

// The page's beginning: which case is shown, what is done with it, and what the server says.

import * as api from "./app_api.js";
import { forgetCase, showCase } from "./app_case.js";
import { askDelete, askPlace, askTitle } from "./app_dialogs.js";
import { byId, name, trouble } from "./app_dom.js";
import { chosen, dropped } from "./app_files.js";
import { showList } from "./app_list.js";
import { send, unsent } from "./app_upload.js";
import { title } from "./app_words.js";

const around = { models: [], info: null, act: {}, again: null }; // again: the id of a case whose result makes room for its form
const uploads = new Map(); // by the case's id
const asked = new Set(); // what the server has not answered yet, so that a second click asks nothing
const deleted = new Set(); // ids, which an answer that was on its way may still tell of
let cases = null; // not known yet
let aim = null; // the case to which chosen files are added; null: a new one

// What is on the page.

const shownId = () => /^#\/case\/(\w+)$/.exec(location.hash)?.[1] ?? null;

function show() {
  if (!cases) return;
  const id = shownId();
  const one = cases.find((other) => other.id === id);
  const busy = new Set([...uploads].filter(([, upload]) => !upload.done).map(([other]) => other));
  showList(cases, id, busy);
  byId("new").hidden = Boolean(one);
  byId("case").hidden = !one;
  if (one) showCase(one, { ...around, upload: uploads.get(id) });
  else forgetCase();
  document.title = `${one ? `${title(one)} · ` : ""}gliamap`;
  document.documentElement.dataset.ready = "";
}

/** What changed, newest first; an answer may have told more of a case than what comes over the line now. */
function hear(changed, gone = []) {
  for (const id of gone) deleted.add(id);
  for (const one of changed.toReversed()) {
    const place = cases.findIndex((other) => other.id === one.id);
    if (place < 0) cases = [one, ...cases];
    else if (cases[place].version <= one.version) cases = cases.with(place, one);
  }
  cases = cases.filter(({ id }) => !deleted.has(id));
  show();
}

/** All cases, at the beginning of a line: what changes from now on comes over it. */
function hearAll(list) {
  cases = list;
  show();
}

/** Does it, and says what went wrong if it did; true where nothing did. Not while the same `key` is being done. */
async function attempt(work, key = null) {
  if (asked.has(key)) return false;
  if (key) asked.add(key);
  trouble("");
  try {
    const one = await work();
    if (one?.id) hear([one]);
    return true;
  } catch (error) {
    trouble(error.message);
    forgetCase(); // a field may show what the server did not take
    show();
    return false;
  } finally {
    asked.delete(key);
  }
}

// What is done with a case.

Object.assign(around.act, {
  change: (one, wishes) => attempt(() => api.change(one.id, wishes)),
  start(one) {
    around.again = null;
    return attempt(() => api.start(one.id), `start ${one.id}`);
  },
  again(one) {
    around.again = around.again ? null : one.id;
    show();
  },
  cancel(one, button) {
    button.textContent = "Cancelling…"; // answered when the work has ended
    return attempt(() => api.cancel(one.id), `cancel ${one.id}`);
  },
  removeFile: (one, file) => attempt(() => api.removeFile(one.id, file.number)),
  async rename(one) {
    const words = await askTitle(one.title, around.info.limits.title);
    if (words !== null) await attempt(() => api.change(one.id, { title: words }));
  },
  async remove(one) {
    if (!(await askDelete(title(one)))) return;
    uploads.get(one.id)?.stop?.();
    const gone = await attempt(() => api.remove(one.id), `remove ${one.id}`);
    if (gone) {
      location.hash = "#/";
      hear([], [one.id]);
    }
  },
  choose(kind, one = null) {
    aim = one;
    byId(kind).click();
  },
  async chooseRoot(one = null) {
    const place = await askPlace(around.info.roots);
    if (!place) return;
    await attempt(async () => takeFrom(await target(one), place));
  },
});

/** The id of the case that files go to: `one`, else a new case, which is shown from now on. */
async function target(one) {
  if (one) return one.id;
  const made = await api.create();
  hear([made]);
  location.hash = `#/case/${made.id}`;
  return made.id;
}

async function takeFrom(id, { root, path }) {
  const copying = { done: false, stage: "copying", now: path || around.info.roots[root], sent: 0, total: 0, refused: [] };
  uploads.set(id, copying);
  show();
  try {
    return await api.takeFrom(id, root, path);
  } finally {
    uploads.delete(id);
    show();
  }
}

async function take(files, one) {
  const { wanted, refused } = unsent(files, around.info);
  const id = await target(one);
  await send(id, { wanted, refused }, (upload, state) => {
    uploads.set(id, upload);
    if (state) hear([state]);
    else show();
  });
}

/** Files that are dropped go to the case on the page where it still takes some. */
function open() {
  const one = cases?.find((other) => other.id === shownId());
  return one && !["queued", "running", "done"].includes(one.state) && uploads.get(one.id)?.done !== false ? one : null;
}

// What the user does.

for (const kind of ["files", "folder"]) {
  byId(`choose-${kind}`).addEventListener("click", () => around.act.choose(kind));
  byId(kind).addEventListener("change", ({ target: field }) => {
    attempt(async () => {
      const files = chosen(field.files);
      field.value = "";
      if (files.length) await take(files, aim);
    });
  });
}
byId("choose-root").addEventListener("click", () => around.act.chooseRoot());
byId("sign-out").addEventListener("click", async () => {
  if (await attempt(api.logout)) location.reload();
});
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault(); // the address tells which case is shown
  byId("main").focus();
});
byId("find").addEventListener("input", show);
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  if (!cases || byId("ask").open || !event.dataTransfer.types.includes("Files")) return;
  const one = open();
  byId("over").replaceChildren("Drop: ", ...(one ? ["added to ", name(title(one))] : ["a new case"]));
  document.body.classList.add("over");
});
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) document.body.classList.remove("over");
});
document.addEventListener("drop", (event) => {
  event.preventDefault();
  if (!document.body.classList.contains("over")) return;
  document.body.classList.remove("over");
  const files = dropped(event.dataTransfer);
  attempt(async () => take(await files, open()));
});
addEventListener("beforeunload", (event) => {
  if ([...uploads.values()].some((upload) => !upload.done && upload.stop)) event.preventDefault();
});
addEventListener("hashchange", () => {
  trouble("");
  around.again = null;
  show();
  byId(shownId() ? "case-title" : "new-title")?.focus();
});

// What the server says.

async function learn() {
  [around.info, around.models] = await Promise.all([api.info(), api.models()]);
  byId("choose-root").hidden = !around.info.roots.length;
}

async function begin() {
  try {
    await learn();
  } catch (error) {
    trouble(error.message);
    setTimeout(begin, 2000);
    return;
  }
  trouble("");
  let broken = false;
  api.watch(hearAll, hear, (error) => {
    if (error || broken) trouble(error?.message ?? "");
    if (!error && broken) learn().then(forgetCase).then(show, () => {}); // a server that began anew may have other models
    broken = Boolean(error);
  });
}

begin();

// What was recognised of a case, to be corrected by hand, and what is wished of the model.

import { byId, bytes, el, name, sentences } from "./app_dom.js";
import { grid, meant, modality } from "./app_words.js";

const OPTIONS = [
  ["uncertainty", "Map of uncertainty", "Where the model doubts, shown over the scans."],
  ["flips", "Average over flips", "A little better, and about eight times as long (images: four times)."],
  ["force", "Allow a kind of scan that the model does not know", "Whole heads for a model of skull-stripped brains, and the reverse. Look twice."],
];

/** The parts of the form. */
export function drawForm(one, around) {
  const { upload } = around;
  const model = around.models.find((other) => other.name === one.model);
  return [
    ended(one),
    upload?.refused.length ? refused(upload) : null,
    upload && !upload.done ? sending(upload) : null,
    one.files.length
      ? el("ul", { class: "files", "aria-label": "Files" }, one.files.map((file) => row(one, file, model, around)))
      : upload?.done !== false && el("p", {}, "Nothing here yet."),
    !upload || upload.done ? el("p", { class: "actions more" }, adders(around, one)) : null,
    problems(one),
    one.files.length ? wishes(one, model, around) : null,
    el("p", { class: "actions go" }, el("button", {
      type: "button", id: "start", class: "main", disabled: !one.ready || upload?.done === false, onclick: () => around.act.start(one),
    }, one.state === "new" ? "Start" : "Start again")),
  ].filter(Boolean);
}

function adders({ act, info }, one) {
  return [
    el("button", { type: "button", id: "add-files", class: "small", onclick: () => act.choose("files", one) }, "Add files…"),
    info.roots.length > 0
      && el("button", { type: "button", id: "add-root", class: "small", onclick: () => act.chooseRoot(one) }, "Add from the server…"),
  ];
}

function sending({ now, sent, total, stop }) {
  return el("div", { class: "work" },
    el("p", { class: "words" }, el("b", { id: "sending" }, "Taking in ", name(now))),
    el("progress", { id: "sent", max: 1, value: total ? sent / total : null, "aria-labelledby": "sending" }),
    stop && el("p", { class: "actions" }, el("button", { type: "button", id: "stop", class: "small", onclick: stop }, "Stop")));
}

function refused({ refused: list }) {
  return el("div", { class: "box fail", role: "alert" },
    el("p", {}, list.length === 1 ? "One file was not taken:" : `${list.length} files were not taken:`),
    el("ul", {}, list.map(({ path, why }) => el("li", {}, el("b", {}, name(path)), ": ", why))));
}

function row(one, file, model, { info, act }) {
  const called = file.name?.split("/").pop() ?? `File ${file.number}`;
  const id = `modality-${file.number}`;
  const known = [...new Set([...info.modalities, ...(model?.modalities ?? []), ...(file.modality ? [file.modality] : [])])];
  const doubts = { unknown: "What is it? Its name does not tell.", "mask-name": "Looks like a mask: not used." }[file.told_by];
  return el("li", {},
    el("span", { class: "name" }, name(called)),
    el("span", { class: "facts" }, `${grid(file.grid)} · ${bytes(file.bytes)}`, !file.modality && doubts && ` · ${doubts}`),
    el("span", { class: "side" },
      el("select", {
        id, "aria-label": `What ${called} is`,
        onchange: (event) => act.change(one, { modalities: { [file.number]: event.target.value || null } }),
      },
      el("option", { value: "", selected: !file.modality }, "not used"),
      known.map((kind) => el("option", { value: kind, selected: kind === file.modality }, modality(kind)))),
      el("button", {
        type: "button", id: `remove-${file.number}`, class: "small", "aria-label": `Remove ${called}`, title: "Remove this file",
        onclick: () => act.removeFile(one, file),
      }, "✕")));
}

function problems({ files, problems: list }) {
  if (!files.length || !list.length) return null;
  const blocking = list.some((problem) => problem.blocking);
  return el("div", { class: `box ${blocking ? "fail" : "warn"}` }, el("ul", { id: "problems" }, list.map(({ text }) => el("li", {}, text))));
}

function wishes(one, model, { models, info, act }) {
  const given = new Set(one.files.map((file) => file.modality));
  const need = (kind) => {
    const may = model.may_be_missing.includes(kind);
    return given.has(kind)
      ? el("li", {}, `✓ ${modality(kind)}`)
      : el("li", { class: "missing" }, `${modality(kind)} ${may ? "missing (may be)" : "missing"}`);
  };
  return el("div", { class: "wishes" },
    el("label", { for: "model" }, "Model"),
    el("select", { id: "model", "aria-describedby": "model-meant", onchange: (event) => act.change(one, { model: event.target.value || null }) },
      (info.choosing || !model) && el("option", { value: "", selected: !model, disabled: !info.choosing }, info.choosing ? "the one that fits" : "choose one"),
      models.map((other) => el("option", { value: other.name, selected: other.name === one.model }, other.name))),
    el("p", { id: "model-meant", class: "quiet" }, model ? meant(model) : info.choosing ? "Chosen by what the scans show. The report says which, and why." : "None of the models fits these scans by itself."),
    model && el("ul", { class: "needs", "aria-label": "What the model sees" }, model.modalities.map(need)),
    el("details", { open: byId("options")?.open || gridsDiffer(one), id: "options" },
      el("summary", {}, "Options"),
      OPTIONS.map((option) => check(one, option, act)),
      resample(one, act)));
}

const gridsDiffer = (one) => one.problems.some(({ code }) => code === "grids-differ");

function check(one, [key, words, more], act) {
  return el("div", { class: "option" },
    el("input", {
      type: "checkbox", id: key, checked: one.options[key], "aria-describedby": `${key}-more`,
      onchange: (event) => act.change(one, { options: { [key]: event.target.checked } }),
    }),
    el("label", { for: key }, words),
    el("span", { id: `${key}-more` }, more));
}

function resample(one, act) {
  const kinds = one.files.map((file) => file.modality).filter(Boolean);
  if (kinds.length < 2 || one.files.some((file) => file.grid.unit === "px")) return null;
  const now = one.options.resample_to;
  return el("p", {},
    el("label", { for: "resample" }, "Files on different grids"),
    el("select", { id: "resample", onchange: (event) => act.change(one, { options: { resample_to: event.target.value || null } }) },
      el("option", { value: "", selected: !now }, "are refused"),
      kinds.map((kind) => el("option", { value: kind, selected: kind === now }, `are brought onto that of ${modality(kind)}, unregistered`))));
}

const ENDED = {
  cancelled: "Cancelled. Start again when you like.",
  interrupted: "gliamap was stopped while this case waited or ran. Start it again.",
  done: "This case is done. Its result stays until you start it again.",
};

/** How the last job ended. */
function ended(one) {
  if (one.state === "failed" && one.error) return el("div", { class: "box fail" }, el("p", {}, sentences(one.error)));
  return ENDED[one.state] ? el("div", { class: "box warn" }, el("p", {}, ENDED[one.state])) : null;
}

// One case on the page: what was recognised, how far it is, what came out.

import * as api from "./app_api.js";
import { byId, el, name, say, span } from "./app_dom.js";
import { drawForm } from "./app_form.js";
import { STAGES, STATES, title } from "./app_words.js";

let drawn = "";
let told = "";

/** Forgets what was drawn, so that the next call of `showCase` draws anew. */
export function forgetCase() {
  drawn = "";
}

/** Draws a case; what stands there already stays, with the focus in it, and only a progress moves on. */
export function showCase(one, around) {
  const { job, version, ...lasting } = one;
  const key = JSON.stringify([lasting, around.upload?.stage ?? null, around.again]);
  const section = byId("case");
  if (key !== drawn) {
    const focused = section.contains(document.activeElement) ? document.activeElement.id : "";
    section.classList.toggle("looks", looks(one, around));
    section.replaceChildren(head(one, around), ...body(one, around));
    if (focused) (byId(focused) ?? byId("case-title")).focus();
    drawn = key;
  }
  if (byId("work")) move(one);
  if (around.upload) moveUpload(around.upload);
  tell(one);
}

function body(one, around) {
  if (one.state === "queued" || one.state === "running") return work(one, around);
  return looks(one, around) ? look(one) : drawForm(one, around);
}

/** Whether the result is shown, not the form from which it may be made again. */
const looks = (one, around) => one.state === "done" && around.again !== one.id;

function head(one, around) {
  const { act } = around;
  const save = (kind, words) => one.result?.files.includes(kind)
    && el("a", { class: "button small", href: `${api.result(one.id, kind)}?download=1`, download: true },
      el("span", { class: "unseen" }, "Save "), words, el("span", { "aria-hidden": "true" }, " ↓"));
  return el("div", { class: "head" },
    el("div", {},
      el("a", { class: "back", href: "#/" }, "‹ All cases"),
      el("h1", { id: "case-title", tabindex: "-1" }, name(title(one)), " ", badge(one))),
    el("p", { class: "actions" },
      save("mask", "Mask"), save("report", "Report"), save("numbers", "Numbers"),
      one.state === "done" && one.result.files.includes("report") && el("a", {
        class: "button small", href: api.result(one.id, "report"), target: "_blank", rel: "noopener",
      }, "Open in a tab"),
      one.state === "done" && el("button", { type: "button", id: "again", class: "small", onclick: () => act.again(one) },
        looks(one, around) ? "Settings…" : "Back to the result"),
      !one.job && el("button", { type: "button", id: "rename", class: "small", onclick: () => act.rename(one) }, "Title…"),
      el("button", { type: "button", id: "delete", class: "small danger", onclick: () => act.remove(one) }, "Delete…")));
}

function badge(one) {
  return el("span", { class: `badge ${one.state}` }, STATES[one.state]);
}

function look(one) {
  const files = one.result.files;
  if (files.includes("report")) {
    return [el("iframe", { title: "Report of this case", sandbox: "allow-scripts", src: api.result(one.id, "report") })];
  }
  return [files.includes("picture") && el("img", { class: "picture", alt: "Slices with the tumour outlined", src: api.result(one.id, "picture") })];
}

function work(one, { act }) {
  return [el("div", { class: "work", id: "work" },
    el("p", { class: "words" }, el("b", { id: "stage" }), el("span", { id: "left" })),
    el("progress", { id: "share", max: 1, value: 0, "aria-labelledby": "stage" }),
    el("ol", { class: "stages" }, Object.entries(STAGES).map(([stage, words]) => el("li", { "data-stage": stage }, words))),
    el("p", { class: "actions" },
      el("button", { type: "button", id: "cancel", onclick: (event) => act.cancel(one, event.target) }, "Cancel"))),
  el("p", { class: "quiet" }, "You may close this page: the work goes on, and the case stays in the list.")];
}

function stageWords({ state, job }) {
  if (state === "queued") return job?.position ? `Waits; ${job.position} before it` : "Waits; next in line";
  return STAGES[job?.stage] ?? (job?.stage === "end" ? "Nearly done" : "Starting");
}

function move(one) {
  const { state, job } = one;
  byId("stage").textContent = stageWords(one);
  const left = job?.seconds_left ?? null;
  const share = job?.share ?? 0;
  byId("share").value = share;
  byId("left").textContent = state === "running" && share > 0
    ? `${Math.floor(100 * share)} %${left === null || share === 1 ? "" : `, about ${span(left)} left`}`
    : "";
  const names = Object.keys(STAGES);
  const now = job?.stage === "end" ? names.length : names.indexOf(job?.stage);
  byId("work").querySelectorAll("[data-stage]").forEach((item, place) => {
    item.classList.toggle("past", place < now);
    item.toggleAttribute("aria-current", place === now);
    if (place === now) item.setAttribute("aria-current", "step");
  });
}

function moveUpload({ sent, total }) {
  const bar = byId("sent");
  if (bar && total) bar.value = sent / total;
}

/** Changes are said once each to those who hear the page; not each percent. */
function tell(one) {
  const words = `${title(one)}: ${one.job ? stageWords(one) : STATES[one.state]}`;
  if (told && told !== words && told.startsWith(`${title(one)}:`)) say(words);
  told = words;
}

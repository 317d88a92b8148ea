// The list of cases at the side.

import { byId, el, moment, name } from "./app_dom.js";
import { STATES, title } from "./app_words.js";

const FEW = 12; // so many are found by looking
const drawn = new Map(); // by the case's id: its line and what that says

/** Draws the list; `shown` is the id of the case on the page, `uploading` holds ids. Only what changed is touched. */
export function showList(cases, shown, uploading) {
  byId("find").hidden = cases.length <= FEW;
  const wanted = byId("find").hidden ? "" : byId("find").value.trim().toLowerCase();
  const items = cases.map((one) => {
    const state = uploading.has(one.id) ? "uploading" : one.state;
    const says = [title(one), state, more(one), one.id === shown];
    const item = line(one, says);
    item.hidden = !`${says[0]} ${word(state)} ${says[2]}`.toLowerCase().includes(wanted);
    return item;
  });
  order(items);
  for (const id of drawn.size > cases.length ? [...drawn.keys()] : []) {
    if (!cases.some((one) => one.id === id)) drawn.delete(id);
  }
  byId("no-cases").hidden = cases.length > 0;
  byId("none-found").hidden = !cases.length || items.some((item) => !item.hidden);
}

/** The lines in this order, with the focus where it was. */
function order(items) {
  const list = byId("cases");
  if (items.length === list.children.length && items.every((item, place) => item === list.children[place])) return;
  const focused = list.contains(document.activeElement) ? document.activeElement.id : "";
  list.replaceChildren(...items);
  if (focused) byId(focused)?.focus();
}

function line(one, says) {
  const key = JSON.stringify(says);
  const known = drawn.get(one.id);
  if (known?.key === key) return known.item;
  const item = known?.item ?? el("li", {}, el("a", { id: `case-${one.id}`, href: `#/case/${one.id}` },
    el("span", { class: "name" }), el("span"), el("span", { class: "when" })));
  fill(item.firstChild, one, says);
  drawn.set(one.id, { item, key });
  return item;
}

function fill(link, one, [called, state, words, here]) {
  const [label, badge, when] = link.children;
  label.replaceChildren(name(called));
  badge.className = `badge ${state}`;
  badge.textContent = word(state);
  when.textContent = [moment(one.created), words].filter(Boolean).join(" · ");
  if (here) link.setAttribute("aria-current", "page");
  else link.removeAttribute("aria-current");
}

const word = (state) => STATES[state] ?? "Uploading";

function more(one) {
  if (one.state === "running") return `${Math.floor(100 * (one.job?.share ?? 0))} %`;
  const count = one.result?.warnings.length ?? 0;
  return count ? `${count} warning${count === 1 ? "" : "s"}` : "";
}

// Questions that the page asks before it goes on. Each answers with a promise; Escape means no.

import * as api from "./app_api.js";
import { byId, bytes, el, name } from "./app_dom.js";

/** Shows the dialog; `cancel` and Escape answer null, `answer(value)` the value. */
function open(fill) {
  const dialog = byId("ask");
  return new Promise((done) => {
    let value = null;
    const answer = (given) => {
      value = given;
      dialog.close();
    };
    dialog.replaceChildren(...fill(answer));
    dialog.onclose = () => done(value);
    dialog.showModal();
  });
}

function buttons(answer, ...last) {
  return el("p", { class: "actions" }, el("button", { type: "button", onclick: () => answer(null) }, "Cancel"), last);
}

/** Whether the case called `title` is to be deleted. */
export function askDelete(title) {
  return open((answer) => [
    el("h2", { id: "ask-title" }, "Delete ", name(title), "?"),
    el("p", {}, "Its scans here, its mask and its report are removed for good. Files elsewhere stay as they are."),
    buttons(answer, el("button", { type: "button", class: "danger", onclick: () => answer(true) }, "Delete")),
  ]);
}

/** Another title of at most `longest` letters, or null. */
export function askTitle(title, longest) {
  return open((answer) => {
    const field = el("input", { type: "text", id: "title", value: title, maxlength: longest, autocomplete: "off", autofocus: true });
    return [
      el("h2", { id: "ask-title" }, "Title of the case"),
      el("form", { method: "dialog", onsubmit: (event) => { event.preventDefault(); answer(field.value.trim()); } },
        el("label", { for: "title" }, "A title is kept on this computer's disk. Better not a patient's name."),
        field,
        buttons(answer, el("button", { type: "submit", class: "main" }, "Save"))),
    ];
  });
}

/** A folder or file under one of the `roots` as {root, path}, or null. */
export function askPlace(roots) {
  return open((answer) => {
    const list = el("div");
    const use = el("button", { type: "button", class: "main", hidden: true });
    const step = (words, root, path) => el("li", {}, el("button", { type: "button", onclick: () => go(root, path) }, words));
    const top = () => {
      use.hidden = true;
      list.replaceChildren(el("ul", { class: "folders" }, roots.map((words, root) => step(name(words), root, ""))));
    };
    async function go(root, path) {
      let seen;
      try {
        seen = await api.browse(root, path);
      } catch (error) {
        list.querySelector(".problem")?.remove();
        list.prepend(el("p", { class: "problem", role: "alert" }, error.message));
        return;
      }
      const below = (one) => (path ? `${path}/${one.name}` : one.name);
      const up = () => (path ? go(root, path.split("/").slice(0, -1).join("/")) : top());
      list.replaceChildren(
        el("p", {}, name([roots[root], ...path.split("/").filter(Boolean)].join(" / "))),
        el("ul", { class: "folders" },
          (path || roots.length > 1) && el("li", {}, el("button", { type: "button", onclick: up }, "‹ up")),
          seen.folders.map((one) => step([name(one.name), " ›"], root, below(one))),
          seen.files.map((one) => el("li", {}, el("button", { type: "button", onclick: () => answer({ root, path: below(one) }) },
            name(one.name), " ", el("span", { class: "quiet" }, bytes(one.bytes))))),
          seen.more && el("li", {}, "… and more than fit here"),
          !seen.files.length && el("li", {}, "No scans in this folder.")),
      );
      use.hidden = !seen.files.length;
      use.textContent = `Use this folder (${seen.files.length})`;
      use.onclick = () => answer({ root, path });
      list.querySelector("button")?.focus();
    }
    if (roots.length === 1) go(0, "");
    else top();
    return [el("h2", { id: "ask-title" }, "Folder on the server"), list, buttons(answer, use)];
  });
}

// What the server is asked. A refusal becomes an Error whose message can be shown as it is.

import { sentences } from "./app_dom.js";

const LOCKED = "This browser is not signed in any more. Open the newest link in the terminal of gliamap serve.";
const LOCKED_BY_PASSWORD = "This browser is not signed in any more. Reload this page and give the password.";
const GONE = "gliamap does not answer. Is gliamap serve still running in its terminal? This page tries again by itself.";
const SILENCE = 40_000; // ms without a beat of the server, which has one each 15 s: the line is broken
const PATIENCE = 10_000;
const BROKEN = "Its upload broke off, or the browser could not read it. To do: add it again.";

let byPassword = false;

export class Refused extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

async function ask(method, path, body, signal) {
  let answer;
  try {
    answer = await fetch(path, {
      method,
      headers: body === undefined ? {} : { "Content-Type": "application/json" },
      body: body === undefined ? undefined : JSON.stringify(body),
      signal,
    });
  } catch {
    throw new Refused(GONE, 0);
  }
  if (!answer.ok) throw refusal(answer.status, await answer.text());
  return answer.status === 204 ? null : answer.json();
}

function refusal(status, text) {
  if (status === 401) return new Refused(byPassword ? LOCKED_BY_PASSWORD : LOCKED, status);
  try {
    return new Refused(sentences(JSON.parse(text).error), status);
  } catch {
    return new Refused(`The server refused (${status}).`, status);
  }
}

const at = (id, rest = "") => `/api/cases/${encodeURIComponent(id)}${rest}`;

export async function info() {
  const told = await ask("GET", "/api/info");
  byPassword = told.password;
  return told;
}
const list = async () => (await ask("GET", "/api/cases", undefined, AbortSignal.timeout(PATIENCE))).cases;
export const models = async () => (await ask("GET", "/api/models")).models;
export const logout = () => ask("POST", "/api/logout");
export const create = () => ask("POST", "/api/cases", {});
export const change = (id, wishes) => ask("PATCH", at(id), wishes);
export const start = (id) => ask("POST", at(id, "/start"));
export const cancel = (id) => ask("POST", at(id, "/cancel"));
export const remove = (id) => ask("DELETE", at(id));
export const removeFile = (id, number) => ask("DELETE", at(id, `/files/${number}`));
export const browse = (root, path) => ask("GET", `/api/browse?root=${root}&path=${encodeURIComponent(path)}`);
export const takeFrom = (id, root, path) => ask("POST", at(id, "/from"), { root, path });
export const result = (id, kind) => at(id, `/${kind}`);

/**
 * Sends a file's own bytes, from the disk as they are asked for, and answers the case; `told` hears how many have gone,
 * and the signal `stop` ends it. Not fetch: that does not say how far an upload is.
 */
export function upload(id, { file, path }, { told, stop }) {
  return new Promise((done, failed) => {
    const request = new XMLHttpRequest();
    request.open("POST", at(id, "/files"));
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.setRequestHeader("X-File-Name", encodeURIComponent(path));
    request.upload.onprogress = (event) => told(event.loaded);
    request.onload = () => (request.status < 300 ? done(JSON.parse(request.responseText)) : failed(refusal(request.status, request.responseText)));
    request.onerror = () => info().then(() => failed(new Refused(BROKEN, 0)), failed); // why is not told, as below
    request.onabort = () => failed(new Refused("Stopped.", 0));
    stop.addEventListener("abort", () => request.abort());
    request.send(file);
  });
}

/**
 * Hears all cases at once, then the changed ones and the ids of those that are gone; `lost` hears what is wrong with the
 * line, or null. Not while the page is hidden: a browser has few lines to one server.
 */
export function watch(heardAll, heardChanges, lost) {
  let source = null;
  let waiting = null; // for the next sign of life, or to begin anew
  const close = () => {
    clearTimeout(waiting);
    source?.close();
    source = null;
  };
  const open = () => {
    close();
    const line = new EventSource("/api/events");
    source = line;
    const alive = () => {
      clearTimeout(waiting);
      waiting = setTimeout(line.onerror, SILENCE);
    };
    const hear = (name, told) => line.addEventListener(name, (event) => {
      alive();
      lost(null);
      told(JSON.parse(event.data));
    });
    hear("cases", ({ cases }) => heardAll(cases));
    hear("changes", ({ cases, gone }) => heardChanges(cases, gone));
    hear("beat", () => {});
    line.onerror = async () => { // why is not told, so a plain question finds out; too many windows are no reason to see nothing
      clearTimeout(waiting);
      line.close();
      const [cases, error] = await list().then((all) => [all, null], (why) => [null, why]);
      if (source !== line) return;
      lost(error);
      if (cases) heardAll(cases);
      waiting = setTimeout(open, 2000);
    };
    alive();
  };
  const turn = () => (document.hidden ? close() : open());
  document.addEventListener("visibilitychange", turn);
  addEventListener("online", turn);
  turn();
}

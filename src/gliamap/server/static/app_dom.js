// Elements, and the words in which numbers are shown. Whatever comes from outside becomes text, never markup.

/** `el("p", {class: "quiet"}, "words", child)`: an attribute or child that is null or false is left out. */
export function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== null && value !== undefined && value !== false) made.setAttribute(name, value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

export const byId = (id) => document.getElementById(id);

/** Says it to those who hear the page. */
export function say(words) {
  byId("said").textContent = words;
}

/** Shows a trouble above the case until the next one or an empty word. */
export function trouble(words) {
  if (byId("trouble").textContent === words) return; // said once
  byId("trouble").textContent = words;
  byId("trouble").hidden = !words;
}

/** A name from outside in its own writing direction; what cannot be printed, or turns the direction, is not shown. */
export function name(words) {
  return el("bdi", {}, words.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, "�").slice(0, 300));
}

export function bytes(count) {
  const step = [[1e9, "GB"], [1e6, "MB"], [1e3, "kB"]].find(([size]) => count >= size);
  return step ? `${(count / step[0]).toFixed(count >= 10 * step[0] ? 0 : 1)}\u00a0${step[1]}` : `${count} bytes`;
}

/** How long, as one says it: "8 s", "2 min", "1 h 20 min". */
export function span(seconds) {
  if (seconds < 90) return `${Math.max(1, Math.round(seconds))} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

const DAY = new Intl.DateTimeFormat([], { day: "numeric", month: "short", year: "numeric" });
const TIME = new Intl.DateTimeFormat([], { hour: "2-digit", minute: "2-digit" });

/** The day and time of day of a moment; only the time of day where it is today. */
export function moment(iso) {
  const date = new Date(iso);
  const today = date.toDateString() === new Date().toDateString();
  return `${today ? "today" : DAY.format(date)}, ${TIME.format(date)}`;
}

/** An error of the server in one paragraph: what was wrong, what was found and expected, what to do. */
export function sentences(error) {
  return [
    [error.what, ""], [error.found, "Found: "], [error.expected, "Expected: "], [error.remedy, "To do: "],
  ].filter(([words]) => words).map(([words, title]) => `${title}${title ? words : words[0].toUpperCase() + words.slice(1)}`.replace(/\.?$/, ".")).join(" ");
}

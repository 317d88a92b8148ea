// Sorts and filters the table of cases. It reads what the table shows; nothing else is known to it.

const body = document.querySelector("#cases tbody");
const worstFirst = [...body.rows];
const [words, warning, figure, low, high, shown] = ["words", "warning", "figure", "low", "high", "shown"].map((id) =>
  document.getElementById(id),
);

// The column of each heading that can be sorted by: 0 is the picture, headings of figures stand in the second row.
const [above, below] = document.querySelectorAll("#cases thead tr");
const figures = [...below.cells];
const columns = new Map([[above.querySelector('[data-name="Case"]'), 1]]);
figures.forEach((heading, number) => columns.set(heading, 2 + number));
columns.set(above.querySelector('[data-name="Warnings"]'), 2 + figures.length);

const naturally = new Intl.Collator("en", { numeric: true });

// Cells as they are compared: figures as numbers (NaN: none), names as text, warnings by how many they are.
function valueOf(row, column) {
  const cell = row.cells[column];
  if (column === 1) return cell.textContent;
  return column < 2 + figures.length ? Number.parseFloat(cell.textContent) : cell.querySelectorAll("li").length;
}

function compare(a, b, sense) {
  if (typeof a === "string") return sense * naturally.compare(a, b);
  if (Number.isNaN(a) || Number.isNaN(b)) return Number.isNaN(a) - Number.isNaN(b); // none: last, either way
  return sense * (a - b);
}

function show(rows) {
  body.append(...rows);
}

function sortBy(heading) {
  const column = columns.get(heading);
  const descending = heading.getAttribute("aria-sort") === "ascending";
  forgetOrder();
  heading.setAttribute("aria-sort", descending ? "descending" : "ascending");
  const keys = new Map(worstFirst.map((row) => [row, valueOf(row, column)]));
  show([...worstFirst].sort((a, b) => compare(keys.get(a), keys.get(b), descending ? -1 : 1)));
}

function forgetOrder() {
  for (const heading of columns.keys()) heading.removeAttribute("aria-sort");
}

function isWanted(row) {
  if (!row.cells[1].textContent.toLowerCase().includes(words.value.trim().toLowerCase())) return false;
  const said = [...row.querySelectorAll("li")].map((line) => line.dataset.code);
  if (warning.value === "*" && !said.length) return false;
  if (warning.value === "-" && said.length) return false;
  if (!["", "*", "-"].includes(warning.value) && !said.includes(warning.value)) return false;
  if (!figure.value) return true;
  const value = valueOf(row, Number(figure.value));
  if (low.value !== "" && !(value >= low.valueAsNumber)) return false;
  return high.value === "" || value <= high.valueAsNumber;
}

function filter() {
  low.disabled = high.disabled = !figure.value;
  let count = 0;
  for (const row of worstFirst) {
    row.hidden = !isWanted(row);
    count += !row.hidden;
  }
  shown.textContent = `${count.toLocaleString("en")} of ${worstFirst.length.toLocaleString("en")} cases`;
}

function reset() {
  for (const field of [words, warning, figure, low, high]) field.value = "";
  forgetOrder();
  show(worstFirst);
  filter();
}

for (const heading of columns.keys()) {
  const button = document.createElement("button");
  button.type = "button";
  button.setAttribute("aria-label", heading.dataset.name);
  button.append(...heading.childNodes);
  button.addEventListener("click", () => sortBy(heading));
  heading.append(button);
}
for (const heading of figures) {
  const option = document.createElement("option");
  option.value = columns.get(heading);
  option.textContent = heading.dataset.name;
  figure.append(option);
}
for (const field of [words, warning, figure, low, high]) field.addEventListener("input", filter);
document.getElementById("reset").addEventListener("click", reset);
document.getElementById("filter").hidden = false;
filter();
document.documentElement.dataset.ready = "";

"""How pages look, by day and by night. Blue, orange and purple stay apart for every eye."""

STYLE = """
:root {
  --paper: #fcfcfb; --ink: #1c2024; --quiet: #5b6570; --line: #dfe3e6; --panel: #f3f5f6;
  --pass: #0b6aa2; --warn: #a65500; --fail: #a3134f;
  --pass-soft: #e2f0f8; --warn-soft: #fdeeda; --fail-soft: #fae3ec;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #14171a; --ink: #e8ebed; --quiet: #9aa5af; --line: #2c3238; --panel: #1c2125;
    --pass: #6db9ea; --warn: #f0a44b; --fail: #f27aa7;
    --pass-soft: #12303f; --warn-soft: #3a2a12; --fail-soft: #3d1a28;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", "Liberation Sans", sans-serif;
}
main { max-width: 60rem; margin: 0 auto; padding: 2.5rem 1.5rem 3rem; overflow-wrap: anywhere; }
header > p:first-child { margin: 0; color: var(--quiet); letter-spacing: .02em; }
h1 { margin: .1rem 0 .3rem; font-size: 1.9rem; line-height: 1.2; font-weight: 650; }
h1 + p { margin: 0 0 1.2rem; }
h2 { margin: 2.4rem 0 .8rem; font-size: 1.2rem; font-weight: 650; }
h3 { margin: 0 0 .35rem; font-size: 1rem; font-weight: 600; }
code, .ids, bdi { font-variant-numeric: tabular-nums; }
code { font: .85em ui-monospace, "Liberation Mono", monospace; color: var(--quiet); }
.whole { white-space: nowrap; }
.quiet { color: var(--quiet); }
.bar { display: flex; height: 1.9rem; gap: 3px; margin: 1.5rem 0 .8rem; }
.bar span {
  flex-basis: 6px; min-width: 6px; border-radius: 3px; color: var(--paper); font-weight: 650; line-height: 1.9rem;
  text-align: center;
}
.bar .PASS { background: var(--pass); }
.bar .WARN { background: var(--warn); }
.bar .FAIL { background: var(--fail); }
.key { list-style: none; margin: 0; padding: 0; display: flex; flex-wrap: wrap; gap: .4rem 1.6rem; }
.badge {
  display: inline-block; min-width: 4.6rem; padding: .05rem .5rem; border-radius: 3px; font-size: .8rem;
  font-weight: 650; white-space: nowrap; text-align: center;
}
.badge.PASS { color: var(--pass); background: var(--pass-soft); }
.badge.WARN { color: var(--warn); background: var(--warn-soft); }
.badge.FAIL { color: var(--fail); background: var(--fail-soft); }
.wide { overflow-x: auto; }
table { width: 100%; border-collapse: collapse; overflow-wrap: normal; }
th { padding: 0 1rem .4rem 0; text-align: left; font-size: .85rem; font-weight: 600; color: var(--quiet); }
td { padding: .55rem 1rem .55rem 0; border-top: 1px solid var(--line); vertical-align: top; }
th.number, td.number { padding-right: 0; text-align: right; font-variant-numeric: tabular-nums; }
td.number { white-space: nowrap; }
td.number:has(.whole) { white-space: normal; }
td.number + td.number, th.number + th.number { padding-left: .9rem; }
article { display: flex; gap: 1.1rem; padding: .9rem 0; border-top: 1px solid var(--line); break-inside: avoid; }
article ul { margin: 0; padding: 0; list-style: none; }
article li { position: relative; padding-left: 1.4rem; margin-bottom: .3rem; }
.dot { position: absolute; left: 0; width: 1rem; text-align: center; font-weight: 700; }
.dot.WARN { color: var(--warn); }
.dot.FAIL { color: var(--fail); }
.picture { flex: 0 0 7.5rem; }
.picture img { display: block; width: 7.5rem; border-radius: 4px; background: #000; }
details { margin-top: 2.4rem; padding: .7rem 1rem; border-radius: 4px; background: var(--panel); }
summary { font-weight: 600; cursor: pointer; }
.ids { margin: .8rem 0 .2rem; padding: 0; list-style: none; columns: 13rem; font-size: .9rem; }
h4 { margin: 0 0 .3rem; font-size: .95rem; font-weight: 600; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 22rem), 1fr)); gap: 1.2rem; }
.figures.three { grid-template-columns: repeat(auto-fit, minmax(min(100%, 15rem), 1fr)); }
figure { margin: 0; max-width: 30rem; break-inside: avoid; }
.three figure { max-width: 19rem; }
figure img { display: block; width: 100%; border-radius: 4px; background: #fff; }
figcaption { margin-top: .3rem; font-size: .85rem; color: var(--quiet); }
.figures + .wide, .wide + .figures { margin-top: 1rem; }
main > h3, details > h3 { margin-top: 1.4rem; }
article p { margin: 0; }
.swatch { display: inline-block; width: .8em; height: .8em; margin-right: .4em; border-radius: 2px; }
.notes { margin: 0; padding-left: 1.2rem; }
footer {
  margin-top: 2.8rem; padding-top: .8rem; border-top: 1px solid var(--line); font-size: .85rem; color: var(--quiet);
}
@media (max-width: 36rem) {
  .picture { flex-basis: 5rem; }
  .picture img { width: 5rem; }
  .picture:empty { display: none; }
}
@media print { body { background: none; } details { display: none; } }
"""
"""The style sheet; it holds no value from outside."""

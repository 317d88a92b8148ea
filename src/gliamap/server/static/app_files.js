// Files that are chosen or dropped, folders with everything in them, as {file, path}.

const AT_MOST = 2000;
const OF_NO_USE = /(^|\/)(\.|__MACOSX\/|Thumbs\.db$|desktop\.ini$)/;

/** From a field of the page; a chosen folder's files know their place in it. */
export function chosen(list) {
  return useful([...list].map((file) => ({ file, path: file.webkitRelativePath || file.name })));
}

/** From a drop. The entries must be taken at once: after the event they are gone. */
export async function dropped(transfer) {
  const items = [...transfer.items].filter((item) => item.kind === "file");
  const taken = items.map((item) => [item.webkitGetAsEntry?.(), item.getAsFile()]);
  const found = [];
  for (const [entry, file] of taken) {
    if (entry?.isDirectory) await walk(entry, found);
    else if (file) found.push({ file, path: file.name });
  }
  return useful(found);
}

async function walk(folder, found) {
  const reader = folder.createReader();
  let entries;
  do { // a browser hands out a folder in portions
    entries = await new Promise((done, failed) => reader.readEntries(done, failed));
    for (const entry of entries) {
      if (found.length > 2 * AT_MOST) throw tooMany();
      if (entry.isDirectory) await walk(entry, found);
      else found.push({ file: await new Promise((done, failed) => entry.file(done, failed)), path: entry.fullPath.slice(1) });
    }
  } while (entries.length);
}

const tooMany = () => new Error(`These are more than ${AT_MOST} files. To do: choose the folder of one case.`);

function useful(files) {
  const kept = files.filter(({ path }) => !OF_NO_USE.test(path));
  if (kept.length > AT_MOST) throw tooMany();
  return kept.sort((one, other) => (one.path < other.path ? -1 : 1));
}

/** What to call a case of files of these names: their common folder, else what the names begin with, else nothing. */
export function commonName(paths) {
  if (!paths.length) return "";
  const folder = paths[0].includes("/") ? paths[0].split("/")[0] : "";
  if (folder && paths.every((path) => path.startsWith(`${folder}/`))) return folder;
  const bare = paths.map((path) => path.split("/").pop().replace(/(\.nii)?\.[a-z]+$/i, ""));
  if (bare.length === 1) return bare[0];
  let common = bare[0];
  while (!bare.every((one) => one.startsWith(common))) common = common.slice(0, -1);
  return common.replace(/[_\-. ]+[^_\-. ]{0,2}$/, "");
}

/* What lies in the page (document.py writes it): JSON, and bytes as base64 of gzip. Nothing is requested. */

function readPayload(id) {
  return JSON.parse(document.getElementById(id).textContent);
}

/* The `readBlob` of a viewer: from a blob's name to a promise of its bytes. */
function blobsInPage(id) {
  return async (name) => {
    const letters = atob(document.getElementById(`${id}-${name}`).textContent.trim());
    const packed = new Uint8Array(letters.length);
    for (let n = 0; n < letters.length; n += 1) packed[n] = letters.charCodeAt(n);
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  };
}

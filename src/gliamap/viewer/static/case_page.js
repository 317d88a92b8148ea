/* Starts what the page of a case shows. The surfaces wait for the planes, which are looked at first. */

const planes = createViewer(document.getElementById("case-view"), readPayload("case"), blobsInPage("case"));

planes.ready.then(() => {
  const place = document.getElementById("case-surfaces");
  if (place) createSurfaces(place, readPayload("case"), blobsInPage("case"), planes);
});

// The page that asks for the password.

const form = document.getElementById("form");
const problem = document.getElementById("problem");

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const field = document.getElementById("password");
  problem.textContent = "";
  try {
    const answer = await fetch("/api/login", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ password: field.value }),
    });
    if (answer.ok) return location.replace("/");
    const wait = answer.headers.get("Retry-After");
    problem.textContent = answer.status === 429
      ? `Too many tries. Wait ${wait ?? "some"} seconds.`
      : "This is not the password.";
  } catch {
    problem.textContent = "gliamap does not answer. Is gliamap serve still running?";
  }
  field.select();
});

// Sends the token of the link, which is in the fragment of the page's URL, to the service.
const token = new URLSearchParams(location.hash.slice(1)).get("token");
history.replaceState(null, "", location.pathname);
const form = document.getElementById("form");
const result = document.getElementById("result");
if (!token) result.textContent = "The link has no token: open the link in the mail again.";

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const body = { token };
  const password = document.getElementById("password");
  if (password) body.new_password = password.value;
  const response = await fetch(form.dataset.request, {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
  });
  if (response.ok) {
    result.textContent = "Done.";
    return;
  }
  const problem = await response.json();
  result.textContent = [problem.title, problem.detail, ...(problem.errors ?? []).map((e) => e.detail)].filter(Boolean).join(" – ");
});

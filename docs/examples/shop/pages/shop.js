// The forms of the shop: each sends its fields as JSON to its action. Only the backend has tokens.

// messages are texts for codes of field errors (FieldError.code). Other errors show the detail of the service.
const messages = {
  required: () => 'is missing',
  too_short: ({ min }) => `needs at least ${min} characters`,
  common: () => 'is easy to guess',
};

const status = document.querySelector('[role=status]');

async function call(method, path, body) {
  const headers = { 'X-Shop': '1' };
  if (body) headers['Content-Type'] = 'application/json';
  const response = await fetch(path, { method, headers, body: body && JSON.stringify(body) });
  const text = await response.text();
  const isJSON = /[/+]json/.test(response.headers.get('Content-Type'));
  return { ok: response.ok, status: response.status, data: isJSON ? JSON.parse(text) : { detail: text } };
}

// explain returns a sentence about a problem, and marks the fields with errors.
function explain(form, { status, data }) {
  if (status === 401 && !form.elements.password) return 'Please log in.';
  if (data.type === '/problems/second-factor-required') return 'Your account has a second factor. This shop has no page for it yet.';
  if (!data.errors) return data.detail || `Please try again later (${status}).`;
  return data.errors.map(({ pointer, code, params, detail }) => {
    const field = form.elements[pointer.slice(1)];
    field?.setAttribute('aria-invalid', 'true');
    const label = field?.closest('label')?.textContent.trim() || pointer.slice(1);
    return `${label} ${messages[code]?.(params) ?? detail}.`;
  }).join(' ');
}

async function submit(event) {
  event.preventDefault();
  const form = event.target;
  const button = form.querySelector('button');
  const alert = form.querySelector('[role=alert]');
  button.disabled = true;
  form.querySelectorAll('[aria-invalid]').forEach((field) => field.removeAttribute('aria-invalid'));
  const fields = Object.fromEntries(new FormData(form));
  const answer = await call(form.dataset.method ?? 'POST', form.getAttribute('action'), form.elements.length > 1 ? fields : undefined)
    .catch(() => ({ status: 0, data: { detail: 'The shop does not answer. Are you online?' } }));
  button.disabled = false;
  const done = answer.ok || (!alert && answer.status === 401); // a logout: the session has ended already
  if (done && form.dataset.next) return location.assign(form.dataset.next);
  (alert ?? status).textContent = done ? '' : explain(form, answer);
  if (!done) return;
  status.textContent = form.dataset.done;
  form.reset();
  if (form.elements.token) form.hidden = true; // a token works once
  await show();
}

// show fills the page with the session's user and orders.
async function show() {
  const { ok, data: user } = await call('GET', '/bff/users/me');
  const state = { user: ok, anonymous: !ok, unverified: ok && !user.email_verified };
  document.querySelectorAll('[data-if]').forEach((part) => { part.hidden = !state[part.dataset.if]; });
  if (!ok) return;
  document.querySelectorAll('[data-email]').forEach((part) => { part.textContent = user.email; });
  const verified = user.email_verified ? '(confirmed)' : '(not confirmed)';
  document.querySelectorAll('[data-verified]').forEach((part) => { part.textContent = verified; });
  const list = document.getElementById('orders');
  if (!list) return;
  const { ok: listed, data: orders } = await call('GET', '/bff/orders');
  if (!listed) return;
  const lines = orders.items.map((o) => `${o.item}, ${new Date(o.time).toLocaleString()}${o.refunded_by ? ', refunded' : ''}`);
  list.replaceChildren(...lines.map((textContent) => Object.assign(document.createElement('li'), { textContent })));
}

// A link in a mail has its token in the fragment. Take it out of the address, and so out of the history.
const token = new URLSearchParams(location.hash.slice(1)).get('token');
const field = document.querySelector('input[name=token]');
if (token && field) {
  field.defaultValue = token;
  history.replaceState(null, '', location.pathname);
} else if (field) {
  field.form.hidden = true;
  status.textContent = 'The link is incomplete. Please open the link in the mail again.';
}
document.addEventListener('submit', submit);
await show();

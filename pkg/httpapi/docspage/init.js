'use strict';

// A gateway may serve the API below a prefix that it strips, so all addresses are relative to this page.
const root = new URL('.', window.location.href);

// authorize uses the access token of a login on this page, and forgets the token at the logout. The token is only in the memory of
// the page.
function authorize(ui, response) {
  const operation = new URL(response.url).pathname.slice(root.pathname.length);
  if (response.status === 200 && (operation === 'login' || operation === 'refresh')) {
    ui.preauthorizeApiKey('bearer', response.body.access_token);
  }
  if (response.status === 204 && operation === 'logout') {
    ui.authActions.logout(['bearer']);
  }
  return response;
}

// hideRequestId removes the optional parameter X-Request-Id from all operations. It would be the first input of each form.
function hideRequestId(description) {
  for (const path of Object.values(description.paths)) {
    for (const owner of [path, ...Object.values(path)]) {
      if (owner.parameters) {
        owner.parameters = owner.parameters.filter((p) => p.$ref !== '#/components/parameters/RequestId');
      }
    }
  }
}

// randomPassword returns a password that the service accepts.
function randomPassword() {
  return Array.from(crypto.getRandomValues(new Uint8Array(10)), (byte) => byte.toString(16).padStart(2, '0')).join('');
}

const password = randomPassword();

// withPasswords replaces the passwords of the examples, which are published, so that the service refuses them.
function withPasswords(description) {
  const text = JSON.stringify(description);
  return JSON.parse(text.replaceAll('seven lamps by the river', password).replaceAll('three owls read old maps', randomPassword()));
}

function show(description) {
  hideRequestId(description);
  description.servers = [{ url: root.href.replace(/\/$/, ''), description: 'This service' }];
  const ui = SwaggerUIBundle({
    dom_id: '#ui',
    spec: withPasswords(description),
    deepLinking: true,
    displayRequestDuration: true,
    defaultModelsExpandDepth: 0,
    responseInterceptor: (response) => authorize(ui, response),
  });
  window.addEventListener('hashchange', () => open(ui));
}

// open opens the operation that a link of the page leads to, such as #/Login/register.
function open(ui) {
  ui.layoutActions.parseDeepLinkHash(window.location.hash);
  const [, tag, operation] = window.location.hash.split('/');
  document.getElementById(`operations-${tag}-${operation}`)?.scrollIntoView();
}

function fill(selector, text) {
  for (const element of document.querySelectorAll(selector)) {
    element.textContent = text;
  }
}

async function load() {
  const response = await fetch(new URL('openapi.json', root));
  if (!response.ok) {
    throw new Error(`the service answers ${response.status}`);
  }
  return response.json();
}

fill('.root', root.href);
fill('.password', password);
load().then(show).catch((error) => {
  document.getElementById('ui').textContent = `The description of the API can't be shown: ${error.message}.`;
});

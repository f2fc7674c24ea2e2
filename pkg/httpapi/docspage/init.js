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

function show(description) {
  description.servers = [{ url: root.href.replace(/\/$/, ''), description: 'This service' }];
  const ui = SwaggerUIBundle({
    dom_id: '#ui',
    spec: description,
    deepLinking: true,
    displayRequestDuration: true,
    defaultModelsExpandDepth: 0,
    responseInterceptor: (response) => authorize(ui, response),
  });
}

async function load() {
  const response = await fetch(new URL('openapi.json', root));
  if (!response.ok) {
    throw new Error(`the service answers ${response.status}`);
  }
  return response.json();
}

load().then(show).catch((error) => {
  document.getElementById('ui').textContent = `The description of the API can't be shown: ${error.message}.`;
});

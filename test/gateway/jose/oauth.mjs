// Finds the endpoints by the metadata, introspects the tokens on standard input, one on each line, revokes the last one, and introspects
// them again, with each of two libraries. Prints the responses of each library on a line.
// Usage: node oauth.mjs ISSUER TOKEN-OF-THE-CALLER LIBRARY
import { text } from 'node:stream/consumers';
import * as oauth from 'oauth4webapi';
import * as client from 'openid-client';

const [issuer, serviceToken, library] = process.argv.slice(2);
const tokens = (await text(process.stdin)).trim().split('\n');
const bearer = (_server, _client, _body, headers) => headers.set('authorization', `Bearer ${serviceToken}`);

// The endpoints are on this machine, without TLS.
const libraries = {
  async oauth4webapi() {
    const insecure = { [oauth.allowInsecureRequests]: true }, url = new URL(issuer), orders = { client_id: 'orders' };
    const found = await oauth.discoveryRequest(url, { algorithm: 'oauth2', ...insecure });
    const server = await oauth.processDiscoveryResponse(url, found);
    return {
      async introspect(token) {
        const response = await oauth.introspectionRequest(server, orders, bearer, token, insecure);
        return oauth.processIntrospectionResponse(server, orders, response);
      },
      async revoke(token) {
        const response = await oauth.revocationRequest(server, orders, oauth.None(), token, insecure);
        await oauth.processRevocationResponse(response);
      },
    };
  },
  async 'openid-client'() {
    const insecure = { algorithm: 'oauth2', execute: [client.allowInsecureRequests] };
    const config = await client.discovery(new URL(issuer), 'orders', undefined, bearer, insecure);
    return {
      introspect: (token) => client.tokenIntrospection(config, token),
      revoke: (token) => client.tokenRevocation(config, token, { token_type_hint: 'refresh_token' }),
    };
  },
};

try {
  const { introspect, revoke } = await libraries[library]();
  const before = await Promise.all(tokens.map(introspect));
  await revoke(tokens.at(-1));
  await revoke('a token of nobody');
  console.log(JSON.stringify({ before, after: await Promise.all(tokens.map(introspect)) }));
} catch (err) {
  console.error(`${err.code ?? err} ${err.message} ${JSON.stringify(err.cause ?? null)}`);
  process.exitCode = 1;
}

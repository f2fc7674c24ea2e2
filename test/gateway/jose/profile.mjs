// Verifies the access token on standard input with two other libraries, each according to the profile of RFC 9068, and prints the claims.
// Usage: node profile.mjs URL-OF-THE-KEYS ISSUER AUDIENCE
import { text } from 'node:stream/consumers';
import bearer from 'express-oauth2-jwt-bearer';
import { allowInsecureRequests, validateJwtAccessToken } from 'oauth4webapi';

const [keys, issuer, audience] = process.argv.slice(2);
const headers = { authorization: `Bearer ${(await text(process.stdin)).trim()}` };
const checks = {
  oauth4webapi: () =>
    validateJwtAccessToken({ issuer, jwks_uri: keys }, new Request('http://api.example.com/', { headers }), audience, {
      [allowInsecureRequests]: true, // on this machine
    }),
  'express-oauth2-jwt-bearer': async () => {
    const guard = bearer.auth({ issuer, audience, jwksUri: keys, tokenSigningAlg: 'EdDSA', strict: true });
    const request = { headers, query: {}, is: () => false };
    await new Promise((done, failed) => guard(request, {}, (err) => (err ? failed(err) : done())));
    return request.auth.payload;
  },
};
for (const [name, check] of Object.entries(checks)) {
  try {
    console.log(JSON.stringify(await check()));
  } catch (err) {
    console.error(`${name}: ${err.code ?? err} ${err.message}`);
    process.exitCode = 1;
  }
}

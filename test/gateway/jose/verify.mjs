// Verifies access tokens, one on a line of standard input, as a service behind the gateway does.
// Usage: node verify.mjs JWKS-URL ISSUER AUDIENCE
import { createInterface } from 'node:readline';
import { createRemoteJWKSet, jwtVerify } from 'jose';

const [url, issuer, audience] = process.argv.slice(2);
const keys = createRemoteJWKSet(new URL(url));
for await (const token of createInterface({ input: process.stdin })) {
  try {
    const { payload } = await jwtVerify(token, keys, { issuer, audience, typ: 'at+jwt' });
    console.log(`good ${payload.sub}`);
  } catch (error) {
    console.log(`bad ${error.code}`);
  }
}

// Verifies the access token on standard input, and prints its claims.
// Usage: node verify.mjs URL-OF-THE-KEYS ISSUER AUDIENCE
import { text } from 'node:stream/consumers';
import { createRemoteJWKSet, jwtVerify } from 'jose';

const [keys, issuer, audience] = process.argv.slice(2);
const token = (await text(process.stdin)).trim();
try {
  const { payload } = await jwtVerify(token, createRemoteJWKSet(new URL(keys)), {
    issuer,
    audience,
    typ: 'at+jwt',
    algorithms: ['EdDSA'],
  });
  console.log(JSON.stringify(payload));
} catch (err) {
  console.error(err.code ?? err);
  process.exitCode = 1;
}

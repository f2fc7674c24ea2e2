// Reads an otpauth URI from standard input, as an authenticator app does. Prints what the URI says, and the current code.
import { text } from 'node:stream/consumers';
import { parse } from '@otplib/uri';
import { generate } from 'otplib';

const { type, label, params } = parse((await text(process.stdin)).trim());
const { secret, issuer, algorithm, digits, period } = params;
const code = await generate({ strategy: type, secret, algorithm, digits, period });
console.log(JSON.stringify({ label, issuer, secret, code }));

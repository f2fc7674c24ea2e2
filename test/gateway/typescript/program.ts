// Registers a user, logs in, and writes and reads metadata, with a client that is generated from the OpenAPI description. Usage: node
// program.js URL EMAIL PASSWORD
import createClient from 'openapi-fetch';
import type { paths } from './api.js';

declare const process: { argv: string[] };
const [baseUrl, email, password] = process.argv.slice(2) as [string, string, string];
const client = createClient<paths>({ baseUrl });

const registered = await client.POST('/register', {
  body: { email, password, name: 'Ada', metadata: { plan: 'free', seats: 3, tags: ['a', 'b'] } },
});
if (!registered.data) throw new Error(registered.error?.detail);
const id: string = registered.data.id;

const session = await client.POST('/login', { body: { email, password } });
if (!session.data) throw new Error(session.error?.detail);
const headers = { Authorization: `Bearer ${session.data.access_token}` };

const changed = await client.PATCH('/users/{id}', {
  params: { path: { id: 'me' } },
  headers,
  body: { metadata: { plan: 'team', seats: null } },
});
if (!changed.data) throw new Error(changed.error?.detail);
const plan: unknown = changed.data.metadata?.['plan'];

const refused = await client.PATCH('/users/{id}', { params: { path: { id } }, headers, body: { zoneinfo: 'Nowhere/Land' } });
const broken = refused.error && 'errors' in refused.error ? refused.error.errors : [];
console.log(JSON.stringify({ same: changed.data.id === id, plan, roles: changed.data.roles, broken: broken?.map((e) => [e.pointer, e.code]) }));

// Registers a user, logs in, changes and erases the account with a client from the OpenAPI description.
// Usage: node client.js URL EMAIL PASSWORD
import createClient from 'openapi-fetch';
import type { components, paths } from './api.js';

const [baseUrl, email, password] = process.argv.slice(2) as [string, string, string];
const client = createClient<paths>({ baseUrl });

// The messages of a form in another language. The compiler refuses a code that the description does not have.
type Code = components['schemas']['FieldError']['code'];
const german: Partial<Record<Code, (params?: components['schemas']['FieldError']['params']) => string>> = {
  too_short: (params) => `mindestens ${params?.min} Zeichen`,
  invalid_value: () => 'kein gültiger Wert',
};
const messages = (problem: components['schemas']['Problem']) =>
  problem.errors?.map(({ pointer, code, params, detail }) => [pointer, german[code]?.(params) ?? detail]);

const short = await client.POST('/register', { body: { email, password: 'short' } });
if (!short.error) throw new Error('a short password is accepted');

const registered = await client.POST('/register', {
  body: { email, password, name: 'Ada', metadata: { plan: 'free', seats: 3, tags: ['a', 'b'] } },
});
if (!registered.data) throw new Error(registered.error?.detail);
const id: string = registered.data.id;

const session = await client.POST('/login', { body: { email, password } });
if (!session.data) throw new Error(session.error?.detail);
const headers = { Authorization: `Bearer ${session.data.access_token}` };

const me = { path: { id: 'me' } };
const changed = await client.PATCH('/users/{id}', { params: me, headers, body: { name: null, metadata: { plan: 'team', seats: null } } });
if (!changed.data) throw new Error(changed.error?.detail);
const plan: unknown = changed.data.metadata?.['plan'];
// @ts-expect-error Responses have required fields, so the compiler knows that a version is not a string.
const version: string = changed.data.version;

const refused = await client.PATCH('/users/{id}', { params: { path: { id } }, headers, body: { zoneinfo: 'Nowhere/Land' } });
if (!refused.error) throw new Error('an unknown time zone is accepted');

// The endpoints of OAuth take forms.
const form = { 'Content-Type': 'application/x-www-form-urlencoded' };
const body = { token: session.data.access_token };
const { data: found, response: forbidden } = await client.POST('/introspect', { headers: { ...headers, ...form }, body });
if (found?.active) throw new Error(`a user without the permission introspects a token of ${found.sub}`);

const { response: erased } = await client.DELETE('/users/{id}', { params: me, headers });
const { response: revoked } = await client.POST('/revoke', { headers: form, body });
const { response: out } = await client.POST('/logout', { body: { refresh_token: session.data.refresh_token } });
console.log(
  JSON.stringify({
    same: changed.data.id === id, name: changed.data.name ?? null, plan, version, roles: changed.data.roles,
    broken: [messages(short.error), messages(refused.error)], statuses: [forbidden, erased, revoked, out].map(({ status }) => status),
  }),
);

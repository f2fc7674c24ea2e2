// Generates a type for each event of an AsyncAPI description, and the type Event, which is the union of these types.
// Usage: node generate.mjs ASYNCAPI >events.ts
import { readFileSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import * as yaml from 'js-yaml';
import { compile } from 'json-schema-to-typescript';

const file = process.argv[2];
const { components } = yaml.load(readFileSync(file, 'utf8'));
const anyOf = Object.values(components.messages).map(({ payload }) => ({ $ref: basename(file) + payload.$ref }));
console.log(await compile({ title: 'Event', anyOf }, 'Event', { cwd: dirname(file) }));

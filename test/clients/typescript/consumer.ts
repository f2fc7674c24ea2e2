// Prints the events of one user until the account is erased, with types from the AsyncAPI description.
// Usage: AMQP_URL=… node consumer.js EMAIL
import { connect } from 'amqplib';
import type { Event } from './events.js';

const email = process.argv[2];
const connection = await connect(process.env['AMQP_URL']!);
const channel = await connection.createChannel();
const { queue } = await channel.assertQueue('', { exclusive: true });
const types: Event['type'][] = ['user.created', 'user.updated', 'user.deleted'];
for (const type of types) await channel.bindQueue(queue, 'user_events', type);

// describe returns what this program knows by the type of an event. The compiler knows the fields of each type.
function describe(event: Event): unknown {
  switch (event.type) {
    case 'user.created':
      return [event.type, event.userversion, event.data.user.roles, event.data.user.metadata?.['plan']];
    case 'user.updated':
      return [event.type, event.userversion, event.data.changed, event.data.previous.name];
    case 'user.deleted':
      // @ts-expect-error The event of an erasure has no user.
      return [event.type, event.userversion, event.data.user ?? null];
    default:
      throw new Error(`another type: ${event.type}`);
  }
}

let subject = '';
await channel.consume(queue, (message) => {
  if (!message) return;
  const event = JSON.parse(message.content.toString()) as Event;
  if (event.type === 'user.created' && event.data.user.email === email) subject = event.subject;
  if (event.subject === subject) console.log(JSON.stringify(describe(event)));
  channel.ack(message);
  if (event.type === 'user.deleted' && event.subject === subject) void connection.close();
});
console.log('waiting for events');

// What Anthropic's SDK for Node.js can do through the gateway.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  ask,
  collect,
  connect,
  messages,
  named,
  received,
  rejection,
  weather,
} from './support.mjs';

const client = connect('anthropic');
const model = 'demo/open';
const tools = [
  {
    name: 'get_weather',
    input_schema: { type: 'object', properties: { city: { type: 'string' } } },
  },
];

test('a message is answered', async () => {
  const { content, usage } = await ask('anthropic', client, { system: 'Be brief.' });
  assert.ok(content[0].text && usage.output_tokens > 0);
});

test('text arrives while the server still writes', async () => {
  const headers = named();
  const body = { model: 'slow/chat', messages, max_tokens: 300, ignore_eos: true };
  const stream = client.messages.stream(body, { headers });
  let texts = 0;
  for await (const event of stream) {
    if (event.type !== 'content_block_delta') continue;
    if (texts === 0) assert.equal((await received('slow', headers))[0].ended, 'open');
    texts += 1;
  }
  assert.ok(texts > 10);
  const { usage } = await stream.finalMessage();
  assert.ok(usage.output_tokens === 300 && usage.input_tokens > 0);
});

test('raw events come in order', async () => {
  const events = await collect(await ask('anthropic', client, { stream: true }));
  const kinds = events.map(({ type }) => type);
  assert.deepEqual(kinds.slice(0, 2), ['message_start', 'content_block_start']);
  assert.deepEqual(kinds.slice(-3), ['content_block_stop', 'message_delta', 'message_stop']);
});

test('a tool is called, whole and in pieces', async () => {
  const body = { model, messages: weather, tools, max_tokens: 100 };
  const { content, stop_reason } = await client.messages.create(body);
  assert.equal(stop_reason, 'tool_use');
  assert.ok(content[0].input.city);
  const final = await client.messages.stream(body).finalMessage();
  assert.ok(final.content[0].input.city);
});

test('tokens are counted without an answer', async () => {
  assert.ok((await client.messages.countTokens({ model, messages })).input_tokens > 0);
});

test('the models are those one may use', async () => {
  const listed = (await collect(client.models.list())).map(({ id }) => id);
  assert.ok(listed.includes(model) && !listed.includes('other/chat'));
  assert.ok((await client.models.retrieve(model)).display_name);
  assert.equal((await rejection(client.models.retrieve('other/chat'))).status, 404);
});

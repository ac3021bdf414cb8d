// What openai-node can do through the gateway.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { toFile } from 'openai';
import {
  ask,
  collect,
  connect,
  messages,
  named,
  received,
  rejection,
  scenarios,
  weather,
} from './support.mjs';

const client = connect('openai');
const input = scenarios.prompt;
const model = 'demo/open';
const tool = {
  name: 'get_weather',
  parameters: { type: 'object', properties: { city: { type: 'string' } } },
};
const tools = [{ type: 'function', function: tool }];

test('a chat is answered', async () => {
  const { choices, usage } = await ask('openai', client);
  assert.ok(choices[0].message.content);
  assert.equal(usage.total_tokens, usage.prompt_tokens + usage.completion_tokens);
});

test('text arrives while the server still writes', async () => {
  const headers = named();
  const body = { model: 'slow/chat', stream: true, max_tokens: 300, ignore_eos: true };
  let texts = 0;
  for await (const chunk of await ask('openai', client, body, { headers })) {
    if (!chunk.choices[0].delta.content) continue;
    if (texts === 0) assert.equal((await received('slow', headers))[0].ended, 'open');
    texts += 1;
  }
  assert.ok(texts > 10);
});

test('a stream shows usage once at the end if asked, else never', async () => {
  for (const of of [model, 'cloud/chat']) {
    const plain = await collect(await ask('openai', client, { model: of, stream: true }));
    assert.ok(plain.every(({ choices, usage }) => choices.length && !usage));
    const body = { model: of, stream: true, stream_options: { include_usage: true } };
    const asked = await collect(await ask('openai', client, body));
    const last = asked.pop();
    assert.ok(asked.every(({ choices, usage }) => choices.length && !usage));
    assert.ok(last.choices.length === 0 && last.usage.completion_tokens > 0);
  }
});

test('the stream helper puts the answer together', async () => {
  const stream = client.chat.completions.stream({ model, messages });
  let text = '';
  stream.on('content', (delta) => (text += delta));
  assert.equal(await stream.finalContent(), text);
  assert.ok(text);
});

test('a tool is called, whole and in pieces', async () => {
  const body = { messages: weather, tools };
  const [call] = (await ask('openai', client, body)).choices[0].message.tool_calls;
  assert.equal(call.function.name, 'get_weather');
  assert.ok(JSON.parse(call.function.arguments).city);
  const chunks = await collect(await ask('openai', client, { ...body, stream: true }));
  const pieces = chunks.flatMap((chunk) => chunk.choices[0].delta.tool_calls ?? []);
  assert.ok(JSON.parse(pieces.map((piece) => piece.function.arguments ?? '').join('')).city);
});

test('a response can be made, asked for again, and not cancelled when it is over', async () => {
  const made = await client.responses.create({ model, input });
  assert.ok(made.output_text && made.usage.output_tokens > 0);
  assert.equal((await client.responses.retrieve(made.id)).output_text, made.output_text);
  const error = await rejection(client.responses.cancel(made.id));
  assert.deepEqual([error.status, error.constructor.name], [400, 'BadRequestError']);
});

test('a response is streamed and kept', async () => {
  const stream = client.responses.stream({ model, input });
  let text = '';
  stream.on('response.output_text.delta', ({ delta }) => (text += delta));
  const final = await stream.finalResponse();
  assert.equal(final.output_text, text);
  assert.equal((await client.responses.retrieve(final.id)).status, 'completed');
});

test('a text is completed', async () => {
  const body = { model, prompt: input, max_tokens: 20 };
  const whole = await client.completions.create(body);
  const chunks = await collect(await client.completions.create({ ...body, stream: true }));
  assert.ok(chunks.every(({ choices, usage }) => choices.length && !usage));
  assert.equal(chunks.map((chunk) => chunk.choices[0].text).join(''), whole.choices[0].text);
});

test('a text is embedded', async () => {
  const { data, usage } = await client.embeddings.create({ model, input: ['one', 'two'] });
  assert.ok(data.length === 2 && usage.prompt_tokens > 0);
  assert.ok(data[0].embedding.every(Number.isFinite));
});

test('audio is uploaded and transcribed', async () => {
  const file = await toFile(Buffer.alloc(80_000, 1), 'speech.wav');
  assert.ok((await client.audio.transcriptions.create({ model, file })).text);
});

test('an image comes from a provider', async () => {
  const { data } = await client.images.generate({ model: 'cloud/chat', prompt: input });
  assert.ok(data[0].b64_json);
});

test('the models are those one may use, also with a slash in the id', async () => {
  const listed = (await collect(client.models.list())).map(({ id }) => id);
  assert.ok(listed.includes(model) && !listed.includes('other/chat'));
  assert.equal((await client.models.retrieve(model)).id, model);
  assert.equal((await rejection(client.models.retrieve('other/chat'))).status, 404);
});

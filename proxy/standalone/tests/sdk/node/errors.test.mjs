// Every way to fail, seen as the error that programs catch.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import OpenAI from 'openai';
import {
  ask,
  collect,
  connect,
  dialects,
  failing,
  messages,
  named,
  openStream,
  received,
  rejection,
  scenarios,
  sdks,
  until,
} from './support.mjs';

/** The right class, status and code, and the request's id if one was given. */
function expect(sdk, error, [status, code], requestId) {
  const name = scenarios.classes[sdk][status] || 'APIError';
  assert.deepEqual([error.status, error.constructor.name], [status, name], error.message);
  if (sdk === 'openai') {
    assert.ok(error.type);
    assert.equal(error.code, code);
  } else {
    assert.deepEqual([error.error.type, error.error.error.type], ['error', code]);
  }
  if (requestId) assert.equal(error.requestID, requestId);
}

for (const sdk of Object.keys(sdks)) {
  for (const row of scenarios.errors) {
    test(`${sdk}: ${row.it}`, async () => {
      const headers = named();
      const client = connect(sdk, { key: row.key });
      const body = { ...(row.model !== undefined && { model: row.model }), ...row.body };
      if (row.stream) body.stream = true;
      const call = () => rejection(ask(sdk, client, body, { headers }));
      const error = row.fault ? await failing(row.fault, call) : await call();
      expect(sdk, error, row[sdk], headers['x-request-id']);
    });
  }

  test(`${sdk}: an unknown path and a wrong method are told in the dialect`, async () => {
    const client = connect(sdk);
    const openai = sdk === 'openai';
    const list = openai ? client.files.list() : client.messages.batches.list();
    expect(sdk, await rejection(list), [404, openai ? 'unknown_url' : 'not_found_error']);
    const error = await rejection(client.get(openai ? '/chat/completions' : '/v1/messages'));
    expect(sdk, error, [405, openai ? 'method_not_allowed' : 'invalid_request_error']);
    assert.equal(error.headers.get('allow'), 'POST');
  });

  for (const bytes of [100_000, 8_000_000]) {
    test(`${sdk}: a body of ${bytes} bytes is over the limit, which is told`, async () => {
      const big = [{ role: 'user', content: 'x'.repeat(bytes) }];
      const call = ask(sdk, connect(sdk, { gateway: 'tls' }), { messages: big });
      const error = await rejection(call);
      expect(sdk, error, [413, 'request_too_large']);
    });
  }

  test(`${sdk}: one request too many at a time is told when to come back`, async () => {
    const body = { model: 'slow/single', stream: true, max_tokens: 5000, ignore_eos: true };
    const hold = () =>
      ask('openai', connect('openai'), body).catch((error) => {
        if (!(error instanceof OpenAI.RateLimitError)) throw error;
      });
    const running = await until(hold, 'the only place is free');
    const error = await rejection(ask(sdk, connect(sdk), { model: 'slow/single' }));
    running.controller.abort();
    expect(sdk, error, [429, sdk === 'openai' ? 'rate_limit_exceeded' : 'rate_limit_error']);
    assert.equal(error.headers.get('retry-after'), '1');
    assert.equal(error.headers.get('retry-after-ms'), '1000');
  });

  test(`${sdk}: a retry succeeds when the server is well again`, async () => {
    const headers = named();
    const client = connect(sdk, { maxRetries: 2 });
    const call = () => ask(sdk, client, { model: 'faulty/chat' }, { headers });
    await failing('status=503', call, { times: 1 });
    const counts = (await received('faulty', headers)).map(
      (it) => it.headers['x-stainless-retry-count'],
    );
    assert.deepEqual(counts, ['0', '1']);
  });

  test(`${sdk}: a retry comes no earlier than told`, async () => {
    const headers = named();
    const client = connect(sdk, { maxRetries: 2 });
    const call = () => ask(sdk, client, { model: 'faulty/chat' }, { headers });
    await failing('status=429', call, { times: 1 });
    const [first, second] = await received('faulty', headers);
    // Timers of Node.js may be a millisecond early.
    assert.ok(second.at_ms - first.at_ms >= 999, `${second.at_ms - first.at_ms} ms`);
  });
}

for (const dialect of dialects) {
  const sdk = sdks[dialect === 'messages' ? 'anthropic' : 'openai'];
  for (const row of scenarios.breaks) {
    test(`${dialect}: a stream that ${row.it} raises`, async () => {
      const run = async () => rejection(collect(await openStream(dialect, 'faulty/chat')));
      const error = await failing(row.fault, run);
      assert.ok(error instanceof sdk.APIError, error.stack);
      assert.ok(!(error instanceof sdk.APIConnectionError), error.stack);
    });
  }
}

test('the stream helpers raise too', async () => {
  const body = { model: 'faulty/chat', messages };
  const openai = connect('openai');
  const calls = [
    () => openai.responses.stream({ model: body.model, input: scenarios.prompt }).finalResponse(),
    () => openai.chat.completions.stream(body).finalContent(),
    () =>
      connect('anthropic')
        .messages.stream({ ...body, max_tokens: 64 })
        .finalMessage(),
  ];
  await failing('reset-after-events=6', async () => {
    for (const call of calls) assert.match((await rejection(call())).message, /disconnected in the middle/);
  });
});

// Tokens of a real OIDC provider on the internal entry.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ask, connect, rejection, rotateKeys, sdks, token } from './support.mjs';

const entry = async (sdk, who, resource, more) =>
  connect(sdk, { internal: true, token: await token(who, resource), ...more });

for (const sdk of Object.keys(sdks)) {
  test(`${sdk}: a member may use the models of the group and no others`, async () => {
    const client = await entry(sdk, 'alice');
    assert.ok(await ask(sdk, client, { model: 'team/chat' }));
    const error = await rejection(ask(sdk, client, { model: 'other/chat' }));
    assert.equal(error.constructor.name, 'PermissionDeniedError');
  });

  test(`${sdk}: a token for another audience is refused`, async () => {
    const client = await entry(sdk, 'alice', 'https://elsewhere.example/');
    const error = await rejection(ask(sdk, client));
    assert.equal(error.constructor.name, 'AuthenticationError');
  });
}

test('a new key of the provider refuses nobody', async () => {
  const old = await entry('openai', 'alice');
  await rotateKeys();
  // An SDK tries again if it is told that the key could not be looked up in time.
  const client = await entry('openai', 'alice', undefined, { maxRetries: 2 });
  assert.ok(await ask('openai', client));
  assert.ok(await ask('openai', old));
});

// What tests need beside the SDKs: who to talk to, and what the simulated servers saw.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import Anthropic from '@anthropic-ai/sdk';
import OpenAI from 'openai';

const read = (path) => JSON.parse(readFileSync(path));
const facts = read(process.env.SDK_STACK);

export const scenarios = read(new URL('../scenarios.json', import.meta.url));
export const messages = [{ role: 'user', content: scenarios.prompt }];
export const weather = [{ role: 'user', content: 'What is the weather in the land of canaries?' }];
export const sdks = { openai: OpenAI, anthropic: Anthropic };
export const dialects = ['chat', 'completions', 'responses', 'messages'];
const WAIT_MS = 60_000;
const POLL_MS = 20;

/** A client with an API key; or, with `internal`, one of the entry for tokens, with a `token`. */
export function connect(sdk, { key = 'member', gateway = 'main', maxRetries = 0, ...more } = {}) {
  const apiKey = facts.keys[`${gateway}/${key}`];
  const url = more.internal ? facts.gateways.main.internal : facts.gateways[gateway].url;
  const credential =
    more.token && sdk === 'anthropic'
      ? { apiKey: null, authToken: more.token }
      : { apiKey: more.token ?? apiKey };
  const baseURL = sdk === 'openai' ? `${url}/v1` : url;
  return new sdks[sdk]({ baseURL, maxRetries, logLevel: 'off', ...credential });
}

/** A chat or a message, whichever the SDK speaks. */
export function ask(sdk, client, { model = 'demo/open', ...body } = {}, options) {
  if (sdk === 'openai')
    return client.chat.completions.create({ model, messages, ...body }, options);
  return client.messages.create({ model, messages, max_tokens: 64, ...body }, options);
}

/** Headers with a request id by which a server's records are found again. */
export const named = () => ({ 'x-request-id': `test-${randomUUID()}` });

/** The requests to a server that carried a request id, oldest first. */
export async function received(sim, headers) {
  const records = await (await fetch(`${facts.sims[sim]}/sim/received`)).json();
  const id = (record) => new Map(record.headers).get('x-request-id');
  return records
    .filter((record) => id(record) === headers['x-request-id'])
    .map((record) => ({ ...record, headers: Object.fromEntries(record.headers) }));
}

/** Awaits the first value that counts as true. */
export async function until(condition, what) {
  const deadline = Date.now() + WAIT_MS;
  while (Date.now() < deadline) {
    const value = await condition();
    if (value) return value;
    await pause(POLL_MS);
  }
  assert.fail(`not within ${WAIT_MS} ms: ${what}`);
}

const inject = (fault) =>
  fetch(`${facts.sims.faulty}/sim/fault`, { method: 'POST', body: JSON.stringify(fault) });

/**
 * Runs while the model `faulty/chat` fails; it is well again afterwards, also in the eyes of the
 * gateway, which leaves an endpoint alone for a while that failed too often.
 */
export async function failing(fault, run, more = {}) {
  await inject({ fault, ...more });
  try {
    return await run();
  } finally {
    await inject({ fault: 'none' });
    const client = connect('openai');
    const isWell = () =>
      ask('openai', client, { model: 'faulty/chat', max_tokens: 1 }).catch((error) => {
        if (!(error instanceof OpenAI.APIError)) throw error;
      });
    await until(isWell, 'faulty/chat is well again');
  }
}

/** What a promise is rejected with. */
export async function rejection(promise) {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  assert.fail('nothing was thrown');
}

export async function collect(stream) {
  const events = [];
  for await (const event of stream) events.push(event);
  return events;
}

/** A stream of each dialect, as raw events. */
export function openStream(dialect, model) {
  const body = { model, stream: true };
  if (dialect === 'messages') return ask('anthropic', connect('anthropic'), body);
  const client = connect('openai');
  if (dialect === 'chat') return ask('openai', client, body);
  if (dialect === 'responses') return client.responses.create({ ...body, input: scenarios.prompt });
  return client.completions.create({ ...body, prompt: scenarios.prompt, max_tokens: 64 });
}

/** An access token of the OIDC provider, by client credentials. */
export async function token(client, resource = 'https://llm.example/') {
  const form = { grant_type: 'client_credentials', client_id: client, resource };
  const body = new URLSearchParams({ ...form, client_secret: facts.idp.secret });
  const reply = await fetch(`${facts.idp.issuer}/token`, { method: 'POST', body });
  return (await reply.json()).access_token;
}

export const rotateKeys = () => fetch(`${facts.idp.issuer}/test/rotate`, { method: 'POST' });

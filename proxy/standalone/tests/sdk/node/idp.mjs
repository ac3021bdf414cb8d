// A real OIDC provider on a free loopback port: its clients get access tokens that are JWTs, by
// their client credentials, for the resource they name.
//
// Prints one line of JSON when it is ready. Beside the provider's own paths there are
// POST /test/rotate (sign with a new key of the other algorithm; old keys stay published) and
// GET /test/issued (every token so far).
import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import Provider from 'oidc-provider';

const GROUPS = { alice: ['ml-team'], bob: ['sales'] };
const RESOURCES = {
  'https://llm.example/': { audience: 'llm', accessTokenTTL: 3600 },
  'https://llm.example/brief': { audience: 'llm', accessTokenTTL: 15 },
  'https://elsewhere.example/': { audience: 'elsewhere', accessTokenTTL: 3600 },
};
const secret = randomUUID();
const keys = [];
const issued = [];

function newKey(alg) {
  const { privateKey } =
    alg === 'RS256'
      ? generateKeyPairSync('rsa', { modulusLength: 2048 })
      : generateKeyPairSync('ec', { namedCurve: 'P-256' });
  keys.unshift({ ...privateKey.export({ format: 'jwk' }), kid: randomUUID(), use: 'sig', alg });
}

function provider(issuer) {
  const provider = new Provider(issuer, {
    jwks: { keys },
    scopes: ['llm'],
    clients: Object.keys(GROUPS).map((client_id) => ({
      client_id,
      client_secret: secret,
      token_endpoint_auth_method: 'client_secret_post',
      grant_types: ['client_credentials'],
      redirect_uris: [],
      response_types: [],
    })),
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: (_context, resource) => ({
          ...RESOURCES[resource],
          scope: 'llm',
          accessTokenFormat: 'jwt',
          jwt: { sign: { alg: keys[0].alg } },
        }),
      },
    },
    extraTokenClaims: (_context, { clientId }) => ({
      groups: GROUPS[clientId],
      preferred_username: `${clientId}@example.org`,
    }),
  });
  provider.on('grant.success', ({ body }) => issued.push(body.access_token));
  return provider.callback();
}

newKey('RS256');
let answer;
const server = createServer((request, reply) => {
  if (request.url === '/test/issued') {
    reply.end(JSON.stringify(issued));
  } else if (request.url === '/test/rotate') {
    newKey(keys[0].alg === 'RS256' ? 'ES256' : 'RS256');
    answer = provider(issuer);
    reply.end();
  } else {
    answer(request, reply);
  }
});
await new Promise((listening) => server.listen(0, '127.0.0.1', listening));
const issuer = `http://127.0.0.1:${server.address().port}`;
answer = provider(issuer);
console.log(JSON.stringify({ issuer, secret }));

// A real OpenID Connect provider for tests: node oidc_provider.mjs LIBRARY SETTINGS
//
// LIBRARY is the entry of the npm package oidc-provider, SETTINGS a JSON file: `cert`, `key` (PEM files), `client`
// (metadata), `accounts` (claims by account id). People are known by `login_hint`, as if they had typed it, and
// `deny` is somebody whom the provider does not let in. POST /rotate replaces the signing key.
// The first line of the output is the issuer.
import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { pathToFileURL } from 'node:url';

const { default: Provider } = await import(pathToFileURL(process.argv[2]));
const settings = JSON.parse(readFileSync(process.argv[3]));
let issuer;
let answer;

function newKey() {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  return { ...privateKey.export({ format: 'jwk' }), kid: randomUUID(), use: 'sig', alg: 'RS256' };
}

function provide() {
  const provider = new Provider(issuer, {
    clients: [settings.client],
    jwks: { keys: [newKey()] },
    cookies: { keys: [randomUUID()] },
    claims: { openid: ['sub'], profile: ['preferred_username', 'groups'], email: ['email'] },
    features: { devInteractions: { enabled: false } },
    pkce: { required: () => true },
    interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
    findAccount: (_, id) => settings.accounts[id] && {
      accountId: id,
      claims: () => ({ sub: id, ...settings.accounts[id] }),
    },
    async loadExistingGrant({ oidc }) {
      const grant = new oidc.provider.Grant({ clientId: oidc.client.clientId, accountId: oidc.session.accountId });
      grant.addOIDCScope('openid profile email');
      await grant.save();
      return grant;
    },
  });
  const serve = provider.callback();
  return async (request, response) => {
    if (!request.url.startsWith('/interaction/')) { serve(request, response); return; }
    const { params } = await provider.interactionDetails(request, response);
    const result = params.login_hint === 'deny'
      ? { error: 'access_denied', error_description: '<b>not you</b>' }
      : { login: { accountId: params.login_hint } };
    await provider.interactionFinished(request, response, result);
  };
}

const server = createServer(
  { cert: readFileSync(settings.cert), key: readFileSync(settings.key) },
  (request, response) => {
    if (request.method === 'POST' && request.url === '/rotate') {
      answer = provide();
      response.writeHead(204).end();
      return;
    }
    Promise.resolve(answer(request, response)).catch((error) => {
      console.error(error);
      response.writeHead(500).end();
    });
  },
);
server.listen(0, '127.0.0.1', () => {
  issuer = `https://127.0.0.1:${server.address().port}`;
  answer = provide();
  console.log(issuer);
});

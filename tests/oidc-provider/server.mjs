// A real identity server for tests: oidc-provider with the device flow, rotation and short access tokens, over TLS.
//
//   node server.mjs --cert FILE --key FILE [--port 0] [--access-token-seconds 12] [--code-seconds 600]
//
// Prints one JSON object a line: first {"event":"ready","issuer":URL,...}, then what happens at its endpoints.
// Accounts: any name with any password. It keeps everything in memory and ends when its standard input does.
import { generateKeyPairSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { parseArgs } from 'node:util';
import { Provider } from 'oidc-provider';

const { values: options } = parseArgs({
  options: {
    cert: { type: 'string' },
    key: { type: 'string' },
    port: { type: 'string', default: '0' },
    'access-token-seconds': { type: 'string', default: '12' },
    'code-seconds': { type: 'string', default: '600' },
  },
});
const accessTokenSeconds = Number(options['access-token-seconds']);
const codeSeconds = Number(options['code-seconds']);
// The API that tokens are for. Without it oidc-provider's access tokens are opaque.
const telemetryApi = 'https://telemetry.test/';
const deviceCodeGrant = 'urn:ietf:params:oauth:grant-type:device_code';

function tell(event, fields = {}) {
  process.stdout.write(`${JSON.stringify({ event, ...fields })}\n`);
}

function signingKey() {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return { ...privateKey.export({ format: 'jwk' }), use: 'sig', alg: 'ES256', kid: 'test' };
}

function configuration() {
  return {
    clients: [
      {
        client_id: 'signpost',
        client_name: 'Greenhouse 7',
        token_endpoint_auth_method: 'none',
        grant_types: [deviceCodeGrant, 'refresh_token'],
        response_types: [],
        redirect_uris: [],
        id_token_signed_response_alg: 'ES256',
      },
    ],
    jwks: { keys: [signingKey()] },
    cookies: { keys: ['only for tests'] },
    scopes: ['openid', 'offline_access'],
    claims: { openid: ['sub', 'name'] },
    conformIdTokenClaims: false,
    findAccount: (_, subject) => ({
      accountId: subject,
      claims: () => ({ sub: subject, name: `Person ${subject}` }),
    }),
    // Reuse of a rotated token ends the whole grant: a device that replays one is signed out, and the test sees it.
    rotateRefreshToken: true,
    ttl: {
      AccessToken: accessTokenSeconds,
      DeviceCode: codeSeconds,
      Grant: 86_400,
      IdToken: 600,
      Interaction: 600,
      RefreshToken: 86_400,
      Session: 86_400,
    },
    features: {
      deviceFlow: { enabled: true },
      introspection: { enabled: true },
      revocation: { enabled: true },
      resourceIndicators: {
        enabled: true,
        useGrantedResource: () => true,
        getResourceServerInfo: (_, resource) => ({
          audience: resource,
          scope: 'telemetry.write',
          accessTokenTTL: accessTokenSeconds,
          accessTokenFormat: 'jwt',
          jwt: { sign: { alg: 'ES256' } },
        }),
      },
    },
  };
}

function tellEvents(provider) {
  provider.on('device_authorization.success', () => tell('device_authorization'));
  provider.on('grant.success', ({ oidc }) => tell('grant', { grant_type: oidc.params.grant_type }));
  provider.on('grant.error', ({ oidc }, error) => {
    tell('grant_error', { grant_type: oidc?.params?.grant_type, error: error.error, detail: error.error_detail });
  });
  provider.on('grant.revoked', () => tell('revoked'));
  provider.on('server_error', (_, error) => tell('server_error', { detail: String(error.stack) }));
}

const server = createServer({ cert: readFileSync(options.cert), key: readFileSync(options.key) });
server.listen(Number(options.port), '127.0.0.1', () => {
  // The issuer is its own address, which is known only now.
  const issuer = `https://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, configuration());
  tellEvents(provider);
  server.on('request', provider.callback());
  tell('ready', { issuer, client_id: 'signpost', resource: telemetryApi, scope: 'openid offline_access telemetry.write' });
});
process.stdin.resume().on('end', () => process.exit(0));

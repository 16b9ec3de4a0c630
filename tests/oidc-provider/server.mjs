// A real identity server for tests: oidc-provider with the device flow, rotation and short access tokens, over TLS.
//
//   node server.mjs --cert FILE --key FILE [--port 0] [--access-token-seconds 12] [--code-seconds 600] [--keys DIR]
//
// One client for each way in which a client can prove itself: public "signpost" and "dpop", "basic" and "post" with a
// secret, "own" with one, which may speak in its own name as well, and where DIR has their keys (es256.pem, rs256.pem, mtls.pem with a certificate) "es256", "rs256" and "mtls",
// which must come to a port of its own that asks for a certificate.
//
// Prints one JSON object a line: first {"event":"ready","issuer":URL,...}, then what happens at its endpoints.
// Accounts: any name with any password. It keeps everything in memory and ends when its standard input does.
import { createPublicKey, generateKeyPairSync, randomBytes, X509Certificate } from 'node:crypto';
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
    keys: { type: 'string' },
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

function client(client_id, token_endpoint_auth_method, more = {}) {
  return {
    client_id,
    client_name: 'Greenhouse 7',
    token_endpoint_auth_method,
    grant_types: [deviceCodeGrant, 'refresh_token'],
    response_types: [],
    redirect_uris: [],
    id_token_signed_response_alg: 'ES256',
    ...more,
  };
}

function clients() {
  const client_secret = 'a secret, with : and % in it';
  const known = [
    client('signpost', 'none'),
    client('dpop', 'none', { dpop_bound_access_tokens: true }),
    client('basic', 'client_secret_basic', { client_secret }),
    client('own', 'client_secret_basic', {
      client_secret,
      grant_types: [deviceCodeGrant, 'refresh_token', 'client_credentials'],
    }),
    client('post', 'client_secret_post', { client_secret }),
  ];
  if (!options.keys) return known;
  const pem = (name) => readFileSync(`${options.keys}/${name}.pem`);
  const jwk = (key, more) => ({ ...key.export({ format: 'jwk' }), use: 'sig', ...more });
  for (const alg of ['ES256', 'RS256']) {
    const name = alg.toLowerCase();
    const jwks = { keys: [jwk(createPublicKey(pem(name)), { alg })] };
    known.push(client(name, 'private_key_jwt', { jwks, token_endpoint_auth_signing_alg: alg }));
  }
  const certificate = new X509Certificate(pem('mtls'));
  const x5c = [certificate.raw.toString('base64')];
  known.push(client('mtls', 'self_signed_tls_client_auth', { jwks: { keys: [jwk(certificate.publicKey, { x5c })] } }));
  return known;
}

function configuration(mtls) {
  return {
    clients: clients(),
    clientAuthMethods: [
      'none', 'client_secret_basic', 'client_secret_post', 'private_key_jwt', 'self_signed_tls_client_auth',
    ],
    discovery: {
      mtls_endpoint_aliases: {
        token_endpoint: `${mtls}/token`,
        device_authorization_endpoint: `${mtls}/device/auth`,
        revocation_endpoint: `${mtls}/token/revocation`,
      },
    },
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
      clientCredentials: { enabled: true },
      introspection: { enabled: true },
      // Proofs are wanted with a nonce of this server's, which it changes.
      dPoP: { enabled: true, nonceSecret: randomBytes(32), requireNonce: () => true },
      mTLS: {
        enabled: true,
        selfSignedTlsClientAuth: true,
        getCertificate: (ctx) => ctx.socket.getPeerX509Certificate?.(),
      },
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
  const of = ({ oidc }) => ({ client: oidc?.client?.clientId, grant_type: oidc?.params?.grant_type });
  provider.on('device_authorization.success', (ctx) => tell('device_authorization', of(ctx)));
  provider.on('grant.success', (ctx) => tell('grant', { ...of(ctx), proof: Boolean(ctx.get('DPoP')) }));
  provider.on('grant.error', (ctx, error) => {
    tell('grant_error', { ...of(ctx), error: error.error, detail: error.error_detail ?? error.error_description });
  });
  provider.on('grant.revoked', (ctx) => tell('revoked', of(ctx)));
  provider.on('access_token.saved', (token) => tell('issued', { client: token.clientId, jkt: token.jkt }));
  provider.on('server_error', (_, error) => tell('server_error', { detail: String(error.stack) }));
}

const tls = { cert: readFileSync(options.cert), key: readFileSync(options.key) };
const server = createServer(tls);
const mtls = createServer({ ...tls, requestCert: true, rejectUnauthorized: false });
const listening = (it, port) => new Promise((done) => it.listen(port, '127.0.0.1', done));
await Promise.all([listening(server, Number(options.port)), listening(mtls, 0)]);
// The issuer is its own address, which is known only now.
const [issuer, mtlsAddress] = [server, mtls].map((it) => `https://127.0.0.1:${it.address().port}`);
const provider = new Provider(issuer, configuration(mtlsAddress));
tellEvents(provider);
for (const it of [server, mtls]) it.on('request', provider.callback());
tell('ready', { issuer, client_id: 'signpost', resource: telemetryApi, scope: 'openid offline_access telemetry.write' });
process.stdin.resume().on('end', () => process.exit(0));

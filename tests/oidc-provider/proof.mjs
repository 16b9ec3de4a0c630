// A program on the device that uses a token which is bound to the device's key (RFC 9449): asks the agent's token socket
// for a token and a proof, and shows both to oidc-provider's userinfo.
//
//   NODE_EXTRA_CA_CERTS=ca.pem node proof.mjs SOCKET ISSUER
//
// Prints what userinfo answers, and exits 0 if it is 200.
import { request } from 'node:http';

const [socketPath, issuer] = process.argv.slice(2);
const htu = `${issuer}/me`;

function prove(nonce) {
  return new Promise((done, failed) => {
    const call = request({ socketPath, path: '/v1/proof', method: 'POST' }, async (reply) => {
      const parts = await reply.toArray();
      const body = JSON.parse(Buffer.concat(parts).toString());
      if (reply.statusCode === 200) done(body);
      else failed(new Error(JSON.stringify(body)));
    });
    call.on('error', failed).end(JSON.stringify({ htm: 'GET', htu, nonce }));
  });
}

async function ask(nonce) {
  const { access_token: token, token_type: type, proof } = await prove(nonce);
  if (type !== 'DPoP') throw new Error(`a token of type ${type}`);
  return fetch(htu, { headers: { authorization: `DPoP ${token}`, DPoP: proof }, signal: AbortSignal.timeout(10_000) });
}

let reply = await ask();
const wanted = reply.headers.get('www-authenticate')?.includes('use_dpop_nonce');
// The agent has heard nonces of this very server, which is the issuer; a program tells it of newer ones.
if (reply.status === 401 && wanted) reply = await ask(reply.headers.get('dpop-nonce'));
console.log(JSON.stringify({ event: 'userinfo', status: reply.status, body: await reply.text() }));
process.exit(reply.status === 200 ? 0 : 1);

// The person with the phone, without a browser: follows the pages of oidc-provider with a cookie jar and approves.
//
//   NODE_EXTRA_CA_CERTS=ca.pem node approve.mjs ADDRESS ACCOUNT [USER_CODE]
//
// Exits 0 once the success page is there, else 1 with the last page on standard error.
const [address, account, userCode] = process.argv.slice(2);
// Code, confirmation, sign-in, consent and success are five pages with redirects between them.
const pagesAtMost = 20;

const jar = [];

function keep(response, url) {
  for (const line of response.headers.getSetCookie()) {
    const [pair, ...attributes] = line.split(/;\s*/);
    const [name, value] = pair.split(/=(.*)/);
    const path = attributes.find((it) => /^path=/i.test(it))?.slice(5) ?? '/';
    const expires = attributes.find((it) => /^expires=/i.test(it))?.slice(8);
    const at = jar.findIndex((it) => it.name === name && it.path === path);
    if (at >= 0) jar.splice(at, 1);
    if (!expires || Date.parse(expires) > Date.now()) jar.push({ name, value, path, host: url.host });
  }
}

function cookies(url) {
  return jar
    .filter((it) => it.host === url.host && url.pathname.startsWith(it.path))
    .map((it) => `${it.name}=${it.value}`)
    .join('; ');
}

// One request, its redirects left to the caller, because every hop may set cookies.
async function ask(url, form) {
  const response = await fetch(url, {
    method: form ? 'POST' : 'GET',
    body: form,
    headers: { cookie: cookies(url) },
    redirect: 'manual',
    signal: AbortSignal.timeout(10_000),
  });
  keep(response, url);
  const next = response.headers.get('location');
  return next ? { next: new URL(next, url) } : { page: await response.text(), url };
}

function attribute(tag, name) {
  return tag.match(new RegExp(`\\b${name}="([^"]*)"`))?.[1].replaceAll('&amp;', '&');
}

// Fills in the page's form as a person would: the fields it has, code, account and password where it asks.
function fillIn(page, url) {
  const form = page.match(/<form[^>]*>/)?.[0];
  if (!form) return null;
  const fields = new URLSearchParams();
  for (const [input] of page.matchAll(/<input[^>]*>/g)) {
    const name = attribute(input, 'name');
    if (name) fields.set(name, attribute(input, 'value') ?? '');
  }
  if (fields.get('user_code') === '' && userCode) fields.set('user_code', userCode);
  if (fields.has('login')) fields.set('login', account);
  if (fields.has('password')) fields.set('password', 'any');
  return { next: new URL(attribute(form, 'action') ?? url, url), form: fields };
}

let step = { next: new URL(address) };
let last = '';
for (let count = 0; step && count < pagesAtMost; count += 1) {
  const answer = await ask(step.next, step.form);
  if (answer.page?.includes('Sign-in Success')) process.exit(0);
  last = answer.page ?? last;
  step = answer.next ? answer : fillIn(answer.page, answer.url);
}
console.error(`no success page; the last one was:\n${last}`);
process.exit(1);

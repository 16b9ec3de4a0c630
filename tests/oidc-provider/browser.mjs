// The person with a real browser: types the code on oidc-provider's pages in Chromium, signs in and approves.
//
//   node browser.mjs ADDRESS ACCOUNT USER_CODE [FOLDER]
//
// With FOLDER it leaves a picture of each page there. Exits 0 once the success page is seen.
import { chromium } from 'playwright-core';

const [address, account, userCode, folder] = process.argv.slice(2);
const { hostname } = new URL(address);

async function picture(page, name) {
  if (folder) await page.screenshot({ path: `${folder}/${name}.png` });
}

async function approve(page) {
  await page.goto(address);
  await picture(page, '1-code');
  await page.fill('input[name=user_code]', userCode);
  await page.click('button[type=submit]');

  // The confirmation's form has no box of its own: it is there as soon as it is attached.
  await page.waitForSelector('form[id="op.deviceConfirmForm"]', { state: 'attached' });
  const shown = await page.textContent('code');
  if (shown.trim() !== userCode) throw new Error(`the page shows the code ${shown}, the device ${userCode}`);
  await picture(page, '2-confirm');
  await page.click('button[autofocus]');

  await page.fill('input[name=login]', account);
  await page.fill('input[name=password]', 'any');
  await picture(page, '3-sign-in');
  await page.click('button[type=submit]');

  await page.waitForSelector('input[name=prompt][value=consent]', { state: 'attached' });
  await picture(page, '4-consent');
  await page.click('button[type=submit]');

  await page.waitForSelector('text=Sign-in Success');
  await picture(page, '5-success');
}

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  // As root there is no sandbox; nothing but the pages under test is ever to be loaded.
  args: ['--no-sandbox', '--disable-quic', '--disable-background-networking', '--disable-component-update', '--disable-sync',
    `--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE ${hostname}`],
});
try {
  // The CA is the test's own. A phone's size, because that is what people hold.
  const context = await browser.newContext({ ignoreHTTPSErrors: true, viewport: { width: 390, height: 844 } });
  context.setDefaultTimeout(15_000);
  await approve(await context.newPage());
} finally {
  await browser.close();
}

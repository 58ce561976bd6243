// Drives Chromium through the pages, as a person with a phone would. Settings come as JSON in the first argument; each step is a line of JSON on
// standard output, and a step that does not come out as it should ends the process with an error.
"use strict";

const { createHmac, createHash, randomBytes } = require("node:crypto");
const fs = require("node:fs");
const http = require("node:http");
const path = require("node:path");
const { chromium } = require("playwright-core");

const { issuer, dataDir, profile, shots, chromium: executablePath } = JSON.parse(process.argv[2]);
const EMAIL = "grace@example.com";
const PASSWORD = "mauve pelican drums softly";
const STEP_MS = 20_000;

const said = (step) => console.log(JSON.stringify({ step }));
const check = (is, what) => {
  if (!is) throw new Error(what);
};

/** Waits for a mail with this in it, and gives its text. */
async function mail(to, text) {
  const outbox = path.join(dataDir, "outbox");
  for (const began = Date.now(); Date.now() - began < STEP_MS; ) {
    const files = fs.existsSync(outbox) ? fs.readdirSync(outbox).filter((name) => name.endsWith(".eml")).sort() : [];
    const mails = files.map((name) => fs.readFileSync(path.join(outbox, name), "utf8"));
    const found = mails.reverse().find((mail) => mail.includes(to) && mail.includes(text));
    if (found) return found;
    await new Promise((done) => setTimeout(done, 50));
  }
  throw new Error(`no mail to ${to} with ${text}`);
}

const BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/** RFC 6238 with the defaults of authenticator apps. */
function totp(secret, step = Math.floor(Date.now() / 30_000)) {
  const bits = [...secret.replace(/[^A-Z2-7]/gi, "").toUpperCase()].map((c) => BASE32.indexOf(c).toString(2).padStart(5, "0")).join("");
  const key = Buffer.from(bits.match(/.{8}/g).map((byte) => parseInt(byte, 2)));
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(step));
  const mac = createHmac("sha1", key).update(counter).digest();
  const offset = mac[19] & 15;
  return String((mac.readUInt32BE(offset) & 0x7fffffff) % 1_000_000).padStart(6, "0");
}

/** An app on this machine that waits for its answer (RFC 8252, 7.3). */
async function listen() {
  let answered;
  const answer = new Promise((done) => (answered = done));
  const server = http.createServer((request, response) => {
    const url = new URL(request.url, "http://127.0.0.1");
    // Without an icon of its own, the browser would ask for one when nobody listens any more.
    response.setHeader("content-type", "text/html").end("<!doctype html><link rel=icon href='data:,'>ok");
    if (url.pathname === "/callback") answered(url.searchParams);
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  return { callback: `http://127.0.0.1:${server.address().port}/callback`, answer, close: () => server.close() };
}

function authorize(client, redirectUri, more = {}) {
  const verifier = randomBytes(32).toString("base64url");
  const challenge = createHash("sha256").update(verifier).digest("base64url");
  const wish = {
    client_id: client,
    redirect_uri: redirectUri,
    response_type: "code",
    scope: "openid email devices:read",
    state: "from-the-browser",
    code_challenge: challenge,
    code_challenge_method: "S256",
    ...more,
  };
  return { url: `${issuer}/oauth2/authorize?${new URLSearchParams(wish)}`, verifier };
}

/** What is wrong with the page at hand; runs in the browser. */
function faultsOfPage() {
  const faults = [];
  if (document.documentElement.scrollWidth > window.innerWidth) faults.push("it is wider than the screen");
  if (document.querySelectorAll("h1").length !== 1) faults.push("it has not one heading");
  if (!document.documentElement.lang || !document.title) faults.push("it has no language or title");
  if (document.querySelector("[style], [onclick], script:not([src])")) faults.push("it has inline script or style");
  for (const input of document.querySelectorAll("input:not([type=hidden])")) {
    if (!input.labels.length) faults.push(`${input.name} has no label`);
    if (!input.autocomplete) faults.push(`${input.name} has no autocomplete`);
    if (input.getBoundingClientRect().height < 44) faults.push(`${input.name} is too small for a finger`);
  }
  for (const button of document.querySelectorAll("button, a.button")) {
    if (button.getBoundingClientRect().height < 44) faults.push(`${button.textContent} is too small for a finger`);
  }
  const light = (color) => {
    const channels = color.match(/[\d.]+/g).map(Number);
    const linear = channels.slice(0, 3).map((c) => (c / 255 <= 0.03928 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
  };
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const color = getComputedStyle(at).backgroundColor;
      if (!color.endsWith(", 0)") && color !== "transparent") return color;
    }
    return "rgb(255, 255, 255)";
  };
  for (const element of document.querySelectorAll("p, a, label, button, h1, h2, li, input:not([type=hidden])")) {
    const [one, other] = [light(getComputedStyle(element).color), light(ground(element))].sort((a, b) => b - a);
    if ((one + 0.05) / (other + 0.05) < 4.5) faults.push(`too little contrast: ${element.textContent || element.name}`);
  }
  return faults;
}

async function main() {
  const context = await chromium.launchPersistentContext(profile, {
    executablePath,
    headless: true,
    ignoreHTTPSErrors: true,
    viewport: { width: 390, height: 844 },
    locale: "en-GB",
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
  context.setDefaultTimeout(STEP_MS);
  const page = context.pages()[0] ?? (await context.newPage());
  const broken = [];
  page.on("console", (message) => message.type() === "error" && broken.push(message.text()));
  page.on("pageerror", (error) => broken.push(String(error)));

  /** A picture of the page in light and in dark, and what a page must have. */
  async function shown(name) {
    for (const scheme of ["light", "dark"]) {
      await page.emulateMedia({ colorScheme: scheme });
      const faults = await page.evaluate(faultsOfPage);
      check(faults.length === 0, `${name}, ${scheme}: ${faults.join("; ")}`);
      if (shots) await page.screenshot({ path: path.join(shots, `${name}-${scheme}.png`), fullPage: true, caret: "initial" });
    }
    said(name);
  }

  const button = (name) => page.getByRole("button", { name, exact: true }).click();
  const link = (name) => page.getByRole("link", { name, exact: true }).click();

  /** What the app is told, once the browser has arrived there. */
  const answered = async () => {
    const answer = await app.answer;
    await page.waitForURL((url) => url.pathname === "/callback");
    return answer;
  };
  const signOut = async () => {
    await page.goto(`${issuer}/account/sign-out`);
    await button("Sign out");
    await page.getByRole("heading", { name: "You are signed out" }).waitFor();
  };
  const typePassword = async () => {
    await page.goto(`${issuer}/account/sign-in`);
    await page.getByLabel("E-mail address").fill(EMAIL);
    await page.getByLabel("Password").fill(PASSWORD);
    await button("Sign in");
  };

  // Signing up, on the way to an app of one's own: no consent is asked for.
  let app = await listen();
  await page.goto(authorize("app", app.callback).url);
  await shown("sign-in");
  await link("Create an account");
  await shown("sign-up");
  await page.getByLabel("E-mail address").fill(EMAIL);
  await page.getByLabel("Password").fill("password1234");
  await button("Create account");
  await page.getByRole("alert").waitFor();
  await shown("sign-up-refused");
  await page.getByLabel("Password").fill(PASSWORD);
  await button("Create account");
  await page.getByRole("heading", { name: "Check your e-mail" }).waitFor();
  await shown("verify");
  await page.getByLabel("Code").fill("00000000");
  await button("Continue");
  await page.getByRole("alert").waitFor();
  await shown("verify-refused");
  const code = (await mail(EMAIL, "Your code")).match(/^\s*(\d{8})\s*$/m)[1];
  await page.getByLabel("Code").fill(code);
  await button("Continue");
  let answer = await answered();
  check(answer.get("code") && answer.get("iss") === issuer && answer.get("state") === "from-the-browser", "the app got its code");
  app.close();
  said("signed-up");

  // The account's page, and out.
  await page.goto(`${issuer}/account`);
  await shown("account");
  await page.goto(`${issuer}/account/sign-out`);
  await shown("sign-out");
  await button("Sign out");
  await page.getByRole("heading", { name: "You are signed out" }).waitFor();
  await shown("signed-out");

  // A wrong password, then the right one, and the consent that a client of others needs.
  app = await listen();
  await page.goto(authorize("other", app.callback).url);
  await page.getByLabel("E-mail address").fill(EMAIL);
  await page.getByLabel("Password").fill("not my password at all");
  await button("Sign in");
  await page.getByRole("alert").waitFor();
  await shown("sign-in-refused");
  await page.getByLabel("Password").fill(PASSWORD);
  await button("Sign in");
  await page.getByRole("heading", { name: "Allow access?" }).waitFor();
  await shown("consent");
  await button("Don't allow");
  answer = await answered();
  check(answer.get("error") === "access_denied" && !answer.get("code"), "the app was refused");
  app.close();
  app = await listen();
  await page.goto(authorize("other", app.callback).url);
  await button("Allow");
  answer = await answered();
  check(answer.get("code"), "the app was let in");
  app.close();
  said("consented");

  // The apps that were let in, and one of them out again.
  await page.goto(`${issuer}/account`);
  await link("Apps with access");
  await shown("apps");
  await button("Take back access: Energy report <by others>");
  await page.getByRole("status").waitFor();
  await shown("apps-taken-back");
  check(!(await page.getByText("Energy report").count()), "the app is gone");

  // A screen without a keyboard.
  const begun = await context.request.post(`${issuer}/oauth2/device_authorization`, { form: { client_id: "app", scope: "devices:read" } });
  const { user_code: userCode } = await begun.json();
  await page.goto(`${issuer}/device`);
  await shown("device");
  await page.getByLabel("Code on the screen").fill(userCode.toLowerCase());
  await button("Continue");
  await shown("device-confirm");
  await button("Allow");
  await page.getByRole("status").waitFor();
  await shown("device-done");

  // A passkey, made and used by a virtual authenticator (Web Authentication, 11).
  const cdp = await context.newCDPSession(page);
  await cdp.send("WebAuthn.enable");
  const options = { protocol: "ctap2", transport: "internal", hasResidentKey: true, hasUserVerification: true, isUserVerified: true };
  const { authenticatorId } = await cdp.send("WebAuthn.addVirtualAuthenticator", { options: { ...options, automaticPresenceSimulation: true } });
  const form = (action) => page.locator(`form[action="${action}"]`);
  await page.goto(`${issuer}/account/security`);
  await shown("security");
  await form("/account/security/totp").getByRole("button").click();
  const secret = await page.locator(".secret").textContent();
  await shown("totp");
  const step = Math.floor(Date.now() / 30_000);
  await page.getByLabel("Code").fill(totp(secret, step));
  await button("Continue");
  await page.locator(".codes").waitFor();
  await shown("recovery-codes");
  const recoveryCode = (await page.locator(".codes li").first().textContent()).trim();
  await signOut();
  await typePassword();
  await shown("second-factor");
  await page.getByLabel("Code").fill(totp(secret, step));
  await button("Continue");
  await page.getByRole("alert").waitFor();
  await shown("second-factor-refused");
  await page.getByLabel("Code").fill(totp(secret, step + 1));
  await button("Continue");
  await page.getByRole("heading", { name: "Your account" }).waitFor();
  said("signed-in-with-totp");
  await signOut();
  await typePassword();
  await button("Use a recovery code");
  await shown("recovery-code");
  await page.getByLabel("Recovery code").fill(recoveryCode);
  await button("Continue");
  await page.getByRole("heading", { name: "Your account" }).waitFor();
  said("signed-in-with-recovery-code");

  await page.goto(`${issuer}/account/security`);
  await form("/account/security/passkeys").getByRole("button").click();
  await shown("passkey-new");
  await form("/account/security/passkeys/new").getByRole("textbox").fill("My <phone>");
  await form("/account/security/passkeys/new").getByRole("button").click();
  await page.getByRole("status").waitFor();
  await shown("security-with-passkey");
  const { credentials } = await cdp.send("WebAuthn.getCredentials", { authenticatorId });
  check(credentials.length === 1 && credentials[0].rpId === "localhost", "the passkey is in the authenticator");
  await signOut();
  app = await listen();
  await page.goto(authorize("app", app.callback).url);
  await link("Sign in with a passkey");
  await shown("passkey");
  await button("Use passkey");
  answer = await answered();
  check(answer.get("code"), "a passkey alone signs in");
  app.close();
  said("signed-in-with-passkey");
  await page.goto(`${issuer}/account`);
  await signOut();
  await typePassword();
  await shown("second-factor-passkey");
  await button("Use passkey");
  await page.getByRole("heading", { name: "Your account" }).waitFor();
  said("signed-in-with-password-and-passkey");

  // Refused where it should be.
  for (const wish of [{ redirect_uri: "https://evil.example/" }, { client_id: "nobody" }]) {
    await page.goto(authorize("app", "http://127.0.0.1:9/callback", wish).url);
    check(new URL(page.url()).origin === issuer, "nobody is sent elsewhere");
  }
  await shown("error");
  await page.goto(`${issuer}/account/reset?token=nonsense`);
  await shown("reset-expired");
  await page.goto(`${issuer}/account/forgot`);
  await shown("forgot");
  await page.getByLabel("E-mail address").fill(EMAIL);
  await button("Send the link");
  await shown("forgot-sent");
  const reset = (await mail(EMAIL, "/account/reset?token=")).match(/https:\/\/\S+\/account\/reset\?token=\S+/)[0];
  await page.goto(reset);
  await shown("reset");

  // Refusals that were wished for; and the app of the test has gone by the time that the browser asks it for an icon.
  const expected = /the server responded with a status of (4\d\d)|net::ERR_CONNECTION_REFUSED/;
  const real = broken.filter((text) => !expected.test(text));
  check(real.length === 0, `the console says: ${real.join("; ")}`);
  await context.close();
  said("done");
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});

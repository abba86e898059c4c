// A browser for the console: logs in, looks at pages as people of different screens do, and has axe-core judge them.
"use strict";

const assert = require("node:assert/strict");
const fs = require("node:fs");
const path = require("node:path");
const { chromium } = require("playwright-core");

const AXE = fs.readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const WIDE = { width: 1280, height: 900 };
const NARROW = { width: 390, height: 844 };
const SERIOUS = ["serious", "critical"];
const { WEB, SHOTS } = process.env;

class Browser {
  static async open() {
    const browser = await chromium.launch({
      executablePath: process.env.CHROMIUM || "/usr/bin/chromium",
      args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
    });
    const context = await browser.newContext({ viewport: WIDE, acceptDownloads: true, timezoneId: "UTC" });
    context.setDefaultTimeout(30_000);
    const page = await context.newPage();
    return new Browser(browser, context, page);
  }

  constructor(browser, context, page) {
    Object.assign(this, { browser, context, page, complaints: [], slow: [], seen: new Set() });
    // What a policy forbids, what a script does wrong, and what is not there are all told on the console of the browser.
    page.on("console", (message) => {
      const isOfStatus = /Failed to load resource: the server responded with a status of 4\d\d/.test(message.text());
      if (message.type() === "error" && !isOfStatus) this.complaints.push(`${page.url()}: ${message.text()}`);
    });
    page.on("pageerror", (error) => this.complaints.push(`${page.url()}: ${error}`));
  }

  async close() {
    await this.browser.close();
    assert.deepEqual(this.complaints, [], "the browser complained");
  }

  async go(address) {
    const response = await this.page.goto(new URL(address, WEB).href);
    assert.ok(response.ok(), `${address}: ${response.status()}`);
    return response;
  }

  async logIn(name, password) {
    await this.go("/login");
    await this.page.getByLabel("Name").fill(name);
    await this.page.getByLabel("Password").fill(password);
    await this.press("Log in");
    await this.page.waitForURL(WEB + "/");
  }

  button(name) {
    return this.page.getByRole("button", { name, exact: true });
  }

  // Presses a button and waits for the page that it leads to.
  async press(name, within = this.page) {
    const target = typeof name === "string" ? within.getByRole("button", { name, exact: true }).first() : name;
    await Promise.all([this.page.waitForEvent("framenavigated"), target.click()]);
    await this.page.waitForLoadState();
  }

  async follow(name, within = this.page) {
    await Promise.all([this.page.waitForEvent("framenavigated"), within.getByRole("link", { name }).first().click()]);
    await this.page.waitForLoadState();
  }

  async text() {
    return this.page.locator("main").innerText();
  }

  async says(...words) {
    const text = await this.text();
    for (const word of words) assert.ok(text.includes(word), `${this.page.url()} does not say "${word}":\n${text.slice(0, 3000)}`);
  }

  // Pictures at both widths, light and dark; nothing reaches past a phone's screen; axe finds nothing serious.
  async look(name) {
    assert.ok(!this.seen.has(name), `two pictures are called ${name}`);
    this.seen.add(name);
    // What follows a run loads the page anew at its end.
    await this.page.waitForFunction(() => !document.querySelector("main [data-live], main [data-follow]"));
    await this.page.waitForLoadState();
    for (const [width, size] of [["1280", WIDE], ["390", NARROW]]) {
      await this.page.setViewportSize(size);
      const over = await this.page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      await this.page.screenshot({ path: path.join(SHOTS, `${name}-${width}.png`), fullPage: true });
      assert.ok(over <= 0, `${name}: ${over} pixels reach past a screen of ${width}`);
      await this.judge(name + " at " + width);
    }
    await this.page.setViewportSize(WIDE);
    await this.page.emulateMedia({ colorScheme: "dark" });
    await this.page.screenshot({ path: path.join(SHOTS, `${name}-dark.png`), fullPage: true });
    await this.judge(name + " in the dark");
    await this.page.emulateMedia({ colorScheme: null });
  }

  async judge(what) {
    // Evaluated by the debugger, so that the page's policy stays what it is for everybody.
    await this.page.evaluate(AXE);
    const violations = await this.page.evaluate(async () => {
      const result = await axe.run(document, { resultTypes: ["violations"] });
      return result.violations.map(({ id, impact, help, nodes }) => ({
        id, impact, help, nodes: nodes.slice(0, 3).map((node) => `${node.html.slice(0, 160)} ${node.failureSummary}`),
      }));
    });
    const serious = violations.filter((violation) => SERIOUS.includes(violation.impact));
    assert.deepEqual(serious, [], `${what}: ${this.page.url()}`);
  }

  // The text of a file that a button gives.
  async download(name) {
    const [download] = await Promise.all([this.page.waitForEvent("download"), this.button(name).click()]);
    return { name: download.suggestedFilename(), bytes: fs.readFileSync(await download.path()) };
  }
}

// Runs a script with a browser; what it says last is read by the test.
async function run(script) {
  const browser = await Browser.open();
  try {
    await script(browser);
    await browser.close();
  } catch (error) {
    await browser.page.screenshot({ path: path.join(SHOTS, "failed.png"), fullPage: true }).catch(() => {});
    console.error(`at ${browser.page.url()}`);
    console.error(error);
    console.error(browser.complaints);
    process.exit(1);
  }
  console.log(`passed, ${browser.seen.size} pages were looked at`);
}

module.exports = { assert, run };

// The first day of a company: from the link that the first start prints to data that is queried, and back out.
"use strict";

const { assert, run } = require("./lib.js");

const { SETUP, TOKEN, OTHER_TOKEN, DEALS } = process.env;
const PASSWORD = "the first admin of a company";

run(async (browser) => {
  const { page } = browser;
  await setUp(browser);
  await connect(browser);
  await choose(browser);
  await synchronize(browser);

  await browser.go("/query");
  await page.getByLabel("SQL").fill("SELECT count(*) AS deals FROM hubspot.deal WHERE amount > 0");
  await browser.press("Run");
  await browser.says("Result");
  const found = Number(await page.locator(".grid tbody td").first().innerText());
  assert.ok(found > 0 && found <= Number(DEALS), `${found} of ${DEALS}`);
  await browser.go("/");
  await browser.says("Rows per day", "hubspot.deal");

  await renameAndDrop(browser);
  await leaveAndReturn(browser, page);

  await browser.press(page.locator("aside").getByRole("button", { name: "Log out" }));
  assert.match(page.url(), /\/login$/);
  await page.goto(new URL("/objects", process.env.WEB).href);
  assert.match(page.url(), /\/login$/, "the session is over");
});

async function setUp(browser) {
  const { page } = browser;
  await browser.go(SETUP);
  await browser.look("setup");
  await page.getByLabel("Name").fill("anna");
  await page.getByLabel("Password", { exact: true }).fill("short");
  await page.getByLabel("Password again").fill("short");
  await browser.press("Make the admin");
  await browser.says("12 characters");
  await page.getByLabel("Password", { exact: true }).fill(PASSWORD);
  await page.getByLabel("Password again").fill(PASSWORD);
  await browser.press("Make the admin");
  await browser.go("/");
  await browser.says("Connect your first source");
  await browser.look("welcome");
  await browser.follow("Choose a connector");
}

async function connect(browser) {
  const { page } = browser;
  await browser.look("connectors");
  await page.getByLabel("Search connectors").fill("hubspot");
  await browser.follow(/^Connect HubSpot/);
  await browser.look("connect");
  await browser.press(page.locator("main form button.main").first());
  await browser.look("connection-new");
  await browser.press(page.getByRole("button", { name: /^Log in at/ }));
  await browser.says("asks for read access", "crm.objects.deals.read");
  await browser.look("consent-asked");
  await browser.press(page.getByRole("button", { name: /^Continue to/ }));
  // The vendor's own page.
  await browser.press(page.getByRole("button", { name: /^Connect / }).first());
  await browser.says("is connected");
  await browser.follow(/^Open hubspot/);
  await browser.says("Connected as");
  await browser.look("connection");
}

async function choose(browser) {
  const { page } = browser;
  await browser.follow("Choose objects");
  await browser.look("discovered");
  await page.getByLabel("Deal", { exact: false }).first().check();
  await browser.press("Adopt");
  await browser.says("adopted");
  await browser.look("fields");
  // A composite key is tried on records of the source, and not taken.
  const unique = (name) => page.getByLabel(`Unique: ${name}`, { exact: true });
  await unique("id").uncheck();
  await unique("dealstage").check();
  await unique("pipeline").check();
  await browser.press("Check unique fields");
  await browser.says("share their values of");
  await browser.look("key-refused");
  await unique("id").check();
  await unique("dealstage").uncheck();
  await browser.press("Check unique fields");
  await browser.says("apart, and none lacks a value");
  await page.getByLabel("Names a record: dealname").check();
  await browser.press("Save");
  await browser.says("Saved");

  await browser.follow("Import settings");
  await browser.look("import");
  await page.getByLabel("Field").first().selectOption("amount");
  await page.getByLabel("Condition").selectOption(">");
  await page.getByLabel("Value").fill("0");
  await browser.press("Add");
  await browser.says("match");
  assert.equal(await page.getByLabel("Filter, in SQL").inputValue(), "amount > 0");
  await browser.look("import-counted");
  await browser.press("Save and synchronize");
}

async function synchronize(browser) {
  const { page } = browser;
  await browser.says("What it takes", "calls");
  await page.getByLabel("Everything").check();
  await browser.look("import-dialog");
  await browser.press("Start");
  assert.match(page.url(), /\/syncs\/\d+$/);
  await page.locator("main").getByText("succeeded").first().waitFor({ timeout: 60_000 });
  await page.waitForLoadState();
  await browser.look("synchronized");
}

async function renameAndDrop(browser) {
  const { page } = browser;
  await browser.go("/objects/hubspot/deal");
  await page.getByText("✎ Rename", { exact: true }).click();
  await page.getByLabel("Name in SQL").fill("no good name!");
  await browser.press("Rename");
  assert.equal(await page.getByLabel("Name in SQL").inputValue(), "no good name!");
  await page.getByLabel("Name in SQL").fill("opportunity");
  await browser.press("Rename");
  await browser.says("hubspot.opportunity");
  await browser.go("/query?sql=SELECT count(*) FROM hubspot.opportunity");
  await browser.press("Run");
  await browser.says("Result");
  await browser.go("/objects/hubspot/opportunity");
  await page.locator("summary", { hasText: "Drop" }).click();
  await browser.press("Drop opportunity");
  await browser.says("is dropped");
  await browser.look("objects-dropped");
  await page.locator("summary", { hasText: "dropped object" }).click();
  await browser.press(page.getByRole("button", { name: /^Bring back/ }).first());
  await browser.says("opportunity");
}

async function leaveAndReturn(browser, page) {
  await browser.go("/connections/hubspot");
  await page.locator("main summary", { hasText: "Log out" }).click();
  await browser.press(page.locator("main details").getByRole("button", { name: "Log out" }));
  await browser.says("Nobody is logged in");
  const bring = async (secret) => {
    const token = page.locator("main input[type=password]").last();
    await token.evaluate((field) => {
      for (let at = field.closest("details"); at; at = at.parentElement.closest("details")) at.open = true;
    });
    await token.fill(secret);
    await browser.press("Save and test", token.locator("xpath=ancestor::form"));
    await browser.says("Connected as");
  };
  const accept = async (picture) => {
    await browser.says("Somebody else is logged in");
    await browser.press("Compare with before");
    await browser.look(picture);
    await browser.press("Accept");
    assert.ok(!(await browser.text()).includes("Somebody else is logged in"));
  };
  // A token in place of the login of a person, and then one with fewer rights: compared before anything is taken away.
  await bring(TOKEN);
  await accept("visibility-of-a-token");
  await bring(OTHER_TOKEN);
  await accept("visibility");
}

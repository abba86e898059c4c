// What an admin looks after: fields and keys, filters, names, people, the audit. Of objects that are there already.
"use strict";

const { assert, run } = require("./lib.js");

const { ADMIN, ADMIN_PASSWORD } = process.env;

run(async (browser) => {
  await browser.logIn(ADMIN, ADMIN_PASSWORD);
  await lookAround(browser);
  await browser.go("/objects/hubspot/deal");
  await fields(browser);
  await filter(browser);
  await synchronize(browser);
  await rename(browser);
  await letIn(browser);
});

async function lookAround(browser) {
  const { page } = browser;
  await browser.go("/connectors/hubspot");
  assert.ok((await page.getByLabel("Redirect URI").inputValue()).endsWith("/oauth/callback/hubspot"));
  await browser.says("crm.objects.deals.read");
  await browser.look("connect");
  await browser.go("/connectors/postgresql");
  await page.getByLabel("Host").fill("http://db.example.com");
  await page.getByLabel("Database").fill("crm");
  await page.getByLabel("User").fill("reader");
  await browser.press("Save and test the login");
  await browser.says("setting `host` must be a host name alone");
  assert.equal(await page.getByLabel("Database").inputValue(), "crm", "what was typed is kept");
  await browser.look("connect-refused");
  await browser.go("/connections/hubspot");
  await browser.press("Invite a colleague");
  assert.match(await page.getByLabel("Link").inputValue(), /\/connect\/[\w-]{43}$/);
  await browser.look("invite");
  await browser.go("/connections/hubspot/objects");
  await browser.press("Adopt");
  await browser.says("Choose at least one object");
  await browser.look("choose");
}

async function fields(browser) {
  const { page } = browser;
  await browser.look("fields");
  await page.getByLabel("Import days_to_close").uncheck();
  await page.getByLabel("Unique: dealname").check();
  await browser.press("Check unique fields");
  await browser.says("tells all", "apart");
  assert.ok(await page.getByLabel("Unique: dealname").isChecked(), "nothing ticked is lost");
  assert.ok(!(await page.getByLabel("Import days_to_close").isChecked()));
  await page.getByLabel("Unique: id").uncheck();
  await page.getByLabel("Unique: dealname").uncheck();
  await page.getByLabel("Unique: dealstage").check();
  await browser.press("Check unique fields");
  await browser.says("share their values of dealstage");
  await browser.look("fields-checked");
  await page.getByLabel("Unique: id").check();
  await browser.press("Save");
  await browser.says("Saved.");
  await browser.follow(/Rename dealname/);
  await page.getByLabel("Name in SQL").fill("Deal Name");
  await browser.press("Save");
  await browser.says("`Deal Name` cannot be the name of a field");
  await page.getByLabel("Name in SQL").fill("title");
  await page.getByLabel("Label for people").fill("Title of the deal");
  await browser.look("field");
  await browser.press("Save");
  await browser.says("title", "Title of the deal");
}

async function filter(browser) {
  const { page } = browser;
  await browser.follow("Import settings");
  await page.getByLabel("Filter, in SQL").fill("amonut > 1");
  await browser.press("Count the records that match");
  await browser.says("did you mean `amount`?");
  await page.getByLabel("Filter, in SQL").fill("");
  await page.getByLabel("Field", { exact: true }).first().selectOption("amount");
  await page.getByLabel("Condition").selectOption(">");
  await page.getByLabel("Value").fill("1000");
  await browser.press("Add");
  await browser.says("match", "HubSpot is told");
  assert.equal(await page.getByLabel("Filter, in SQL").inputValue(), "amount > 1000");
  await page.getByLabel("Maximum number of records").fill("100000");
  await browser.look("import");
  await browser.press("Save and synchronize");
  await browser.says("What it takes", "calls of the source's API");
  await browser.look("sync");
}

async function synchronize(browser) {
  const { page } = browser;
  await browser.press("Start");
  await page.getByText("release published").waitFor();
  await browser.says("hubspot.deal", "succeeded");
  await browser.look("synced");
}

async function rename(browser) {
  const { page } = browser;
  await browser.go("/objects/hubspot/deal");
  await page.getByText("✎ Rename", { exact: true }).click();
  await page.getByLabel("Name in SQL").fill("opportunity");
  await browser.press("Rename");
  await browser.says("hubspot.opportunity");
  await browser.follow("Preview");
  await browser.says("title");
  await browser.look("preview");
  await browser.follow("Runs", page.getByRole("navigation", { name: "Parts of the object" }));
  await browser.says("succeeded");
  await page.locator("summary", { hasText: "Drop" }).click();
  await browser.press("Drop opportunity");
  await browser.says("is dropped");
  await page.getByText("1 dropped object").click();
  await browser.look("dropped");
  await browser.press("Bring back opportunity");
  await browser.says("is back", "current");
  await browser.go("/objects?q=opp");
  await browser.says("opportunity");
  await browser.look("objects");
}

async function letIn(browser) {
  const { page } = browser;
  await browser.follow("People", page.getByRole("navigation", { name: "Main" }));
  await page.getByLabel("Name", { exact: true }).fill("ann");
  await page.getByLabel("Role").selectOption("analyst");
  await page.getByLabel("First password").fill("ann reads on sundays");
  await browser.look("people");
  await browser.press("Add");
  await page.getByLabel("Let them read").selectOption("hubspot.opportunity");
  await browser.press("Grant");
  await browser.says("Granted.", "opportunity");
  await browser.look("person");
  await browser.follow("Audit", page.getByRole("navigation", { name: "Main" }));
  await page.getByLabel("Who").fill(ADMIN);
  await browser.press("Show");
  await browser.says("undrop_object", "set_fields");
  await browser.look("audit");
  await browser.go("/account");
  await browser.look("account");
  await browser.press("Log out", page.locator("aside"));
  await browser.look("login");
  await browser.logIn("ann", "ann reads on sundays");
  await browser.go("/objects");
  await browser.says("opportunity");
  const menu = await page.getByRole("navigation", { name: "Main" }).innerText();
  assert.ok(!menu.includes("People") && !menu.includes("Connectors"), menu);
}

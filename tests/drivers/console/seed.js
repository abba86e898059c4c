// Everything that somebody does on the first day: set up, connect, choose, filter, synchronize, rename, leave, come back
// as somebody else, let others in. By mouse and keyboard.
"use strict";

const { assert, run } = require("./lib.js");

const { SETUP } = process.env;
const PASSWORD = "my cat eats two fish";

run(async (browser) => {
  await setUp(browser);
  await connect(browser);
  await choose(browser);
  await fields(browser);
  await filter(browser);
  await synchronize(browser);
  await rename(browser);
  await comeBack(browser);
  await letIn(browser);
});

async function setUp(browser) {
  const { page } = browser;
  await browser.go(SETUP);
  await browser.look("setup");
  await page.getByLabel("Name", { exact: true }).fill("boss");
  await page.getByLabel("Password", { exact: true }).fill("short");
  await page.getByLabel("Password again").fill("short");
  await browser.press("Make the admin");
  await browser.says("shorter than 12 characters");
  assert.equal(await page.getByLabel("Name", { exact: true }).inputValue(), "boss", "what was typed is kept");
  await browser.look("setup-refused");
  await page.getByLabel("Password", { exact: true }).fill(PASSWORD);
  await page.getByLabel("Password again").fill(PASSWORD);
  await browser.press("Make the admin");
  await browser.says("Connect your first source", "HubSpot", "Salesforce");
  await browser.look("first");
}

async function connect(browser) {
  const { page } = browser;
  await page.getByLabel("Search connectors").fill("hub");
  assert.ok(!(await page.getByRole("row", { name: /Salesforce/ }).isVisible()), "the search hides others");
  await browser.follow(/Connect HubSpot/);
  await browser.says("/oauth/callback/hubspot", "crm.objects.deals.read");
  assert.ok((await page.getByLabel("Redirect URI").inputValue()).endsWith("/oauth/callback/hubspot"));
  await browser.look("connect");
  await browser.press("Save and test the login");
  await browser.says("Nobody is logged in");
  await browser.look("not-connected");
  await browser.press("Invite a colleague");
  assert.match(await page.getByLabel("Link").inputValue(), /\/connect\/[\w-]{43}$/);
  await browser.look("invite");
  await browser.follow(/Back to hubspot/);
  await login(browser);
}

async function login(browser) {
  await browser.press("Log in at HubSpot");
  await browser.says("asks for read access");
  await browser.press("Continue to HubSpot");
  await browser.press("Connect portal1.example");
  await browser.says("is connected");
  await browser.follow(/Open hubspot/);
  await browser.says("Connected as", "crm.objects.deals.read");
}

async function choose(browser) {
  const { page } = browser;
  await browser.look("connected");
  await browser.follow("Choose objects");
  await browser.look("choose");
  await browser.press("Adopt");
  await browser.says("Choose at least one object");
  await page.getByLabel("Search objects").fill("deal");
  await page.getByRole("row", { name: /^Deal deal / }).getByRole("checkbox").check();
  await browser.press("Adopt");
  await browser.says("1 object adopted", "never synced");
  assert.match(page.url(), /\/objects\/hubspot\/deal$/);
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
  await browser.look("progress");
  await page.getByText("release published").waitFor();
  await browser.says("hubspot.deal", "succeeded");
  await browser.look("synced");
}

async function rename(browser) {
  const { page } = browser;
  await browser.go("/objects/hubspot/deal");
  await page.getByText("✎ Rename").click();
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

async function comeBack(browser) {
  const { page } = browser;
  await browser.go("/connections/hubspot");
  await page.locator("summary", { hasText: "Log out" }).click();
  await browser.press("Log out", page.locator("main"));
  await browser.says("Logged out", "Nobody is logged in");
  await login(browser);
  await browser.says("Somebody else is logged in");
  await browser.press("Compare with before");
  await browser.look("compared");
  await page.getByLabel("Reason").fill("the same portal");
  await browser.press("Accept");
  await browser.says("is accepted");
  assert.ok(!(await browser.text()).includes("Somebody else is logged in"));
  await browser.go("/connectors");
  await browser.look("connectors");
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
  await page.getByLabel("Who").fill("boss");
  await browser.press("Show");
  await browser.says("accept_visibility", "undrop_object");
  await browser.look("audit");
  await browser.go("/account");
  await browser.look("account");
  await browser.press("Log out");
  await browser.look("login");
  await browser.logIn("ann", "ann reads on sundays");
  await browser.go("/objects");
  await browser.says("opportunity");
  const menu = await page.getByRole("navigation", { name: "Main" }).innerText();
  assert.ok(!menu.includes("People") && !menu.includes("Connectors"), menu);
}

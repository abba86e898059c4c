// The pages that show what happened, and those that ask, compute and correct.
"use strict";

const { assert, run } = require("./lib.js");

const { ADMIN, ADMIN_PASSWORD, HELD, DEAL } = process.env;

run(async (browser) => {
  const { page } = browser;
  await browser.logIn(ADMIN, ADMIN_PASSWORD);
  await browser.says("Freshness", "Rows per day", "held run");
  await browser.look("home");

  await runs(browser);
  await query(browser);
  await statements(browser);
  await overrides(browser);
  await releases(browser);

  await browser.go("/batches");
  await browser.look("batches");
  await browser.follow(/^\d{4}-\d\d-\d\d/);
  await browser.says("Course", "Steps");
  await browser.look("batch");

  await browser.go("/alerts");
  await browser.says("Health", "works");
  await browser.look("alerts");
  assert.equal(await page.locator("nav[aria-label=Main] a[aria-current]").innerText(), "Alerts");
});

async function runs(browser) {
  const { page } = browser;
  await browser.go("/runs");
  await browser.says("Held: somebody has to look", "Time spent per day");
  await browser.look("runs");
  await page.getByLabel("Object").fill("demo.quota");
  await browser.press("Show");
  await browser.says("demo.quota");
  assert.ok(!(await browser.text()).includes("hubspot.contact"));
  await browser.go(`/runs/${HELD}`);
  await browser.says("Publish it, or drop it?", "Rules of the gate", "Records that go");
  await browser.look("run-held");
  await page.getByLabel("Reason").fill("the filter is meant so");
  await browser.press("Publish it");
  await browser.says("Published", "the filter is meant so");
}

async function query(browser) {
  const { page } = browser;
  await browser.go("/query");
  await browser.look("query-empty");
  const sql = page.getByLabel("SQL");
  // Completion: a table, then a field of it.
  await sql.pressSequentially("SELECT sta");
  await sql.fill("SELECT  FROM demo.oppor");
  await sql.press("End");
  await page.getByRole("option", { name: /demo\.opportunity/ }).or(page.getByRole("option", { name: /^opportunity/ })).first().waitFor();
  await sql.press("Enter");
  assert.match(await sql.inputValue(), /FROM demo\.opportunity$/);
  await sql.evaluate((field) => field.setSelectionRange(7, 7));
  await sql.pressSequentially("sta");
  await page.getByRole("option", { name: /^stage/ }).waitFor();
  await sql.press("Tab");
  assert.match(await sql.inputValue(), /^SELECT stage FROM/);
  await sql.fill("SELECT stage, count(*) AS deals, sum(amount) AS amount FROM demo.opportunity GROUP BY 1 ORDER BY 1");
  await Promise.all([page.waitForEvent("framenavigated"), sql.press("Control+Enter")]);
  await page.waitForLoadState();
  await browser.says("Result", "Closed Won");
  await page.getByText("Chart", { exact: true }).click();
  await page.getByLabel("Draw").selectOption("bar");
  await browser.press("Draw");
  assert.ok((await page.locator(".chart rect").count()) > 3);
  await browser.look("query-chart");
  await page.getByLabel("Draw").selectOption("line");
  await browser.press("Draw");
  assert.ok((await page.locator(".chart polyline").count()) > 0);

  const csv = await browser.download("CSV");
  assert.match(csv.name, /^tributary-.*\.csv$/);
  const lines = csv.bytes.toString("utf8").split("\r\n");
  assert.equal(lines[0], "stage,deals,amount");
  assert.ok(lines.length > 4 && lines.some((line) => /^Closed Won,\d+,\d+\.\d\d$/.test(line)), lines.join("\n"));
  const parquet = await browser.download("Parquet");
  assert.equal(parquet.bytes.subarray(0, 4).toString(), "PAR1");
  assert.equal(parquet.bytes.subarray(-4).toString(), "PAR1");

  await page.getByLabel("As of").fill("release 1");
  await page.getByLabel("SQL").fill("SELECT count(*) FROM hubspot.deal");
  await browser.press("Run");
  await browser.says("Not answered", "hubspot.deal");
  await page.getByLabel("As of").fill("the day before");
  await browser.press("Run");
  await browser.says("accepted are latest");
  assert.equal(await page.getByLabel("SQL").inputValue(), "SELECT count(*) FROM hubspot.deal");
  await page.getByLabel("As of").fill("");
  await page.getByLabel("SQL").fill("SELECT nonsense\nFROM demo.opportunity");
  await browser.press("Run");
  await browser.says("Not answered", "nonsense");
  await browser.look("query-refused");
}

async function statements(browser) {
  const { page } = browser;
  await browser.go("/statements");
  await browser.look("statements");
  await browser.follow("New statement");
  await page.getByLabel("Name", { exact: false }).first().fill("big_ones");
  await page.getByLabel("Query").fill("SELECT id, amount FROM demo.opportunity WHERE amount > 'much'");
  await browser.press("Create");
  assert.equal(await page.getByLabel("Query").inputValue(), "SELECT id, amount FROM demo.opportunity WHERE amount > 'much'");
  assert.ok((await page.locator("p.error, .note.bad").count()) > 0);
  await browser.look("statement-refused");
  await page.getByLabel("Query").fill("SELECT id, amount FROM demo.opportunity WHERE amount > 90000");
  await browser.press("Preview");
  await browser.says("Preview");
  await page.getByLabel("Unique fields").fill("id");
  await browser.press("Create");
  await browser.says("is defined");
  await browser.press("Compute now");
  await browser.says("Computed on the newest release", "Result");
  await browser.look("statement");
  await browser.press("Verify the newest result");
  await browser.says("rows are equal");
  await browser.look("statement-history");
  await browser.follow("Edit");
  await page.getByLabel("Description").fill("Those above 90,000");
  await browser.look("statement-edit");
  await browser.press("Save");
  await browser.says("Those above 90,000");
  await page.getByText("Drop", { exact: true }).click();
  await browser.press("Drop this statement");
  await browser.says("big_ones is dropped");
}

async function overrides(browser) {
  const { page } = browser;
  await browser.go("/overrides");
  await page.getByLabel("Object").fill("demo.opportunity");
  await page.getByLabel("Key").fill(DEAL);
  await browser.press("Show the record");
  await browser.says("amount", "unique field");
  const cell = page.getByRole("row", { name: /^amount/ });
  await cell.getByText("Edit", { exact: true }).click();
  await cell.getByRole("textbox", { name: /^Value/ }).fill("a lot");
  await cell.getByLabel("Reason").fill("typo, see mail of 3 March");
  await browser.press("Correct it for everybody", cell);
  await browser.says("does not fit field");
  const again = page.getByRole("row", { name: /^amount/ });
  assert.equal(await again.getByRole("textbox", { name: /^Value/ }).inputValue(), "a lot");
  assert.equal(await again.getByLabel("Reason").inputValue(), "typo, see mail of 3 March");
  await again.getByRole("textbox", { name: /^Value/ }).fill("1200.00");
  await browser.press("Correct it for everybody", again);
  await browser.says("is corrected for everybody", "1200.00");
  await browser.look("record");
  await browser.follow("What happened to it");
  await browser.says("override set", "1200.00", "first seen");
  await browser.look("explain");
  await browser.go("/overrides");
  await browser.says("typo, see mail of 3 March");
  await browser.look("overrides");
  await page.getByText("Undo", { exact: true }).last().click();
  await browser.press("Take it back");
  await browser.says("Taken back");
  await browser.follow("Ended");
  await browser.says("cleared");
}

async function releases(browser) {
  const { page } = browser;
  await browser.go("/releases");
  await browser.says("Last 30 days", "All releases");
  await browser.look("releases");
  await page.getByLabel("From").fill("1");
  await page.getByLabel("To").fill("latest");
  await browser.press("Compare");
  await browser.says("objects have other files");
  await browser.look("releases-compared");
  await page.getByLabel("From").fill("2");
  await page.getByRole("textbox", { name: /^Object/ }).fill("hubspot.deal");
  await browser.press("Compare");
  await browser.says("Gone");
  await browser.look("records-compared");
  await browser.go("/releases/1");
  await page.getByLabel("Name of the period").fill("not a name!");
  await browser.press("Freeze");
  assert.ok((await page.locator("p.error").count()) === 1);
  await page.getByLabel("Name of the period").fill("2026-10");
  await page.getByLabel("Reason").fill("payroll");
  await browser.press("Freeze");
  await browser.says("Frozen as 2026-10");
  await browser.look("release");
  await browser.follow("Query this release");
  assert.equal(await page.getByLabel("As of").inputValue(), "release 1");
}

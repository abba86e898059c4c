// postgres.js: everything prepared, results streamed by cursors.
const assert = require('node:assert/strict');
const postgres = require('postgres');

const sql = postgres({
  host: process.env.PGHOST, port: Number(process.env.PGPORT), user: process.env.PGUSER,
  password: process.env.PGPASSWORD, database: process.env.PGDATABASE, max: 3,
});
let checks = 0;
const same = (what, found, expected) => {
  checks += 1;
  assert.deepEqual(found, expected, what);
};

async function main() {
  const [row] = await sql`SELECT a_numeric, a_text, texts, a_timestamptz FROM every_type WHERE id = ${1}`;
  same('numeric', row.a_numeric, '77600.55');
  same('text', row.a_text, 'Zoë said "hi", \\ and 🙂\nbye');
  // It takes a NULL in an array for the text.
  same('array', row.texts, ['a', 'NULL', 'c d', 'NULL', '"']);
  same('time', row.a_timestamptz.toISOString(), '2024-02-29T13:14:15.678Z');
  const listed = await sql`SELECT id FROM many WHERE id IN ${sql([3, 5, 7])} ORDER BY id`;
  same('a list', listed.map(({ id }) => id), [3, 5, 7]);
  const any = await sql`SELECT count(*)::int AS n FROM many WHERE id = ANY(${[1, 2, 100001]})`;
  same('any', any[0].n, 2);
  let rows = 0;
  for await (const batch of sql`SELECT * FROM many`.cursor(1000)) rows += batch.length;
  same('a cursor', rows, 100000);
  const both = await sql.begin('read only', (own) => [own`SELECT 1 AS one`, own`SELECT count(*)::int AS n FROM many`]);
  same('a transaction', [both[0][0].one, both[1][0].n], [1, 100000]);
  same('columns', (await sql`SELECT id, name FROM many LIMIT 1`).columns.map(({ name }) => name), ['id', 'name']);
  const wrong = await sql`SELECT nothing FROM many`.catch((error) => error.code);
  same('SQLSTATE', wrong, '42703');
  const many = await Promise.all(Array.from({ length: 20 }, (_, i) => sql`SELECT name FROM many WHERE id = ${i + 1}`));
  same('side by side', many.map(([{ name }]) => name), Array.from({ length: 20 }, (_, i) => `row ${i + 1}`));
  await sql.end();
  console.log(`passed ${checks} checks`);
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});

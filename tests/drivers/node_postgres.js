// node-postgres: text results, extended protocol for parameters, streams by portals with a row limit.
'use strict';

const assert = require('node:assert/strict');
const { Client, Pool, types } = require('pg');
const QueryStream = require('pg-query-stream');

// A date is a day, not an instant of this machine's zone.
types.setTypeParser(1082, (text) => text);

// Column, its value in row 1 and in row 2, and the parameter that stands for row 1 where it is another.
const at = new Date('2024-02-29T13:14:15.678Z');
const COLUMNS = [
  ['a_boolean', true, false],
  ['a_smallint', -2, -32768],
  ['an_integer', 3, 2147483647],
  ['a_bigint', '4000000000', '9223372036854775807'],
  ['a_real', 1.5, 3.4028235e38],
  ['a_double', 2.25, 1.7976931348623157e308],
  ['a_numeric', '77600.55', '-9999999999999999.99'],
  ['a_wide', '12345678901234567890.0123456789', '9999999999999999999999999999.9999999999'],
  ['a_text', 'Zoë said "hi", \\ and 🙂\nbye', ''],
  ['a_varchar', 'plain', ''],
  ['a_bytea', Buffer.from([0, 255, 16]), Buffer.alloc(0)],
  ['a_date', '2024-02-29', '0001-01-02'],
  ['a_timestamp', at, new Date('9999-12-31T23:59:59.999Z'), '2024-02-29 13:14:15.678901'],
  ['a_timestamptz', at, new Date('1969-12-31T23:59:59.999Z'), '2024-02-29 13:14:15.678901+00'],
  ['texts', ['a', null, 'c d', 'NULL', '"'], []],
  ['integers', [1, null, -3], []],
];
let checks = 0;

function same(what, found, expected) {
  checks += 1;
  assert.deepStrictEqual(found, expected, what);
}

async function valuesAndParameters(client) {
  const names = COLUMNS.map(([name]) => name);
  const { rows, fields } = await client.query(`SELECT ${names.join(', ')} FROM every_type ORDER BY id`);
  same('rows', rows.length, 3);
  same('names', fields.map((field) => field.name), names);
  for (const [name, first, second, given = first] of COLUMNS) {
    same(name, rows[0][name], first);
    same(name, rows[1][name], second);
    same(name, rows[2][name], null);
    const found = await client.query(`SELECT id FROM every_type WHERE ${name} = $1`, [given]);
    same(`${name} = ${given}`, found.rows, [{ id: 1 }]);
    const none = await client.query(`SELECT id FROM every_type WHERE ${name} = $1`, [null]);
    same(`${name} = NULL`, none.rows, []);
  }
  const any = await client.query('SELECT id FROM every_type WHERE id = ANY($1) ORDER BY id', [[3, 1, 7]]);
  same('= ANY(array)', any.rows, [{ id: 1 }, { id: 3 }]);
  for (const [name, first, , given = first] of COLUMNS.filter(([, one]) => !Array.isArray(one))) {
    const found = await client.query(`SELECT id FROM every_type WHERE ${name} = ANY($1)`, [[given, null]]);
    same(`${name} = ANY(array)`, found.rows, [{ id: 1 }]);
  }
  const second = await client.query('SELECT id FROM every_type ORDER BY id LIMIT $1 OFFSET $2', [1, 1]);
  same('LIMIT and OFFSET', second.rows, [{ id: 2 }]);
  const back = await client.query('SELECT $1::text AS t, $2::numeric(18,2) AS n, $3::date AS d', ['x', '1.10', null]);
  same('parameters given back', back.rows, [{ t: 'x', n: '1.10', d: null }]);
  for (let i = 1; i < 8; i += 1) {
    const named = { name: 'by_id', text: 'SELECT name FROM many WHERE id = $1', values: [i] };
    same('prepared by name', (await client.query(named)).rows, [{ name: `row ${i}` }]);
  }
}

async function pools() {
  const pool = new Pool({ max: 3 });
  const ids = Array.from({ length: 50 }, (_, index) => index + 1);
  const found = await Promise.all(ids.map((id) => pool.query('SELECT id FROM many WHERE id = $1', [id])));
  same('through a pool', found.map((result) => result.rows[0].id), ids);
  await pool.end();
}

async function streaming(client) {
  let count = 0;
  let cents = 0n;
  const query = new QueryStream('SELECT id, name, amount, changed FROM many ORDER BY id', [], { batchSize: 1000 });
  for await (const row of client.query(query)) {
    count += 1;
    cents += BigInt(row.amount.replace('.', ''));
    const amount = ((count * 7919) % 1000003 / 100).toFixed(2);
    const changed = new Date(Date.UTC(2024, 0, 1) + count * 1000);
    assert.deepStrictEqual(row, { id: count, name: `row ${count}`, amount, changed });
  }
  same('rows streamed', count, 100000);
  const sum = (await client.query('SELECT sum(amount) AS sum FROM many')).rows[0].sum;
  same('sum of amounts', cents, BigInt(sum.replace('.', '')));
  // A stream that is given up half-way leaves the connection usable.
  for await (const row of client.query(new QueryStream('SELECT id FROM many ORDER BY id', [], { batchSize: 10 }))) {
    if (row.id === 25) break;
  }
  same('after a stream given up', (await client.query('SELECT 1 AS one')).rows, [{ one: 1 }]);
}

async function errors(client) {
  for (const [sql, values, state] of [
    ['SELECT no_such_column FROM every_type', undefined, '42703'],
    ['SELECT no_such_column FROM every_type WHERE id = $1', [1], '42703'],
    ['SELECT * FROM no_such_table', undefined, '42P01'],
    ['SELECT 1 / (id - $1::integer) FROM every_type WHERE id = 1', [1], '22012'],
  ]) {
    await assert.rejects(client.query(sql, values), { code: state }, sql);
    checks += 1;
    same('next query', (await client.query('SELECT $1::integer AS one', [1])).rows, [{ one: 1 }]);
  }
}

async function main() {
  for (const binary of [false, true]) {
    const client = new Client({ binary });
    await client.connect();
    await client.query("SET TIME ZONE 'UTC'");
    if (!binary) await valuesAndParameters(client);
    if (!binary) await streaming(client);
    same('binary or not', (await client.query('SELECT id FROM many WHERE id = $1', [77])).rows, [{ id: 77 }]);
    await errors(client);
    await client.end();
  }
  await pools();
  console.log(`passed ${checks} checks`);
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});

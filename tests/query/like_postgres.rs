//! The same statements against a real PostgreSQL: names, types and values have to be the same.

use std::collections::BTreeMap;

use crate::support::company::{Answer, Company, POSTGRES, run};
use crate::support::postgres;

/// What PostgreSQL answers, or its SQLSTATE.
async fn expected(client: &tokio_postgres::Client, sql: &str) -> Result<Answer, String> {
    let state =
        |error: tokio_postgres::Error| error.code().map_or("?".to_string(), |code| code.code().to_string());
    let prepared = client.prepare(sql).await.map_err(state)?;
    let mut answer = Answer::default();
    for column in prepared.columns() {
        answer.names.push(column.name().to_string());
        answer.types.push(column.type_().name().to_string());
    }
    for message in client.simple_query(sql).await.map_err(state)? {
        if let tokio_postgres::SimpleQueryMessage::Row(row) = message {
            answer.rows.push((0..row.len()).map(|i| row.get(i).map(str::to_string)).collect());
        }
    }
    Ok(answer)
}

async fn compare(statements: &[&str]) {
    let database = postgres::database().await;
    database.execute(POSTGRES).await;
    let client = database.connect().await;
    let company = Company::new();
    let session = company.admin();
    let mut differences = BTreeMap::new();
    for sql in statements {
        let theirs = expected(&client, sql).await;
        let ours = run(&session, sql).await;
        let shown_error = ours.as_ref().err().map(|error| format!("{error:?}"));
        let mut ours = ours.map_err(|error| error.sqlstate().to_string());
        if let Ok(ours) = &mut ours {
            ours.tag.clear();
        }
        if ours != theirs {
            differences.insert(*sql, format!("  ours   {ours:?} {shown_error:?}\n  theirs {theirs:?}"));
        }
    }
    let shown: Vec<_> = differences.iter().map(|(sql, what)| format!("{sql}\n{what}")).collect();
    let count = differences.len();
    assert!(differences.is_empty(), "{count} of {} differ:\n{}", statements.len(), shown.join("\n"));
}

#[tokio::test]
async fn constants_and_arithmetic() {
    compare(&[
        "select 1",
        "select -1, 2147483647, 2147483648, -2147483647, 9223372036854775807, 9223372036854775808",
        "select 1.0, 1.50, -0.001, 12345678901234567890.123456789",
        "select 1 + 1, 2 * 3, 7 / 2, -7 / 2, 7 % 3, -7 % 3, 5 - 8",
        "select 2147483647 + 1",
        "select 2147483648 + 1",
        "select 9223372036854775807 + 1",
        "select 46341 * 46341",
        "select 1 / 0",
        "select 1.0 / 0",
        "select 1 % 0",
        "select 1.0::float8 / 0",
        "select 1.0 / 3, 7.0 / 2, 1 / 3.0, 10000 / 3.0, 100000.0 / 3, 2 / 3.0, -1.0 / 3",
        "select 1.0 * 1.10, 1.5 + 2, 1.5 - 0.25, 1.5 % 1, 0.1 + 0.2",
        "select 0.1 + 0.2 = 0.3, 1.10 = 1.1",
        "select (1 + 2) / 4.0, (1.0 / 3) * 3, 1 + 1.0 / 3",
        "select 1e3::float8, 1.5e300::float8, 1e-7::float8, 123456789012345678::float8",
        "select 0.1::float8 + 0.2::float8, 1.0::float8 / 3, 2::float8 * 1.5",
        "select 1::float4 / 3, 1.5::float4 + 1::float8",
        "select '5' + 1, '5' * 1.5",
        "select null + 1, null * 1.5",
        "select 1::smallint + 1::smallint, 32767::smallint + 1::smallint",
        "select 5 - 3 - 1, 2 + 3 * 4, (2 + 3) * 4",
        "select 'a' || 'b', 'a' || 1",
        "select true, false, null, 'x'",
        "select 99999999999999999999.99 * 99999999999999999999.99",
        "select 12345678901234567890 * 12345678901234567890",
        "select abs(-5), abs(-5.5), abs(-5.5::float8)",
        "select 1 = 1.0, 1 < 1.5, 2 > '1', '1.50' = 1.5",
    ])
    .await;
}

#[tokio::test]
async fn casts() {
    compare(&[
        "select cast(3.6 as int), cast(2.5 as int), cast(-2.5 as int), cast(2.4 as int)",
        "select 2.5::float8::int, 3.5::float8::int, -2.5::float8::int, 2.6::float8::bigint",
        "select 1.005::numeric(10,2), 1.004::numeric(10,2), -1.005::numeric(10,2), 2.5::numeric(3,0)",
        "select 123.456::numeric(4,2)",
        "select 1e10::float8::int",
        "select 3000000000::int",
        "select 40000::smallint",
        "select 'abc'::int",
        "select '12.5'::int",
        "select ' 42 '::int, '+5'::int, '-5'::bigint",
        "select '99999999999'::int",
        "select 'abc'::numeric",
        "select '1.50'::numeric, '1e3'::numeric, '-0.5'::numeric, 5::numeric, 5::bigint::numeric",
        "select '1.5'::float8, 'NaN'::float8, 'infinity'::float8, '1e400'::float8",
        "select 'NaN'::float8, 'infinity'::float8, '-Infinity'::float8",
        "select 1.1::float8::numeric, 0.30000000000000004::float8::numeric, 1.5::float4::numeric",
        "select 1.1::float8::numeric(10,3)",
        "select 'true'::bool, 't'::bool, 'no'::boolean, '1'::bool, 'off'::bool",
        "select 'maybe'::bool",
        "select 1::bool, 0::bool, true::int",
        "select 'x'::date",
        "select '2024-02-30'::date",
        "select '2024-01-31'::date, '20240131'::date, '2024-01-31 10:20:30'::timestamp",
        "select '2024-01-31 10:20'::timestamp, '2024-01-31T10:20:30.5Z'::timestamptz",
        "select '2024-01-31 10:20:30+02'::timestamptz, '2024-01-31 10:20:30+02'::timestamp",
        "select date '2024-01-31', timestamp '2024-01-31 10:00:00', timestamptz '2024-01-31 10:00:00+00'",
        "select 1::text, 1.50::text, true::text, 1.5::float8::text, 1e20::float8::text, date '2024-01-31'::text",
        "select timestamp '2024-01-31 10:00:00.5'::text, timestamptz '2024-01-31 10:00:00+00'::text",
        "select 'hello'::varchar(3)::text, 'hello'::varchar::text",
        "select 42::float8, 42::float4, 1.1::float4, 1.1::float8",
        "select date '2024-01-31' + 1, date '2024-01-31' - 1, date '2024-03-01' - date '2024-02-28'",
        "select date '2024-01-31'::timestamp, timestamp '2024-01-31 10:00:00'::date",
        "select true::numeric",
        "select date '2024-01-31'::int",
        "select '{1,2,3}'::int[]",
        "select cast('42' as integer), cast(3.6 as integer)",
    ])
    .await;
}

#[tokio::test]
async fn columns_and_aggregates() {
    compare(&[
        "select id, amount, probability from opportunity where amount = 77600.55 order by id",
        "select id, amount from opportunity where amount = 79.19 and id < 5",
        "select id from opportunity where amount = '158.38'",
        "select amount * 1.1, amount / 3, amount + 1, amount - 0.005 from opportunity where id = 1",
        "select amount / 100, amount / quantity, quantity / 7, quantity / 7.0 from opportunity where id in (1, 7) order by id",
        "select quantity * 2, quantity + 1, quantity::bigint * 2, probability * 2 from opportunity where id = 5",
        "select count(*), count(amount), count(distinct stage) from opportunity",
        "select sum(quantity), sum(id), sum(amount) from opportunity where id < 100",
        "select avg(quantity), avg(id), avg(amount) from opportunity",
        "select avg(probability) from opportunity where id = 3",
        "select min(amount), max(amount), min(quantity), max(created_at), min(close_date) from opportunity",
        "select avg(x) from (values (1), (2)) t(x)",
        "select avg(x) from (values (2)) t(x)",
        "select avg(x) from (values (1)) t(x)",
        "select avg(x) from (values (0), (1)) t(x)",
        "select avg(x) from (values (1.5), (2.25)) t(x)",
        "select avg(x), sum(x) from (values (1::bigint), (null)) t(x)",
        "select avg(quantity), sum(quantity), sum(amount), count(*) from opportunity where false",
        "select stage, sum(opportunity.amount) from opportunity group by 1 order by 1",
        "select stage, avg(amount) from opportunity group by stage order by avg(amount) desc, stage",
        "select stage, avg(amount) as mean, round(avg(amount), 2) from opportunity group by stage order by mean, stage",
        "select stage, sum(amount) / count(*), sum(amount) * 100.0 / sum(quantity) from opportunity group by stage order by stage limit 3",
        "select stage, count(*) filter (where is_won) from opportunity group by stage having count(*) > 166 order by 1",
        "select sum(amount) over (partition by stage order by id) from opportunity where id < 10 order by id",
        "select avg(amount) over (order by id rows between 1 preceding and current row) from opportunity where id < 6 order by id",
        "select row_number() over (order by id), rank() over (order by stage) from opportunity where id < 6 order by id",
        "select round(amount / 7, 2), round(amount), trunc(amount, 1), ceil(amount), floor(amount) from opportunity where id = 1",
        "select round(2.5), round(-2.5), round(2.5::float8), round(3.5::float8), round(1234.567, -2), round(2.345, 2)",
        "select trunc(2.57, 1), trunc(-2.57), ceil(2.1), ceil(-2.1), floor(2.9), floor(-2.1), ceil(2.1::float8)",
        "select round(5), ceil(5), round(5, 2)",
        "select sum(x) from (values (99999999999999999999999999999999999999.0), (99999999999999999999999999999999999999.0)) t(x)",
        "select sum(9223372036854775807) from opportunity where id < 4",
        "select count(*) from opportunity where amount > 100 and probability > 0.5 and quantity between 5 and 10",
        "select count(*) from opportunity where amount in (79.19, 158.38) or quantity in (1, 2)",
        "select count(*) from opportunity where stage = any('{Proposal,\"Closed Won\"}')",
        "select count(*) from opportunity where stage = any(array['Proposal','Closed Won'])",
        "select count(*) from opportunity where quantity = any('{1,2,null}')",
        "select count(*) from opportunity where close_date > '2020-06-01' and created_at < '2020-01-01 05:00:00+00'",
        "select count(*) from opportunity where created_at::date = '2020-01-01'",
        "select amount from opportunity where amount is not null order by amount desc nulls last limit 2 offset 1",
        "select amount from opportunity order by amount desc limit 2",
        "select case when amount > 100 then 1.0 else 2.5 end from opportunity where id in (1, 2) order by id",
        "select coalesce(amount, 0.00), coalesce(quantity, 5) from opportunity where id = 10",
        "select nullif(quantity, 1), greatest(1, 2.5), least(quantity, 3) from opportunity where id = 1",
        "with t as (select amount / 3 as a from opportunity where id < 4) select sum(a), max(a) from t",
        "select distinct stage from opportunity order by stage",
        "select a.id, b.name from opportunity a join crm.owner b on a.id = b.id where a.id < 3 order by 1",
        "select o.stage from opportunity o where exists (select 1 from crm.owner w where w.id = o.id) order by 1 limit 2",
        "select (select max(amount) from opportunity), (select count(*) from crm.owner)",
        "select 1.5 union all select 2.5 order by 1",
        "with recursive t(n) as (select 1 union all select n + 1 from t where n < 5) select sum(n), max(n) from t",
        "select * from opportunity where id = 1",
        "table crm.owner",
        "values (1, 'a'), (2, 'b')",
        "select id from opportunity order by id fetch first 2 rows only",
        "select amount % 7, quantity % 7, -amount, +amount from opportunity where id = 1",
        "select id / 2, id / 2.0, id::numeric / 3 from opportunity where id = 7",
        "select 100.0 * count(*) / (select count(*) from opportunity) from opportunity where is_won",
    ])
    .await;
}

#[tokio::test]
async fn names_of_columns() {
    compare(&[
        "select 1, 1, 'a', 'a'",
        "select id, id, amount as id from opportunity where id = 1",
        "select a.id, b.id from opportunity a join crm.owner b on a.id = b.id where a.id = 1",
        "select *, id from crm.owner where id = 1",
        "select a.*, b.* from crm.owner a join crm.owner b using (id) where a.id = 1",
        "select sum(amount), count(*), max(id), coalesce(null, 1), upper('a') from opportunity",
        "select amount::int, quantity::text, '1'::int, cast('x' as text) from opportunity where id = 1",
        "select case when true then 1 end, case when true then 1 else id end from opportunity where id = 1",
        "select exists (select 1), (select 1 as one), array[1, 2], not true, 1 + 1",
        "select 1 as \"Mixed Case\", 2 as Mixed",
        "select current_user = 'x', 1 in (1), 1 between 0 and 2, 'a' like 'b', null is null",
        "select extract(year from date '2024-01-31') is null, true, date '2024-01-31', 1.5",
        "select * from (select 1, 2) t(a, b)",
        "select * from (select id, id from crm.owner) t order by 1 limit 1",
        "select stage, sum(amount) from opportunity group by 1 order by sum limit 1",
        "select count(*) from opportunity group by stage order by count, stage limit 1",
        "select distinct a.id, b.id from opportunity a join crm.owner b on a.id = b.id order by a.id limit 1",
        "select substring('abc', 1, 2), trim(' a '), position('b' in 'abc')",
        "select trim(from ' a '), trim(both from ' a '), trim(leading from ' a '), '|' || trim(trailing from ' a ')",
        "select '{1.5,2.5,null}'::numeric[], '{1.5}'::numeric(10,2)[], array[1, 2]::numeric[]",
        "select '{1.5,2.4,-0.5}'::numeric[]::int[], '{1,2}'::int[]::text[], array['1', '2.50']::numeric(5,2)[]",
        "select count(*) from opportunity where amount = any('{77600.55,-1}'::numeric[])",
        "select array_agg(id order by id) from crm.owner",
        "select 1 union select 1",
    ])
    .await;
}

#[tokio::test]
async fn mistakes() {
    compare(&[
        "select nothing from opportunity",
        "select opportunity.nothing from opportunity",
        "select x.id from opportunity",
        "select id from opportunity a, crm.owner b where name = 'x'",
        "select * from nothing",
        "select nothing(1)",
        "select stage, sum(amount) from opportunity",
        "select 'a' = 1",
        "select stage = 1 from opportunity",
        "select stage + 1 from opportunity",
        "selec 1",
        "select 1 from",
        "select (1",
        "select 1 1",
        "select 'abc",
        "select \"abc",
        "select 1 /* x",
        "select count(*) from opportunity where count(*) > 1",
        "select id from opportunity limit -1",
        "select (select id from opportunity)",
        "select amount::date from opportunity",
        "select '{1,x}'::numeric[]",
        "select trim(from)",
        "select 1 from opportunity where id",
        "select 1::nothing",
        "select sum(stage) from opportunity",
        "select 1 union select 1, 2",
    ])
    .await;
}

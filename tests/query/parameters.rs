//! `$1`, `$2` ...: which type they get, and what they do.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Int32Type};
use datafusion::common::ScalarValue;

use crate::support::company::{Company, run_with};

fn text(value: &str) -> ScalarValue {
    ScalarValue::Utf8(Some(value.into()))
}

#[tokio::test]
async fn types_come_from_where_the_parameter_stands() {
    let company = Company::new();
    let session = company.admin();
    let list = |element| DataType::List(Arc::new(Field::new("element", element, true)));
    let zoned = DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, Some("UTC".into()));
    for (sql, types) in [
        ("select $1", vec![DataType::Utf8]),
        ("select $1 + 1", vec![DataType::Int32]),
        ("select $1::int, $2::date", vec![DataType::Int32, DataType::Date32]),
        ("select 1 where $1 = $2", vec![DataType::Utf8, DataType::Utf8]),
        ("select id from opportunity where id = $1 and stage = $2", vec![DataType::Int64, DataType::Utf8]),
        ("select id from opportunity where amount > $1", vec![DataType::Decimal128(18, 2)]),
        ("select id from opportunity where stage = any($1)", vec![list(DataType::Utf8)]),
        ("select id from opportunity where id = any($1)", vec![list(DataType::Int64)]),
        ("select id from opportunity limit $1 offset $2", vec![DataType::Int64, DataType::Int64]),
        (
            "select id from opportunity where close_date between $1 and $2",
            vec![DataType::Date32, DataType::Date32],
        ),
        ("select id from opportunity where quantity in ($1, $2)", vec![DataType::Int32, DataType::Int32]),
        ("select id from opportunity where name like $1", vec![DataType::Utf8]),
        ("select upper($1), coalesce($2, 'x')", vec![DataType::Utf8, DataType::Utf8]),
        ("select $2", vec![DataType::Utf8, DataType::Utf8]),
        ("select 1 union select $1", vec![DataType::Int32]),
        ("select $1 union all select id from opportunity", vec![DataType::Int64]),
        ("select 1 where $1", vec![DataType::Boolean]),
        ("select 1 where not $1 and $2", vec![DataType::Boolean, DataType::Boolean]),
        ("select id from opportunity where is_won or $1", vec![DataType::Boolean]),
        ("select case when $1 then 1 else 2 end", vec![DataType::Boolean]),
        ("select case when is_won then quantity else $1 end from opportunity", vec![DataType::Int32]),
        ("select case quantity when $1 then 'x' end from opportunity", vec![DataType::Int32]),
        (
            "select coalesce($1, quantity), nullif($2, id) from opportunity",
            vec![DataType::Int32, DataType::Int64],
        ),
        ("select greatest(created_at, $1) from opportunity", vec![zoned.clone()]),
        ("select id from opportunity where created_at >= $1", vec![zoned.clone()]),
        ("select id from opportunity where quantity <> all($1)", vec![list(DataType::Int32)]),
        ("select id from opportunity where amount = any($1)", vec![list(DataType::Decimal128(18, 2))]),
        (
            "select $1::uuid, $2::jsonb, $3::text[]",
            vec![DataType::Utf8, DataType::Utf8, list(DataType::Utf8)],
        ),
        ("declare c cursor for select id from opportunity where id > $1", vec![DataType::Int64]),
        ("call sync($1, mode => $2, wait => $3)", vec![DataType::Utf8, DataType::Utf8, DataType::Boolean]),
    ] {
        let parsed = session.parse(sql).unwrap().remove(0);
        let prepared = session.prepare(&parsed, &[]).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        assert_eq!(prepared.parameters(), types, "{sql}");
    }
    let parsed = session.parse("select $1").unwrap().remove(0);
    let prepared = session.prepare(&parsed, &[Some(DataType::Int64)]).await.unwrap();
    assert_eq!(prepared.parameters(), [DataType::Int64]);
    assert_eq!(prepared.schema().unwrap().field(0).data_type(), &DataType::Int64);
}

#[tokio::test]
async fn values_are_used_exactly() {
    let company = Company::new();
    let session = company.admin();
    let decimal = |unscaled, scale| ScalarValue::Decimal128(Some(unscaled), 38, scale);
    let integers = ScalarValue::List(Arc::new(
        arrow::array::ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1), Some(2)])]),
    ));
    for (sql, values, expected) in [
        ("select $1", vec![text("a")], "a"),
        ("select $1 + 1", vec![ScalarValue::Int32(Some(41))], "42"),
        ("select $1 + 1", vec![text("41")], "42"),
        ("select id from opportunity where amount = $1", vec![decimal(15_838, 2)], "2"),
        ("select count(*) from opportunity where amount = $1", vec![decimal(158_380_001, 6)], "0"),
        ("select count(*) from opportunity where amount > $1 and id < 3", vec![decimal(158_379_999, 6)], "1"),
        ("select count(*) from opportunity where quantity = any($1)", vec![integers], "2"),
        ("select count(*) from opportunity where stage = any($1)", vec![text("{Proposal}")], "167"),
        ("select id from opportunity order by id limit $1 offset 4", vec![ScalarValue::Int64(Some(1))], "5"),
        ("select $1::numeric / 3", vec![decimal(10, 1)], "0.33333333333333333333"),
        ("select $1::int", vec![ScalarValue::Int32(None)], "NULL"),
        ("select count(*) from opportunity where stage = $1", vec![text("x'; drop table y; --")], "0"),
    ] {
        let answer = run_with(&session, sql, values).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        assert_eq!(answer.value(), expected, "{sql}");
    }
    let error = run_with(&session, "select $1 + 1", vec![text("abc")]).await.unwrap_err();
    assert_eq!(error.sqlstate(), "22P02");
    let error = run_with(&session, "select $1 + 1", vec![]).await.unwrap_err();
    assert_eq!(error.sqlstate(), "08P01");
}

use std::collections::HashSet;

use arrow::array::AsArray;
use arrow::datatypes::Decimal128Type;

use super::*;
use crate::model::{Comparison, Filter, Literal};
use crate::source::Resume;

async fn read(object: &str, change: impl FnOnce(&mut Read)) -> Vec<Page> {
    let source = DemoSource::new(&serde_json::json!({})).unwrap();
    let fields = source.fields(object).await.unwrap();
    let mut read = Read {
        object: object.into(),
        fields: fields
            .into_iter()
            .map(|field| ReadField { name: field.api.clone(), api: field.api, data_type: field.data_type })
            .collect(),
        key: Vec::new(),
        what: What::Full,
        cursor: source.table(object).unwrap().cursor.map(str::to_string),
        filter: None,
        max_rows: None,
        expected_rows: None,
        resume: Resume::Never,
    };
    change(&mut read);
    source.read(read).map(|page| page.unwrap()).collect().await
}

fn count(pages: &[Page]) -> usize {
    pages.iter().map(|page| page.rows.num_rows()).sum()
}

fn compare(field: &str, data_type: FieldType, op: Comparison, literal: Literal) -> Filter {
    Filter::Compare { field: field.into(), data_type, op, literal }
}

#[tokio::test]
async fn the_same_rows_at_every_read_with_one_known_amount() {
    let pages = read("opportunity", |_| {}).await;
    assert_eq!(count(&pages), 20_000);
    let mut ids = HashSet::new();
    let mut known = 0;
    for page in &pages {
        let ids_of_page = page.rows.column(0).as_string::<i32>();
        assert!(
            ids_of_page.iter().all(|id| id.is_some_and(|id| id.len() == 18 && ids.insert(id.to_string())))
        );
        let amounts = page.rows.column(6).as_primitive::<Decimal128Type>();
        known += amounts.iter().filter(|amount| *amount == Some(7_760_055)).count();
    }
    assert_eq!(known, 1);
    let again = read("opportunity", |_| {}).await;
    assert!(pages.iter().zip(&again).all(|(a, b)| a.rows == b.rows));
}

#[tokio::test]
async fn keys_are_unique_and_watermarks_come_last() {
    let quotas = read("quota", |_| {}).await;
    let batch = &quotas[0].rows;
    assert_eq!(batch.num_rows(), 400);
    let keys: HashSet<String> = (0..400)
        .map(|row| format!("{:?}{:?}", batch.column(0).slice(row, 1), batch.column(1).slice(row, 1)))
        .collect();
    assert_eq!(keys.len(), 400);
    let pages = read("opportunity", |_| {}).await;
    let (last, rest) = pages.split_last().unwrap();
    assert!(rest.iter().all(|page| page.watermark.is_none()));
    let watermark = last.watermark.clone().unwrap();
    let diff = read("opportunity", |read| read.what = What::Since(watermark.clone())).await;
    assert_eq!((count(&diff), &diff.last().unwrap().watermark), (1, &Some(watermark)));
}

#[tokio::test]
async fn a_maximum_caps_only_when_there_is_more() {
    let pages = read("account", |read| read.max_rows = Some(1_999)).await;
    assert!(
        count(&pages) == 1_999 && pages.last().unwrap().capped && pages.last().unwrap().watermark.is_none()
    );
    let pages = read("account", |read| read.max_rows = Some(2_000)).await;
    assert!(count(&pages) == 2_000 && pages.iter().all(|page| !page.capped));
}

#[tokio::test]
async fn filters_follow_three_valued_logic() {
    let amount = FieldType::Decimal(18, 2);
    let above = compare("amount", amount.clone(), Comparison::Greater, Literal::Number("50000".into()));
    let not_above = Filter::Not(Box::new(above.clone()));
    let is_null = Filter::IsNull { field: "amount".into() };
    let mut counts = Vec::new();
    for filter in
        [above.clone(), not_above.clone(), is_null.clone(), Filter::Or(vec![above.clone(), not_above])]
    {
        counts.push(count(&read("opportunity", |read| read.filter = Some(filter)).await));
    }
    assert_eq!(counts[0] + counts[1] + counts[2], 20_000);
    assert!(counts[2] > 0 && counts[3] == 20_000 - counts[2]);
    let known = compare("amount", amount.clone(), Comparison::Eq, Literal::Number("77600.55".into()));
    assert_eq!(count(&read("opportunity", |read| read.filter = Some(known)).await), 1);
    let known = compare("amount", amount, Comparison::Eq, Literal::Number("7.760055e4".into()));
    assert_eq!(count(&read("opportunity", |read| read.filter = Some(known)).await), 1);
    let like = Filter::Like { field: "stage".into(), pattern: "Closed\\ _o%".into() };
    let closed = Filter::In {
        field: "stage".into(),
        data_type: FieldType::Text,
        literals: ["Closed Won", "Closed Lost"].map(|stage| Literal::Text(stage.into())).to_vec(),
    };
    let liked = count(&read("opportunity", |read| read.filter = Some(like)).await);
    let listed = count(&read("opportunity", |read| read.filter = Some(closed)).await);
    let closed = count(
        &read("opportunity", |read| read.filter = Some(Filter::IsTrue { field: "is_closed".into() })).await,
    );
    assert!(liked == listed && listed == closed && closed > 5_000);
}

#[tokio::test]
async fn a_number_beyond_the_type_compares_and_an_unknown_field_is_an_error() {
    let amount = FieldType::Decimal(18, 2);
    let below =
        |literal: &str| compare("amount", amount.clone(), Comparison::Less, Literal::Number(literal.into()));
    let all = count(&read("opportunity", |read| read.filter = Some(below("1e40"))).await);
    let known = Filter::Not(Box::new(Filter::IsNull { field: "amount".into() }));
    assert_eq!(all, count(&read("opportunity", |read| read.filter = Some(known)).await));
    assert_eq!(count(&read("opportunity", |read| read.filter = Some(below("-1e40"))).await), 0);

    let source = DemoSource::new(&serde_json::json!({})).unwrap();
    let filter = Filter::And(vec![below("1"), Filter::IsNull { field: "amuont".into() }]);
    let (object, what) = ("opportunity".into(), What::Full);
    let read = Read {
        object,
        fields: Vec::new(),
        key: Vec::new(),
        what,
        cursor: None,
        filter: Some(filter),
        max_rows: None,
        expected_rows: None,
        resume: Resume::Never,
    };
    let error = source.read(read).next().await.unwrap().unwrap_err();
    assert!(error.what().contains("no field `amuont` (did you mean `amount`?)"), "{error}");
}

#[test]
fn bad_settings_are_refused_in_words() {
    for (settings, words) in [
        (serde_json::json!({ "row": 5 }), "did you mean `rows`?"),
        (serde_json::json!({ "rows": 0 }), "cannot be `0`"),
        (serde_json::json!({ "rows": "many" }), "cannot be `\"many\"`"),
    ] {
        assert!(DemoSource::new(&settings).unwrap_err().what().contains(words));
    }
}

//! A table shaped like a CRM's opportunities: 15 columns, the same rows at every run.

use std::sync::Arc;

use arrow::array::*;
use arrow::record_batch::RecordBatch;
use tributary::model::FieldType;
use tributary::snapshot::WriteSpec;

const OWNERS: u64 = 2000;
const COMPANIES: [&str; 8] = ["Acme", "Globex", "Initech", "Umbrella", "Stark", "Wayne", "Hooli", "Vandelay"];
const STAGES: [&str; 8] = [
    "Prospecting",
    "Qualification",
    "Needs Analysis",
    "Proposal",
    "Negotiation",
    "Closed Won",
    "Closed Won",
    "Closed Lost",
];
const LEADS: [&str; 5] = ["Web", "Phone", "Partner", "Referral", "Event"];
const DAY: i64 = 86_400_000_000;

/// A fixed mixing of a number, in 31 bits.
pub(crate) fn hash(number: u64, salt: u64) -> u64 {
    let mut x =
        number.wrapping_add(salt.wrapping_mul(0x9E37_79B9_7F4A_7C15)).wrapping_add(0x9E37_79B9_7F4A_7C15);
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    (x ^ (x >> 31)) & 0x7FFF_FFFF
}

/// The key of row `number`: 18 characters, rising.
pub(crate) fn id(number: u64) -> String {
    format!("006{:012X}AAA", number * 37)
}

pub(crate) fn spec() -> WriteSpec {
    let columns = [
        ("id", FieldType::Text),
        ("name", FieldType::Text),
        ("account_name", FieldType::Text),
        ("owner_id", FieldType::Int32),
        ("stage", FieldType::Text),
        ("lead_source", FieldType::Text),
        ("amount", FieldType::Decimal(18, 2)),
        ("probability", FieldType::Float64),
        ("is_closed", FieldType::Boolean),
        ("close_date", FieldType::Date),
        ("created_at", FieldType::TimestampTz),
        ("updated_at", FieldType::TimestampTz),
        ("quantity", FieldType::Int32),
        ("seq_no", FieldType::Int64),
        ("description", FieldType::Text),
    ];
    let columns = columns.into_iter().map(|(name, t)| (name.to_string(), t)).collect();
    WriteSpec { columns, key: vec!["id".into()] }
}

/// Rows by their numbers, each in a version of its content.
pub(crate) fn batch(rows: impl Iterator<Item = (u64, u64)>) -> RecordBatch {
    let rows: Vec<_> = rows.collect();
    let of = |salt: u64| rows.iter().map(move |(i, version)| hash(*i, salt + 1000 * version));
    let one_of = |salt: u64, from: &'static [&str]| of(salt).map(move |h| from[h as usize % from.len()]);
    let company = || one_of(2, &COMPANIES).zip(of(3)).map(|(name, h)| format!("{name} {}", h % 50_000));
    let times = |start: i64, step: i64, salt: u64| {
        let times = rows.iter().zip(of(salt)).map(move |((i, _), h)| start + *i as i64 * step + h as i64);
        Arc::new(TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC")) as ArrayRef
    };
    let amounts: Decimal128Array =
        of(9).zip(of(10)).map(|(null, h)| (null % 100 >= 5).then_some(i128::from(h % 11_000_000))).collect();
    let text = "0123456789abcdef fedcba9876543210 follow up with buyer about terms";
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(rows.iter().map(|(i, _)| id(*i)))),
        Arc::new(StringArray::from_iter_values(company().map(|name| format!("Renewal - {name}")))),
        Arc::new(StringArray::from_iter_values(company().map(|name| format!("{name} GmbH")))),
        Arc::new(Int32Array::from_iter_values(of(5).map(|h| 1 + (h % OWNERS) as i32))),
        Arc::new(StringArray::from_iter_values(one_of(6, &STAGES))),
        Arc::new(
            one_of(8, &LEADS)
                .zip(of(7))
                .map(|(lead, h)| (h % 100 >= 15).then_some(lead))
                .collect::<StringArray>(),
        ),
        Arc::new(amounts.with_precision_and_scale(18, 2).unwrap()),
        Arc::new(Float64Array::from_iter_values(of(13).map(|h| (h % 1001) as f64 / 1000.0))),
        Arc::new(of(6).map(|h| Some(h % 8 >= 5)).collect::<BooleanArray>()),
        Arc::new(Date32Array::from_iter_values(of(14).map(|h| 18_993 + (h % 1461) as i32))),
        times(1_622_505_600_000_000, 40_000_000, 15),
        times(1_735_689_600_000_000, DAY / 100_000, 16),
        Arc::new(
            of(19)
                .zip(of(18))
                .map(|(h, null)| (null % 10 > 0).then_some((h % 500) as i32))
                .collect::<Int32Array>(),
        ),
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|(i, _)| *i as i64))),
        Arc::new(
            of(21)
                .zip(of(20))
                .map(|(h, null)| {
                    (null % 10 >= 3).then(|| format!("{h:08x} {}", &text[..h as usize % text.len()]))
                })
                .collect::<StringArray>(),
        ),
    ];
    RecordBatch::try_new(spec().schema(), columns).unwrap()
}

pub(crate) fn owner_spec() -> WriteSpec {
    let columns = [
        ("owner_id", FieldType::Int32),
        ("owner_name", FieldType::Text),
        ("quota", FieldType::Decimal(18, 2)),
    ];
    let columns = columns.into_iter().map(|(name, t)| (name.to_string(), t)).collect();
    WriteSpec { columns, key: vec!["owner_id".into()] }
}

pub(crate) fn owners() -> RecordBatch {
    let quotas: Decimal128Array =
        (1..=OWNERS).map(|i| Some(i128::from(20_000_000 + hash(i, 5) % 80_000_000))).collect();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int32Array::from_iter_values(1..=OWNERS as i32)),
        Arc::new(StringArray::from_iter_values((1..=OWNERS).map(|i| format!("Owner {i}")))),
        Arc::new(quotas.with_precision_and_scale(18, 2).unwrap()),
    ];
    RecordBatch::try_new(owner_spec().schema(), columns).unwrap()
}

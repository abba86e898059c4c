//! The simulated tables: a rule for every column of every row.

use crate::model::FieldType;
use crate::source::condition::Value;

/// A column and the rule that makes its values.
#[derive(Debug, Clone)]
pub(super) struct Column {
    pub(super) name: &'static str,
    pub(super) data_type: FieldType,
    pub(super) is_nullable: bool,
    value: fn(u64) -> Value,
}

/// A table of `rows` rows.
#[derive(Debug, Clone)]
pub(super) struct Table {
    pub(super) name: &'static str,
    pub(super) label: &'static str,
    pub(super) rows: u64,
    pub(super) key: &'static [&'static str],
    pub(super) name_field: Option<&'static str>,
    pub(super) cursor: Option<&'static str>,
    pub(super) columns: Vec<Column>,
}

impl Table {
    /// The row of that number, counted from 0.
    pub(super) fn row(&self, number: u64) -> Vec<Value> {
        self.columns.iter().map(|column| (column.value)(number)).collect()
    }
}

const OWNERS: u64 = 50;
const ACCOUNTS: u64 = 2_000;
/// 2025-Q1 to 2026-Q4.
const PERIODS: u64 = 8;
/// 2022-01-01, in days.
const FIRST_CLOSE: i32 = 18_993;
/// 2021-06-01 and 2025-01-01, in microseconds.
const FIRST_CREATED: i64 = 1_622_505_600_000_000;
const FIRST_UPDATED: i64 = 1_735_689_600_000_000;
/// The one opportunity whose amount the documentation asks for.
const KNOWN_ROW: u64 = 6;
const KNOWN_AMOUNT: i128 = 7_760_055;

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
const LEADS: [&str; 10] =
    ["Web", "Phone", "Partner", "Referral", "Event", "Ads", "Email", "Outbound", "Inbound", "Other"];
const KINDS: [&str; 6] = ["Renewal", "Expansion", "New logo", "Pilot", "Upsell", "Services"];
const COMPANIES: [&str; 8] =
    ["Acme", "Globex", "Initech", "Umbrella", "Hooli", "Vandelay", "Wonka", "Tyrell"];
const INDUSTRIES: [&str; 5] = ["Software", "Retail", "Energy", "Health", "Logistics"];
const COUNTRIES: [&str; 6] = ["DE", "US", "FR", "GB", "JP", "BR"];
const FIRST_NAMES: [&str; 10] = ["Ada", "Bo", "Chen", "Dara", "Eli", "Fay", "Gus", "Hana", "Ivo", "Jun"];
const LAST_NAMES: [&str; 5] = ["Anders", "Berg", "Costa", "Dubois", "Evans"];
const REGIONS: [&str; 4] = ["EMEA", "AMER", "APAC", "LATAM"];

/// SplitMix64 (Steele, Lea, Flood 2014) of row and column, reduced below `bound`.
fn mix(row: u64, column: u64, bound: u64) -> u64 {
    let mut z =
        (row.wrapping_mul(64).wrapping_add(column)).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (z ^ (z >> 31)) % bound
}

fn pick(words: &[&str], row: u64, column: u64) -> Value {
    text(words[mix(row, column, words.len() as u64) as usize])
}

fn text(value: impl Into<String>) -> Value {
    Value::Text(value.into())
}

fn account_id(number: u64) -> Value {
    text(format!("001{:012X}AAA", (number + 1) * 29))
}

fn company(row: u64) -> String {
    let name = COMPANIES[mix(row, 1, COMPANIES.len() as u64) as usize];
    format!("{name} {}", 1 + row)
}

fn owner_id(number: u64) -> Value {
    Value::Int(1 + number as i64)
}

fn stage_number(row: u64) -> u64 {
    mix(row, 5, STAGES.len() as u64)
}

fn amount(row: u64) -> Value {
    if row == KNOWN_ROW {
        return Value::Decimal(KNOWN_AMOUNT);
    }
    if mix(row, 6, 100) < 5 {
        return Value::Null;
    }
    let factor = if mix(row, 9, 20) == 0 { 40 } else { 1 };
    let cents = i128::from(mix(row, 7, 10_000_000) + mix(row, 8, 1_000_000) * factor);
    // Keeps the known amount unique.
    Value::Decimal(if cents == KNOWN_AMOUNT { cents + 1 } else { cents })
}

fn or_null(row: u64, column: u64, percent: u64, value: Value) -> Value {
    if mix(row, column, 100) < percent { Value::Null } else { value }
}

/// All tables, with `rows` opportunities.
pub(super) fn all(rows: u64) -> [Table; 4] {
    [opportunity(rows), account(), owner(), quota()]
}

fn column(name: &'static str, data_type: FieldType, value: fn(u64) -> Value) -> Column {
    Column { name, data_type, is_nullable: false, value }
}

fn nullable(name: &'static str, data_type: FieldType, value: fn(u64) -> Value) -> Column {
    Column { name, data_type, is_nullable: true, value }
}

fn opportunity(rows: u64) -> Table {
    use FieldType::*;
    Table {
        name: "opportunity",
        label: "Opportunity",
        rows,
        key: &["id"],
        name_field: Some("name"),
        cursor: Some("updated_at"),
        columns: vec![
            column("id", Text, |i| text(format!("006{:012X}AAA", (i + 1) * 37))),
            column("name", Text, |i| {
                text(format!(
                    "{} {}",
                    KINDS[mix(i, 2, KINDS.len() as u64) as usize],
                    company(mix(i, 3, ACCOUNTS))
                ))
            }),
            column("account_id", Text, |i| account_id(mix(i, 3, ACCOUNTS))),
            column("owner_id", Int32, |i| owner_id(mix(i, 4, OWNERS))),
            column("stage", Text, |i| text(STAGES[stage_number(i) as usize])),
            nullable("lead_source", Text, |i| or_null(i, 10, 15, pick(&LEADS, i, 11))),
            nullable("amount", Decimal(18, 2), amount),
            column("probability", Float64, |i| Value::Float(mix(i, 12, 1001) as f64 / 1000.0)),
            column("is_closed", Boolean, |i| Value::Boolean(stage_number(i) >= 5)),
            column("close_date", Date, |i| Value::Date(FIRST_CLOSE + mix(i, 13, 1826) as i32)),
            column("created_at", TimestampTz, |i| {
                Value::Timestamp(FIRST_CREATED + (i as i64 % 2_000_000) * 61_000_003)
            }),
            column("updated_at", TimestampTz, |i| {
                Value::Timestamp(FIRST_UPDATED + mix(i, 14, 31_000_000_000_000) as i64)
            }),
            nullable("quantity", Int32, |i| or_null(i, 15, 10, Value::Int(1 + mix(i, 16, 500) as i64))),
            nullable("description", Text, |i| {
                or_null(i, 17, 30, text(format!("follow up with buyer {} about terms", mix(i, 18, 100_000))))
            }),
        ],
    }
}

fn account() -> Table {
    use FieldType::*;
    Table {
        name: "account",
        label: "Account",
        rows: ACCOUNTS,
        key: &["id"],
        name_field: Some("name"),
        cursor: Some("created_at"),
        columns: vec![
            column("id", Text, account_id),
            column("name", Text, |i| text(company(i))),
            column("industry", Text, |i| pick(&INDUSTRIES, i, 20)),
            column("country", Text, |i| pick(&COUNTRIES, i, 21)),
            column("created_at", TimestampTz, |i| Value::Timestamp(FIRST_CREATED + i as i64 * 3_600_000_000)),
        ],
    }
}

fn owner() -> Table {
    use FieldType::*;
    Table {
        name: "owner",
        label: "Owner",
        rows: OWNERS,
        key: &["owner_id"],
        name_field: Some("owner_name"),
        cursor: None,
        columns: vec![
            column("owner_id", Int32, owner_id),
            column("owner_name", Text, |i| {
                let last = LAST_NAMES[(i as usize / FIRST_NAMES.len()) % LAST_NAMES.len()];
                text(format!("{} {last}", FIRST_NAMES[i as usize % FIRST_NAMES.len()]))
            }),
            column("team", Text, |i| text(format!("Team {}", 1 + mix(i, 30, 8)))),
            column("region", Text, |i| pick(&REGIONS, i, 31)),
            column("base_rate", Decimal(6, 4), |i| Value::Decimal(200 + i128::from(mix(i, 32, 600)))),
        ],
    }
}

fn quota() -> Table {
    use FieldType::*;
    Table {
        name: "quota",
        label: "Quota",
        rows: OWNERS * PERIODS,
        key: &["owner_id", "period"],
        name_field: None,
        cursor: None,
        columns: vec![
            column("owner_id", Int32, |i| owner_id(i / PERIODS)),
            column("period", Text, |i| text(format!("{}-Q{}", 2025 + i % PERIODS / 4, 1 + i % 4))),
            column("target", Decimal(18, 2), |i| {
                Value::Decimal(i128::from(200_000 + mix(i, 40, 800) * 1_000) * 100)
            }),
        ],
    }
}

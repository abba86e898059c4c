use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;

const LANGUAGES: [Language; 4] = [Language::Soql, Language::Coql, Language::Odata, Language::Suiteql];

/// Reads a literal as the language does: its value, and what follows it.
fn read(language: Language, text: &str) -> (String, String) {
    let mut value = String::new();
    let mut chars = text.chars();
    assert_eq!(chars.next(), Some('\''), "{text}");
    loop {
        match chars.next().expect("the literal ends") {
            '\\' if matches!(language, Language::Soql | Language::Coql) => match chars.next().unwrap() {
                'n' => value.push('\n'),
                'r' => value.push('\r'),
                't' => value.push('\t'),
                'b' => value.push('\u{8}'),
                'f' => value.push('\u{c}'),
                c @ ('\\' | '\'' | '"') => value.push(c),
                other => panic!("no escape: {other}"),
            },
            '\'' => match (language, chars.clone().next()) {
                (Language::Odata | Language::Suiteql, Some('\'')) => {
                    chars.next();
                    value.push('\'');
                }
                _ => return (value, chars.collect()),
            },
            c => value.push(c),
        }
    }
}

fn equal(text: &str) -> Filter {
    Filter::Compare {
        field: "Name".into(),
        data_type: FieldType::Text,
        op: Comparison::Eq,
        literal: Literal::Text(text.into()),
    }
}

#[test]
fn no_value_changes_the_query_around_it() {
    let alphabet: Vec<char> =
        "''\"\\\\\\n\n\r\t\u{8}\u{c}\0\u{1f}\u{7f}%_;-/*()=, xXORANDé日\u{202e}\u{2019}＇\u{feff}\u{d7ff}😀"
            .chars()
            .collect();
    let mut random = StdRng::seed_from_u64(17);
    for round in 0..5_000 {
        let length = random.random_range(1..24);
        let hostile: String = (0..length).map(|_| alphabet[random.random_range(0..alphabet.len())]).collect();
        for language in LANGUAGES {
            let said = text(language, &equal(&hostile));
            let Some(condition) = said.conditions.first() else {
                assert!(hostile.chars().any(char::is_control), "round {round}: {hostile:?} was not said");
                assert!(said.is_partial);
                continue;
            };
            let prefix = format!("Name {} ", operator(language, Comparison::Eq));
            let literal = condition.strip_prefix(&prefix).unwrap();
            assert_eq!(
                read(language, literal),
                (hostile.clone(), String::new()),
                "round {round}: {condition}"
            );
            let clause = where_clause(&[condition.clone(), "Id > 'a'".into()]);
            let rest = clause.strip_prefix(&format!(" WHERE {prefix}")).unwrap();
            assert_eq!(read(language, rest), (hostile.clone(), " AND Id > 'a'".into()));
        }
    }
}

#[test]
fn only_what_finds_enough_rows_is_said() {
    let soql = |filter: &Filter| {
        let said = text(Language::Soql, filter);
        (said.conditions.join(" AND "), said.is_partial)
    };
    let amount = |op| Filter::Compare {
        field: "Amount".into(),
        data_type: FieldType::Decimal(18, 2),
        op,
        literal: Literal::Number("1.5e3".into()),
    };
    let other = |text: &str| Filter::Not(Box::new(equal(text)));
    assert_eq!(soql(&amount(Comparison::NotEq)), ("Amount != 1500".into(), false));
    // Rows named `BOB` are others in SQL and the same at the source.
    assert_eq!(soql(&other("bob")), (String::new(), true));
    let not_equal = Filter::Compare {
        field: "Name".into(),
        data_type: FieldType::Text,
        op: Comparison::NotEq,
        literal: Literal::Text("bob".into()),
    };
    assert_eq!(soql(&not_equal), (String::new(), true));
    assert_eq!(soql(&Filter::Not(Box::new(not_equal))), ("NOT (Name != 'bob')".into(), false));
    let both = Filter::And(vec![amount(Comparison::Greater), other("bob")]);
    assert_eq!(soql(&both), ("Amount > 1500".into(), true));
    let either = Filter::Or(vec![amount(Comparison::Greater), other("bob")]);
    assert_eq!(soql(&either), (String::new(), true));
    let not_null = Filter::Not(Box::new(Filter::IsNull { field: "Amount".into() }));
    assert_eq!(soql(&not_null), ("Amount != null".into(), false));
    let hostile = Filter::IsNull { field: "Amount = null OR Id".into() };
    assert_eq!(soql(&hostile), (String::new(), true));
}

#[test]
fn times_are_rounded_to_the_side_that_loses_nothing() {
    let at = |op| Filter::Compare {
        field: "T".into(),
        data_type: FieldType::TimestampTz,
        op,
        literal: Literal::Timestamp(1_500_000),
    };
    for (op, expected) in [
        (Comparison::GreaterEq, "T >= 1970-01-01T00:00:01Z"),
        (Comparison::Greater, "T > 1970-01-01T00:00:01Z"),
        (Comparison::Less, "T < 1970-01-01T00:00:02Z"),
    ] {
        assert_eq!(text(Language::Soql, &at(op)).conditions, [expected]);
    }
    assert!(text(Language::Soql, &at(Comparison::Eq)).conditions.is_empty());
}

#[test]
fn numbers_lose_their_exponent_and_no_digit() {
    for (number, plain) in [
        ("1.5e3", "1500"),
        ("-12.50", "-12.5"),
        (".5", "0.5"),
        ("5.", "5"),
        ("1e-3", "0.001"),
        ("-0", "-0"),
        ("12345678901234567890.123", "12345678901234567890.123"),
    ] {
        assert_eq!(plain_number(number).as_deref(), Some(plain));
    }
    assert_eq!(plain_number("1e99999"), None);
    assert_eq!(plain_number("x"), None);
}

#[test]
fn json_conditions_hold_values_as_values() {
    let manifest = crate::catalog::Catalog::embedded().unwrap().get("hubspot").unwrap().clone();
    let Some(crate::catalog::manifest::Filters::Json(filters)) = &manifest.filters else { panic!() };
    let name = |field: &str| Some(field.to_string());
    let hostile = "\"},{\"operator\":\"x\"}{since}";
    let said = conditions(filters, &equal(hostile), &name);
    let expected = serde_json::json!({"propertyName": "Name", "operator": "EQ", "value": hostile});
    assert_eq!((said.conditions, said.is_partial), (vec![expected], false));
    let stage = Filter::In {
        field: "dealstage".into(),
        data_type: FieldType::Text,
        literals: vec![Literal::Text("closedWon".into())],
    };
    let said = conditions(filters, &stage, &name);
    let expected = serde_json::json!({"propertyName": "dealstage", "operator": "IN", "values": ["closedWon", "closedwon"]});
    assert_eq!(said.conditions, [expected]);
    let many = Filter::And(vec![stage; 5]);
    let said = conditions(filters, &many, &name);
    assert_eq!((said.conditions.len(), said.is_partial), (3, true));
}

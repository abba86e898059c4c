use super::*;

fn fields() -> Vec<ObjectField> {
    [
        ("Amount", "amount", "numeric(18,2)"),
        ("StageName", "stage_name", "text"),
        ("IsClosed", "is_closed", "boolean"),
        ("Quantity", "quantity", "integer"),
        ("Rate", "rate", "double precision"),
        ("CloseDate", "close_date", "date"),
        ("CreatedAt", "created_at", "timestamp with time zone"),
        ("LocalTime", "local_time", "timestamp without time zone"),
        ("Photo", "photo", "bytea"),
    ]
    .into_iter()
    .map(|(api, name, data_type)| ObjectField {
        api: api.into(),
        name: name.into(),
        column: name.into(),
        label: name.into(),
        data_type: data_type.parse().unwrap(),
        native_type: data_type.into(),
        note: None,
        selected: true,
        key_position: None,
        is_name: false,
        volatile: false,
    })
    .collect()
}

/// A filter as text with the source's names, fully bracketed.
fn show(filter: &Filter) -> String {
    let literal = |literal: &Literal| match literal {
        Literal::Boolean(value) => value.to_string(),
        Literal::Number(digits) => digits.clone(),
        Literal::Text(text) => format!("'{text}'"),
        Literal::Date(days) => format!("day {days}"),
        Literal::Timestamp(micros) => format!("micro {micros}"),
    };
    let all = |filters: &[Filter]| filters.iter().map(show).collect::<Vec<_>>();
    match filter {
        Filter::And(filters) => format!("({})", all(filters).join(" and ")),
        Filter::Or(filters) => format!("({})", all(filters).join(" or ")),
        Filter::Not(filter) => format!("not {}", show(filter)),
        Filter::Compare { field, op, literal: value, .. } => {
            format!("{field} {} {}", op.sql(), literal(value))
        }
        Filter::In { field, literals, .. } => {
            format!("{field} in [{}]", literals.iter().map(literal).collect::<Vec<_>>().join(","))
        }
        Filter::IsNull { field } => format!("{field} null"),
        Filter::Like { field, pattern } => format!("{field} like '{pattern}'"),
        Filter::IsTrue { field } => field.clone(),
    }
}

fn parsed(text: &str) -> String {
    show(&parse(text, &fields()).unwrap_or_else(|error| panic!("{text}: {error:?}")))
}

fn refused(text: &str) -> Error {
    let error = parse(text, &fields()).expect_err(text);
    assert_eq!(error.kind(), Kind::Invalid, "{error:?}");
    error
}

#[test]
fn every_accepted_form_becomes_its_tree() {
    for (text, tree) in [
        ("amount = 1", "Amount = 1"),
        ("amount <> 1.50", "Amount <> 1.50"),
        ("amount != -1", "Amount <> -1"),
        ("amount < +1", "Amount < 1"),
        ("amount <= 1e3", "Amount <= 1e3"),
        ("amount > .5", "Amount > .5"),
        ("AMOUNT >= 99999999999999999999999999999.01", "Amount >= 99999999999999999999999999999.01"),
        ("5 < amount", "Amount > 5"),
        ("5 <= amount", "Amount >= 5"),
        ("(-5) > (amount)", "Amount < -5"),
        ("5 >= amount", "Amount <= 5"),
        ("5 = amount", "Amount = 5"),
        ("5 <> amount", "Amount <> 5"),
        ("\"Amount\" = 1 AND \"amount\" = 1", "(Amount = 1 and Amount = 1)"),
        ("amount = 1 AND rate = 2 OR quantity = 3", "((Amount = 1 and Rate = 2) or Quantity = 3)"),
        ("amount = 1 AND (rate = 2 OR quantity = 3)", "(Amount = 1 and (Rate = 2 or Quantity = 3))"),
        ("amount = 1 AND rate = 2 AND quantity = 3", "(Amount = 1 and Rate = 2 and Quantity = 3)"),
        ("NOT amount = 1 AND is_closed", "(not Amount = 1 and IsClosed)"),
        ("NOT (amount = 1 AND is_closed)", "not (Amount = 1 and IsClosed)"),
        ("stage_name IN ('a', 'it''s')", "StageName in ['a','it's']"),
        ("stage_name NOT IN ('a')", "not StageName in ['a']"),
        ("quantity BETWEEN 1 AND 2 AND is_closed", "((Quantity >= 1 and Quantity <= 2) and IsClosed)"),
        ("quantity NOT BETWEEN 1 AND 2", "not (Quantity >= 1 and Quantity <= 2)"),
        ("amount IS NULL", "Amount null"),
        ("photo IS NOT NULL", "not Photo null"),
        ("stage_name LIKE 'a\\%%_'", "StageName like 'a\\%%_'"),
        ("stage_name NOT LIKE 'a%' ESCAPE '\\'", "not StageName like 'a%'"),
        ("stage_name = E'a\\nb'", "StageName = 'a\nb'"),
        ("stage_name = $$it's$$", "StageName = 'it's'"),
        ("is_closed", "IsClosed"),
        ("NOT is_closed", "not IsClosed"),
        ("is_closed = false", "IsClosed = false"),
        ("is_closed = 't'", "IsClosed = true"),
        ("is_closed IS TRUE", "(not IsClosed null and IsClosed)"),
        ("is_closed IS NOT TRUE", "not (not IsClosed null and IsClosed)"),
        ("is_closed IS FALSE", "(not IsClosed null and not IsClosed)"),
        ("is_closed IS NOT FALSE", "not (not IsClosed null and not IsClosed)"),
        ("is_closed IS UNKNOWN", "IsClosed null"),
        ("is_closed IS NOT UNKNOWN", "not IsClosed null"),
        ("true", "()"),
        ("amount = '12.5'", "Amount = 12.5"),
        ("quantity IN ('+7', 8)", "Quantity in [7,8]"),
        ("close_date > '1970-01-02'", "CloseDate > day 1"),
        ("close_date > date '1970-01-02'", "CloseDate > day 1"),
        ("close_date = '1970-01-02'::date", "CloseDate = day 1"),
        ("created_at >= '1970-01-01 00:00:01'", "CreatedAt >= micro 1000000"),
        ("created_at >= timestamptz '1970-01-01 01:00:01+01'", "CreatedAt >= micro 1000000"),
        ("created_at >= timestamp with time zone '1970-01-01T00:00:01Z'", "CreatedAt >= micro 1000000"),
        ("created_at >= timestamp '1970-01-01 00:00:01'", "CreatedAt >= micro 1000000"),
        ("created_at >= date '1970-01-02'", "CreatedAt >= micro 86400000000"),
        ("local_time < '1970-01-01 00:00:01'::timestamp", "LocalTime < micro 1000000"),
    ] {
        assert_eq!(parsed(text), tree, "{text}");
    }
    assert_eq!(parse("false", &fields()).unwrap(), Filter::Or(Vec::new()));
}

#[test]
fn literals_that_do_not_fit_the_field_are_named_with_it() {
    for text in [
        "stage_name = 5",
        "stage_name = true",
        "stage_name IN ('a', 5)",
        "stage_name = date '2026-01-01'",
        "amount = 'many'",
        "amount = 'NaN'",
        "amount = true",
        "amount = ''",
        "quantity BETWEEN 1 AND 'x'",
        "is_closed = 1",
        "is_closed = 'perhaps'",
        "close_date = 20260101",
        "close_date = '2026-02-30'",
        "close_date = timestamp '2026-01-01 00:00'",
        "created_at = 'yesterday'",
        "local_time = '2026-01-01 00:00+01'",
        "photo = 'abc'",
    ] {
        let error = refused(text);
        assert!(error.what().contains("cannot be compared with the field `"), "{text}: {error:?}");
        assert!(error.what().contains("of type `") && error.hint().is_some());
    }
    assert!(refused("amount = NULL").hint().unwrap().contains("amount IS NULL"));
    assert!(refused("amount LIKE 'a'").what().contains("`amount` is of type `numeric(18,2)`"));
    assert_eq!(refused("stage_name LIKE 'a\\'").sqlstate(), "22025");
    assert_eq!(refused("amount").sqlstate(), "42804");
    assert_eq!(refused("amount IS TRUE").sqlstate(), "42804");
    assert!(refused("stage_name LIKE 5").what().contains("cannot be compared"));
}

#[test]
fn unknown_fields_are_told_with_a_suggestion() {
    let error = refused("amout > 1");
    assert_eq!(error.sqlstate(), "42703");
    assert_eq!(error.what(), "unknown field `amout` (did you mean `amount`?)");
    assert_eq!(refused("\"AMOUNT\" > 1").sqlstate(), "42703");
    assert_eq!(refused("StageName = 'a'").what(), "unknown field `stagename` (did you mean `stage_name`?)");
    assert_eq!(refused("amount > 1 AND zzz IS NULL").sqlstate(), "42703");
}

#[test]
fn anything_else_is_quoted_with_what_is_accepted() {
    for (text, quoted) in [
        ("amount + 1 > 2", "`amount + 1 > 2`"),
        ("amount > rate", "`amount > rate`"),
        ("1 = 1", "`1 = 1`"),
        ("stage_name ILIKE 'a'", "`stage_name ILIKE 'a'`"),
        ("stage_name ~ 'a'", "`stage_name ~ 'a'`"),
        ("stage_name LIKE 'a' ESCAPE '!'", "`stage_name LIKE 'a' ESCAPE '!'`"),
        ("stage_name SIMILAR TO 'a'", "SIMILAR TO"),
        ("t.amount = 1", "`t.amount = 1`"),
        ("amount IN (SELECT 1)", "SELECT 1"),
        ("CASE WHEN is_closed THEN true END", "CASE"),
        ("amount = $1", "`$1`"),
        ("amount IS DISTINCT FROM 1", "IS DISTINCT FROM"),
        ("(amount = 1) IS TRUE", "IS TRUE"),
        ("close_date > date '2026-01-01' + interval '1 day'", "INTERVAL '1 day'"),
        ("amount::text = '1'", "amount::TEXT"),
        ("'a'", "'a'"),
        ("5", "`5`"),
        ("NULL", "`NULL`"),
        ("amount = --comment\n 0x1F", "1F"),
    ] {
        let error = refused(text);
        assert!(error.what().contains("cannot contain"), "{text}: {error:?}");
        assert!(error.what().contains(quoted), "{text}: {error:?}");
        assert!(error.hint().unwrap().contains("accepted are"));
    }
    for text in [
        "created_at > now()",
        "lower(stage_name) = 'a'",
        "close_date < current_date",
        "pg_sleep(9)",
        "EXISTS (SELECT 1)",
        "amount = any(array[1])",
        "amount = (array[1])[1]",
        "cast(amount as text) = '1'",
        "abs(amount) IN (1)",
    ] {
        let error = refused(text);
        assert!(error.what().contains("cannot contain functions"), "{text}: {error:?}");
    }
}

#[test]
fn text_that_is_no_expression_is_a_syntax_error() {
    for text in [
        "",
        "  ",
        "amount >",
        "amount = 1; DROP TABLE x",
        "amount = 1 amount",
        "'open",
        "amount = 1)",
        "a ==",
    ] {
        assert_eq!(refused(text).sqlstate(), "42601", "{text}");
    }
    assert!(
        refused("amount = 1 x").what().starts_with("syntax error in the filter: a filter is one expression")
    );
}

#[test]
fn long_chains_are_flat_and_too_long_or_deep_texts_refused() {
    let text = |n: usize| vec!["is_closed"; n].join(" OR ");
    let Filter::Or(operands) = parse(&text(700), &fields()).unwrap() else { panic!() };
    assert_eq!(operands.len(), 700);
    assert_eq!(refused(&text(1000)).sqlstate(), "54000");
    assert!(parse(&format!("is_closed{}", " ".repeat(9_991)), &fields()).is_ok());
    assert_eq!(refused(&format!("is_closed{}", " ".repeat(9_992))).sqlstate(), "54000");
    for deep in [
        format!("{}is_closed{}", "(".repeat(200), ")".repeat(200)),
        format!("{}is_closed{}", "NOT (".repeat(200), ")".repeat(200)),
    ] {
        assert_eq!(refused(&deep).sqlstate(), "54001");
    }
    assert_eq!(parsed("NOT (NOT (NOT (is_closed)))"), "not not not IsClosed");
    refused(&format!("{} is_closed", "NOT ".repeat(200)));
    assert!(parse(&format!("{}is_closed{}", "(".repeat(20), ")".repeat(20)), &fields()).is_ok());
}

#[test]
fn hostile_repetitions_end_quickly_in_an_error() {
    let started = std::time::Instant::now();
    for (start, piece) in [
        ("1", "+1"),
        ("amount", "::text"),
        ("amount", " is null"),
        ("1", " in(1)"),
        ("a", ".a"),
        ("1 =", " - "),
        ("", "f("),
        ("", "(("),
        ("", "case when "),
        ("", "array["),
        ("", "not("),
        ("", "not not("),
        ("", "not((("),
        ("", "a in ("),
        ("", "interval "),
        ("", "(select "),
        ("", "a between "),
        ("", "date "),
        ("", "not "),
        ("1", " and 1"),
    ] {
        for n in [5, 20, 100, 1000] {
            refused(&format!("{start}{}", piece.repeat(n)));
        }
    }
    assert!(started.elapsed().as_secs() < 30, "{:?}", started.elapsed());
}

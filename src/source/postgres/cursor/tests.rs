use super::*;

const NOW: Micros = 1_800_000_000_000_000;

fn transaction(id: &str, start: Option<Micros>, writes: bool) -> OpenTransaction {
    OpenTransaction { id: id.into(), start, writes, is_prepared: false }
}

fn look(clock: Micros, highest: Option<i64>, open: Vec<OpenTransaction>) -> Look {
    Look { clock, highest, open }
}

#[test]
fn an_open_transaction_holds_the_watermark_back_to_its_start() {
    let open = vec![transaction("3/7", Some(NOW - HOUR), false), transaction("4/1", Some(NOW - 5), true)];
    let position = derive("c", CursorKind::TimestampTz, &look(NOW, None, open), None);
    assert_eq!(position.at, Some(NOW - HOUR));
    let none = derive("c", CursorKind::TimestampTz, &look(NOW, None, vec![]), None);
    assert_eq!(none.at, Some(NOW));
}

#[test]
fn a_transaction_whose_start_is_hidden_is_bounded_by_the_last_look_without_it() {
    let hidden = || vec![transaction("3/7", None, true)];
    let first = derive("c", CursorKind::TimestampTz, &look(NOW, None, vec![]), None);
    let second = derive("c", CursorKind::TimestampTz, &look(NOW + DAY, None, hidden()), Some(&first));
    assert_eq!(second.at, Some(NOW), "it began after the first look");
    let third = derive("c", CursorKind::TimestampTz, &look(NOW + 2 * DAY, None, hidden()), Some(&second));
    assert_eq!(third.at, Some(NOW), "and is still open");
    let fourth = derive("c", CursorKind::TimestampTz, &look(NOW + 3 * DAY, None, vec![]), Some(&third));
    assert_eq!(fourth.at, Some(NOW + 3 * DAY), "it ended before the fourth look");
}

#[test]
fn numbers_drawn_by_open_transactions_are_not_skipped() {
    let writing = || vec![transaction("3/7", Some(NOW), true), transaction("9/9", Some(NOW), false)];
    let unknown = derive("id", CursorKind::Integer, &look(NOW, Some(500), writing()), None);
    assert_eq!(unknown.at, None, "what it drew before the first look is unknown");
    assert_eq!(unknown.condition(Duration::ZERO).unwrap(), "(\"id\" IS NOT NULL)");
    let first = derive("id", CursorKind::Integer, &look(NOW, Some(500), vec![]), None);
    assert_eq!(first.at, Some(500));
    let second = derive("id", CursorKind::Integer, &look(NOW, Some(900), writing()), Some(&first));
    assert_eq!(second.at, Some(500));
    assert_eq!(second.condition(Duration::ZERO).unwrap(), "(\"id\" >= (-500))");
    let third = derive("id", CursorKind::Integer, &look(NOW, Some(950), vec![]), Some(&second));
    assert_eq!(third.at, Some(950));
}

#[test]
fn local_clocks_are_bounded_by_what_they_wrote() {
    let at = |highest| derive("c", CursorKind::Timestamp, &look(NOW, highest, vec![]), None).at.unwrap();
    assert_eq!(at(Some(NOW - 5 * HOUR)), NOW - 5 * HOUR, "an application in New York");
    assert_eq!(at(Some(NOW + 2 * HOUR)), NOW, "an application in Berlin");
    assert_eq!(at(Some(NOW - 90 * DAY)), NOW - 13 * HOUR, "nothing was written for long");
    assert_eq!(at(Some(NOW + 90 * DAY)), NOW - 13 * HOUR, "planned dates say nothing");
    assert_eq!(at(None), NOW - 13 * HOUR);
}

#[test]
fn a_prepared_transaction_is_bounded_by_the_last_watermark() {
    let prepared = || {
        vec![OpenTransaction { id: "prepared x".into(), start: Some(NOW), writes: true, is_prepared: true }]
    };
    let first = derive("id", CursorKind::Integer, &look(NOW, Some(5), vec![]), None);
    let second = derive("id", CursorKind::Integer, &look(NOW, Some(9), prepared()), Some(&first));
    assert_eq!(second.at, Some(5));
}

#[test]
fn conditions_allow_for_the_overlap() {
    let position = |kind| derive("c", kind, &look(NOW, Some(NOW), vec![]), None);
    let minute = Duration::from_secs(60);
    let condition = |kind| position(kind).condition(minute).unwrap();
    assert_eq!(condition(CursorKind::TimestampTz), "(\"c\" >= '2027-01-15 07:59:00.000000+00'::timestamptz)");
    assert_eq!(condition(CursorKind::Timestamp), "(\"c\" >= '2027-01-15 06:59:00.000000'::timestamp)");
    assert_eq!(condition(CursorKind::Date), "(\"c\" >= '2027-01-14 00:00:00.000000'::timestamp)");
}

#[test]
fn going_backwards_is_refused_beyond_the_overlap() {
    let minute = Duration::from_secs(60);
    let stored = derive("c", CursorKind::TimestampTz, &look(NOW, None, vec![]), None);
    let check =
        |clock| check_forward("o", CursorKind::TimestampTz, &look(clock, None, vec![]), minute, &stored);
    assert!(check(NOW - SECOND).is_ok(), "a fail-over to a machine whose clock is a little behind");
    assert!(check(NOW - HOUR).is_err());
    let stored = derive("id", CursorKind::Integer, &look(NOW, Some(5000), vec![]), None);
    let check =
        |highest| check_forward("o", CursorKind::Integer, &look(NOW, highest, vec![]), minute, &stored);
    assert!(check(Some(4999)).is_ok(), "the newest row was deleted");
    assert!(check(Some(10)).is_err());
    assert!(check(None).is_err());
}

#[test]
fn watermarks_are_read_back_and_belong_to_one_cursor() {
    let open = vec![transaction("3/7", Some(NOW - HOUR), false)];
    let position = derive("c", CursorKind::TimestampTz, &look(NOW, None, open), None);
    let watermark = position.watermark().unwrap();
    assert_eq!(Position::parse(&watermark, "c", CursorKind::TimestampTz).unwrap(), position);
    assert!(Position::parse(&watermark, "d", CursorKind::TimestampTz).is_err());
    assert!(Position::parse(&watermark, "c", CursorKind::Timestamp).is_err());
    assert!(Position::parse(&Watermark(serde_json::json!(5)), "c", CursorKind::Timestamp).is_err());
}

//! Ten years of nights in every zone whose clocks change, with a clock of the test's own.

use std::collections::BTreeSet;

use chrono::{DateTime, NaiveDate, NaiveTime, Offset, TimeZone};
use chrono_tz::{TZ_VARIANTS, Tz};
use tributary::model::{Micros, Moment, Schedule};

const HOUR: Micros = 3_600_000_000;
const DAY: Micros = 24 * HOUR;
const YEARS: i32 = 10;

fn at(text: &str) -> Micros {
    DateTime::parse_from_rfc3339(text).unwrap().timestamp_micros()
}

fn local(zone: Tz, at: Micros) -> DateTime<Tz> {
    DateTime::from_timestamp_micros(at).unwrap().with_timezone(&zone)
}

/// Numbers that are the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// Zones whose clocks change within the years that begin with `first`.
fn zones(first: i32) -> Vec<Tz> {
    let begin = at(&format!("{first}-01-01T00:00:00Z"));
    let changes = |zone: &&Tz| {
        let offset = |week: i64| local(**zone, begin + week * 7 * DAY).offset().fix();
        (1..i64::from(YEARS) * 52).any(|week| offset(week) != offset(0))
    };
    TZ_VARIANTS.iter().filter(changes).copied().collect()
}

/// The dates that a zone's calendar has, by looking at it every six hours.
fn dates(zone: Tz, from: Micros, to: Micros) -> BTreeSet<NaiveDate> {
    (0..)
        .map(|n| from + n * 6 * HOUR)
        .take_while(|at| *at < to)
        .map(|at| local(zone, at).date_naive())
        .collect()
}

/// Whether a batch of `date` that fired at `fired` did so at its time, as the zone's clock shows it.
fn is_at_its_time(zone: Tz, date: NaiveDate, time: NaiveTime, fired: Micros) -> bool {
    let shown = local(zone, fired).naive_local();
    let wanted = date.and_time(time);
    match zone.from_local_datetime(&wanted) {
        chrono::LocalResult::Single(one) => one.timestamp_micros() == fired,
        chrono::LocalResult::Ambiguous(first, _) => first.timestamp_micros() == fired,
        // A moment before, the clock showed less than was wanted; now it shows more.
        chrono::LocalResult::None => local(zone, fired - 1).naive_local() < wanted && shown > wanted,
    }
}

/// A company through the years: a server that sleeps until it is told, restarts, and remembers in its state only.
fn live(zone: Tz, time: &str, first: i32, seed: u64) {
    let schedule = Schedule::parse(time, zone.name()).unwrap();
    let of_day = NaiveTime::parse_from_str(time, "%H:%M").unwrap();
    let (begin, end) =
        (at(&format!("{first}-01-01T12:00:00Z")), at(&format!("{}-01-01T12:00:00Z", first + YEARS)));
    let mut dice = Dice(seed);
    // What the state keeps: a night is entered once, or not at all.
    let mut entered: BTreeSet<NaiveDate> = BTreeSet::new();
    let mut now = begin;
    while now < end {
        match schedule.at(now, entered.last().copied(), begin) {
            Moment::Due(date, due) => {
                assert!(due <= now && entered.insert(date), "{zone} {time}: {date} twice");
                assert_eq!(due, now, "{zone} {time}: {date} late");
                assert!(
                    is_at_its_time(zone, date, of_day, due),
                    "{zone} {time}: {date} at {}",
                    local(zone, due)
                );
            }
            Moment::Wait(next) => {
                assert!(next > now, "{zone} {time}: waits for the past");
                // Woken early now and then, as by a restart; each finds its way from the state alone.
                now = match dice.roll(8) {
                    0 => now + (next - now) / 2,
                    1 => next - 1,
                    _ => next,
                };
            }
            Moment::Never => panic!("{zone} {time}: never"),
        }
    }
    // The first day began before the schedule was set, and the last may not have come to its time.
    let mut expected = dates(zone, begin, end + 2 * DAY);
    expected.retain(|date| schedule.due(*date).is_some_and(|due| due > begin && due < end));
    assert_eq!(entered, expected, "{zone} {time}");
    let days = expected.len() as i64;
    assert!((days - i64::from(YEARS) * 36_525 / 100).abs() <= 2, "{zone} {time}: {days} nights");
}

#[test]
fn every_local_day_of_ten_years_has_one_batch() {
    let began = std::time::Instant::now();
    let zones = zones(2020);
    assert!(zones.len() > 150, "{}", zones.len());
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for part in zones.chunks(zones.len().div_ceil(threads)) {
            scope.spawn(move || {
                for (zone, seed) in part.iter().zip(1..) {
                    for time in ["00:00", "02:00", "02:30", "03:00"] {
                        live(*zone, time, 2020, seed);
                    }
                }
            });
        }
    });
    assert!(began.elapsed().as_secs() < 30, "{:?}", began.elapsed());
}

#[test]
fn days_that_are_left_out_and_clocks_that_jump_over_midnight_are_right_too() {
    // A day without a date, and clocks that went back over midnight.
    for zone in ["Pacific/Apia", "America/St_Johns", "America/Sao_Paulo", "Asia/Gaza", "Africa/Casablanca"] {
        for time in ["00:00", "00:01", "02:30", "23:59"] {
            live(zone.parse().unwrap(), time, 2008, 7);
        }
    }
}

#[test]
fn a_server_that_was_away_makes_up_for_the_newest_night_alone() {
    let mut dice = Dice(99);
    for zone in ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia"] {
        let schedule = Schedule::parse("02:30", zone).unwrap();
        let begin = at("2026-01-01T12:00:00Z");
        let (mut now, mut entered) = (begin, BTreeSet::new());
        while now < at("2029-01-01T00:00:00Z") {
            if let Moment::Due(date, due) = schedule.at(now, entered.last().copied(), begin) {
                assert!(entered.insert(date), "{zone}: {date} twice");
                // No later night was due.
                let next = date.succ_opt().and_then(|next| schedule.due(next)).unwrap();
                assert!(due <= now && now < next, "{zone}: {date} is not the newest");
                let again = schedule.at(now, entered.last().copied(), begin);
                assert!(matches!(again, Moment::Wait(at) if at == next), "{zone}: one at a time");
            }
            // Away for up to nine days.
            now += (dice.roll(9 * 24) as i64 + 1) * HOUR;
        }
        assert!(entered.len() > 150);
    }
}

//! When connections are checked: once a day each, at a moment of their own, so that not all are checked at once.

use sha2::{Digest, Sha256};

use crate::model::{Fault, Health, Micros, State};

const SECOND: Micros = 1_000_000;
const DAY: Micros = 86_400 * SECOND;
/// What passes by itself is looked at again so soon.
const SOON: Micros = 3_600 * SECOND;

/// The next moment of a connection's daily check after `now`: always the same time of day.
pub(crate) fn next_check(company: &str, connection_id: i64, now: Micros) -> Micros {
    let digest = Sha256::digest(format!("{company}/{connection_id}"));
    let number = digest.iter().take(8).fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    let of_day = (number % (DAY / SECOND) as u64) as Micros * SECOND;
    let today = now.div_euclid(DAY) * DAY + of_day;
    if today > now { today } else { today + DAY }
}

/// When a connection is checked again after what was found.
pub(super) fn after(company: &str, connection_id: i64, found: &[Health], now: Micros) -> Micros {
    let daily = next_check(company, connection_id, now);
    let passes = |health: &Health| {
        health.state != State::Green && matches!(health.fault, Some(Fault::Reach | Fault::Quota))
    };
    if found.iter().any(passes) { daily.min(now + SOON) } else { daily }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_are_once_a_day_and_spread_over_it() {
        let now = 1_800_000_000 * SECOND + 7;
        let mut hours = [0; 24];
        for id in 0..2_400 {
            let first = next_check("acme", id, now);
            assert!(first > now && first <= now + DAY);
            assert_eq!(next_check("acme", id, first), first + DAY, "a day later, not at once");
            assert_eq!(next_check("acme", id, first - 1), first);
            hours[(first.rem_euclid(DAY) / SOON) as usize] += 1;
        }
        assert!(hours.iter().all(|count| (60..=140).contains(count)), "{hours:?}");
        assert_ne!(next_check("acme", 1, now), next_check("other", 1, now));
    }
}

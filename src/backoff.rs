//! Slowing down who guesses passwords, without ever locking anybody out.
//!
//! After n failures the next attempt is looked at 2^(n-1) seconds later, at most a minute. Failures count for the
//! user and for the address, on the wire and in browsers alike. Who has logged in before from the same address is judged by the failures of that
//! pair alone, so that an attacker elsewhere cannot keep a person out.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

const MAX_DELAY: Duration = Duration::from_secs(60);
/// After so long without a failure the past is forgotten.
const FORGET_AFTER: Duration = Duration::from_secs(15 * 60);
/// Bounds the memory an attacker with many names or addresses can take.
const MAX_ENTRIES: usize = 10_000;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Key {
    User(String),
    Address(IpAddr),
    Pair(String, IpAddr),
}

#[derive(Debug, Clone, Copy)]
struct Failures {
    count: u32,
    last: Instant,
}

impl Failures {
    fn next_attempt(&self) -> Instant {
        let seconds = 1_u64 << self.count.saturating_sub(1).min(6);
        self.last + Duration::from_secs(seconds).min(MAX_DELAY)
    }
}

#[derive(Default)]
struct Memory {
    failures: HashMap<Key, Failures>,
    /// Who has logged in from where, and when last.
    known: HashMap<(String, IpAddr), Instant>,
}

/// What is remembered about failed logins.
#[derive(Default)]
pub struct Backoff(Mutex<Memory>);

impl std::fmt::Debug for Backoff {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Backoff")
    }
}

impl Backoff {
    /// When an attempt would be judged, if not now: work that a judgement takes can be saved until then.
    pub fn waits_until(&self, user: &str, address: IpAddr, now: Instant) -> Option<Instant> {
        let keys = [Key::User(user.into()), Key::Address(address), Key::Pair(user.into(), address)];
        self.0.lock().next(&(user.to_owned(), address), &keys, now)
    }

    /// Judges an attempt by `check`, or says when to come again. One attempt is judged at a time, so that many at
    /// once gain nothing.
    pub fn attempt<T>(
        &self,
        user: &str,
        address: IpAddr,
        now: Instant,
        check: impl FnOnce() -> Option<T>,
    ) -> Result<Option<T>, Instant> {
        let mut memory = self.0.lock();
        let pair = (user.to_owned(), address);
        let keys = [Key::User(user.into()), Key::Address(address), Key::Pair(user.into(), address)];
        if let Some(next) = memory.next(&pair, &keys, now) {
            return Err(next);
        }
        match check() {
            Some(success) => {
                memory.failures.remove(&keys[0]);
                memory.failures.remove(&keys[2]);
                shrink(&mut memory.known, now, |last| *last);
                memory.known.insert(pair, now);
                Ok(Some(success))
            }
            None => {
                shrink(&mut memory.failures, now, |failures| failures.last);
                for key in keys {
                    let failures = memory.failures.entry(key).or_insert(Failures { count: 0, last: now });
                    let forgotten = now.duration_since(failures.last) > FORGET_AFTER;
                    failures.count = if forgotten { 1 } else { failures.count.saturating_add(1) };
                    failures.last = now;
                }
                Ok(None)
            }
        }
    }
}

impl Memory {
    /// When the next attempt is judged, if not now.
    fn next(&self, pair: &(String, IpAddr), keys: &[Key; 3], now: Instant) -> Option<Instant> {
        let judged_by = if self.known.contains_key(pair) { &keys[2..] } else { &keys[..2] };
        let next =
            judged_by.iter().filter_map(|key| self.failures.get(key)).map(Failures::next_attempt).max();
        next.filter(|next| *next > now)
    }
}

/// Makes room when full: what is old goes first, then the oldest half of what is left.
fn shrink<K: Eq + std::hash::Hash, V>(map: &mut HashMap<K, V>, now: Instant, last: impl Fn(&V) -> Instant) {
    if map.len() < MAX_ENTRIES {
        return;
    }
    map.retain(|_, value| now.duration_since(last(value)) < FORGET_AFTER);
    if map.len() >= MAX_ENTRIES {
        let mut times: Vec<_> = map.values().map(&last).collect();
        times.sort_unstable();
        let middle = times[times.len() / 2];
        map.retain(|_, value| last(value) > middle);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
    const ELSEWHERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2));

    fn fail(backoff: &Backoff, user: &str, from: IpAddr, now: Instant) -> Result<(), Instant> {
        backoff.attempt(user, from, now, || None::<()>).map(|_| ())
    }

    #[test]
    fn waiting_doubles_up_to_a_minute_and_never_ends_in_a_lock_out() {
        let backoff = Backoff::default();
        let mut now = Instant::now();
        let mut waits = Vec::new();
        for _ in 0..10 {
            fail(&backoff, "ann", HERE, now).unwrap();
            let next = fail(&backoff, "ann", HERE, now).unwrap_err();
            waits.push((next - now).as_secs());
            now = next;
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60, 60]);
        assert_eq!(backoff.attempt("ann", HERE, now, || Some(())), Ok(Some(())));
        assert_eq!(backoff.attempt("ann", HERE, now, || Some(())), Ok(Some(())), "a success clears the past");
    }

    #[test]
    fn names_and_addresses_count_each() {
        let backoff = Backoff::default();
        let now = Instant::now();
        fail(&backoff, "ann", HERE, now).unwrap();
        fail(&backoff, "ann", ELSEWHERE, now).unwrap_err();
        fail(&backoff, "bob", HERE, now).unwrap_err();
        fail(&backoff, "bob", ELSEWHERE, now).unwrap();
    }

    #[test]
    fn an_attacker_elsewhere_does_not_keep_a_known_person_out() {
        let backoff = Backoff::default();
        let now = Instant::now();
        backoff.attempt("ann", HERE, now, || Some(())).unwrap();
        fail(&backoff, "ann", ELSEWHERE, now).unwrap();
        fail(&backoff, "ann", ELSEWHERE, now).unwrap_err();
        assert_eq!(backoff.attempt("ann", HERE, now, || Some(())), Ok(Some(())));
    }

    #[test]
    fn its_memory_is_bounded() {
        let backoff = Backoff::default();
        let now = Instant::now();
        for number in 0..30_000_u32 {
            let from = IpAddr::V4(number.into());
            let at = now + Duration::from_millis(number.into());
            fail(&backoff, &format!("user {number}"), from, at).unwrap();
        }
        assert!(backoff.0.lock().failures.len() < MAX_ENTRIES + 3);
    }
}

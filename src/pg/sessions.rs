//! Who is connected: limits, cancel keys, and ending a session from outside.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use subtle::ConstantTimeEq;
use tokio_util::sync::CancellationToken;

use crate::error::{Error, Kind, Result};
use crate::model::{Micros, now_micros};

/// How many may be connected.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Sessions of all users together.
    pub sessions: usize,
    /// How many of them are kept for admins.
    pub reserved: usize,
    /// Sessions of one user who is no admin.
    pub per_user: usize,
    /// Connections that have not logged in yet.
    pub logging_in: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { sessions: 100, reserved: 3, per_user: 20, logging_in: 100 }
    }
}

/// A session as others see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionInfo {
    /// Its number, as shown by `pg_backend_pid()`.
    pub id: i32,
    /// Who logged in.
    pub user: String,
    /// From where.
    pub address: SocketAddr,
    /// Since when.
    pub since: Micros,
    /// Whether a statement is running.
    pub active: bool,
}

/// The sessions of a server.
#[derive(Default)]
pub struct Sessions(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    sessions: BTreeMap<i32, Arc<Entry>>,
    logging_in: usize,
    last_id: i32,
}

struct Entry {
    user: String,
    address: SocketAddr,
    since: Micros,
    key: Vec<u8>,
    end: CancellationToken,
    /// Cancels the statement that runs now.
    statement: Mutex<Option<CancellationToken>>,
}

impl Sessions {
    /// All sessions, in the order of their numbers.
    pub fn list(&self) -> Vec<SessionInfo> {
        let inner = self.0.lock();
        let info = |(id, entry): (&i32, &Arc<Entry>)| SessionInfo {
            id: *id,
            user: entry.user.clone(),
            address: entry.address,
            since: entry.since,
            active: entry.statement.lock().is_some(),
        };
        inner.sessions.iter().map(info).collect()
    }

    /// Cancels the statement of a session, as `pg_cancel_backend` does. Whether there is such a session.
    pub fn cancel(&self, id: i32) -> bool {
        self.entry(id).map(|entry| entry.cancel()).is_some()
    }

    /// Ends a session, as `pg_terminate_backend` does. Whether there is such a session.
    pub fn terminate(&self, id: i32) -> bool {
        self.entry(id).map(|entry| entry.end.cancel()).is_some()
    }

    /// Ends all sessions of a user, for example one who was dropped. How many there were.
    pub fn terminate_user(&self, user: &str) -> usize {
        let inner = self.0.lock();
        let theirs = inner.sessions.values().filter(|entry| entry.user == user);
        theirs.map(|entry| entry.end.cancel()).count()
    }

    /// A client asks to cancel, proving by the key that the session is its own.
    pub(crate) fn cancel_by_key(&self, id: i32, key: &[u8]) {
        if let Some(entry) = self.entry(id)
            && bool::from(entry.key.as_slice().ct_eq(key))
        {
            entry.cancel();
        }
    }

    fn entry(&self, id: i32) -> Option<Arc<Entry>> {
        self.0.lock().sessions.get(&id).cloned()
    }

    /// Counts a connection that has yet to log in.
    pub(crate) fn knock(self: &Arc<Self>, limits: &Limits) -> Result<Knock> {
        let mut inner = self.0.lock();
        if inner.logging_in >= limits.logging_in {
            return Err(full("sorry, too many clients are logging in already"));
        }
        inner.logging_in += 1;
        Ok(Knock(self.clone()))
    }

    /// Opens a session for a user who has proved who they are.
    pub(crate) fn open(
        self: &Arc<Self>,
        limits: &Limits,
        user: &str,
        is_admin: bool,
        address: SocketAddr,
        key: Vec<u8>,
    ) -> Result<Slot> {
        let mut inner = self.0.lock();
        if inner.sessions.len() >= limits.sessions {
            return Err(full("sorry, too many clients already"));
        }
        if !is_admin {
            if inner.sessions.len() + limits.reserved >= limits.sessions {
                return Err(full("remaining connection slots are reserved for admins"));
            }
            let own = inner.sessions.values().filter(|entry| entry.user == user).count();
            if own >= limits.per_user {
                return Err(full(format!("too many connections for role \"{user}\"")));
            }
        }
        let id = loop {
            inner.last_id = inner.last_id.checked_add(1).unwrap_or(1);
            if !inner.sessions.contains_key(&inner.last_id) {
                break inner.last_id;
            }
        };
        let entry = Arc::new(Entry {
            user: user.to_owned(),
            address,
            since: now_micros(),
            key,
            end: CancellationToken::new(),
            statement: Mutex::new(None),
        });
        inner.sessions.insert(id, entry.clone());
        Ok(Slot { sessions: self.clone(), id, entry })
    }
}

fn full(what: impl Into<String>) -> Error {
    Error::new(Kind::Limit, what)
        .with_sqlstate("53300")
        .with_hint("close connections that are not used, or raise the limit in the configuration")
}

impl Entry {
    fn cancel(&self) {
        if let Some(statement) = &*self.statement.lock() {
            statement.cancel();
        }
    }
}

/// A connection that has yet to log in.
pub(crate) struct Knock(Arc<Sessions>);

impl Drop for Knock {
    fn drop(&mut self) {
        self.0.0.lock().logging_in -= 1;
    }
}

/// The place of one session.
pub(crate) struct Slot {
    sessions: Arc<Sessions>,
    id: i32,
    entry: Arc<Entry>,
}

impl Slot {
    pub(crate) fn id(&self) -> i32 {
        self.id
    }

    pub(crate) fn key(&self) -> &[u8] {
        &self.entry.key
    }

    /// Set when somebody ends the session from outside.
    pub(crate) fn end(&self) -> &CancellationToken {
        &self.entry.end
    }

    /// Begins a statement; what comes back is set when it is to be cancelled.
    pub(crate) fn begin_statement(&self) -> CancellationToken {
        let token = CancellationToken::new();
        *self.entry.statement.lock() = Some(token.clone());
        token
    }

    /// Ends the statement: a cancel that comes late meets nothing.
    pub(crate) fn end_statement(&self) {
        *self.entry.statement.lock() = None;
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.sessions.0.lock().sessions.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address() -> SocketAddr {
        "127.0.0.1:1".parse().unwrap()
    }

    #[test]
    fn limits_keep_places_for_admins() {
        let sessions = Arc::new(Sessions::default());
        let limits = Limits { sessions: 4, reserved: 1, per_user: 2, logging_in: 1 };
        let open = |user: &str, is_admin| sessions.open(&limits, user, is_admin, address(), vec![0; 4]);
        let first = open("ann", false).unwrap();
        let _second = open("ann", false).unwrap();
        assert_eq!(open("ann", false).err().unwrap().what(), "too many connections for role \"ann\"");
        let _third = open("bob", false).unwrap();
        assert_eq!(open("cid", false).err().unwrap().sqlstate(), "53300");
        let _fourth = open("root", true).unwrap();
        assert_eq!(open("root", true).err().unwrap().what(), "sorry, too many clients already");
        drop(first);
        open("root", true).unwrap();
        let knock = sessions.knock(&limits).unwrap();
        assert!(sessions.knock(&limits).is_err());
        drop(knock);
        sessions.knock(&limits).unwrap();
    }

    #[test]
    fn a_statement_is_cancelled_by_its_key_only_and_only_while_it_runs() {
        let sessions = Arc::new(Sessions::default());
        let slot = sessions.open(&Limits::default(), "ann", false, address(), vec![1, 2, 3, 4]).unwrap();
        sessions.cancel_by_key(slot.id(), &[1, 2, 3, 4]);
        let statement = slot.begin_statement();
        for wrong in [&[1, 2, 3, 5][..], &[], &[1, 2, 3, 4, 0]] {
            sessions.cancel_by_key(slot.id(), wrong);
        }
        sessions.cancel_by_key(slot.id() + 1, &[1, 2, 3, 4]);
        assert!(!statement.is_cancelled());
        sessions.cancel_by_key(slot.id(), &[1, 2, 3, 4]);
        assert!(statement.is_cancelled());
        slot.end_statement();
        assert!(!sessions.list()[0].active);
        assert!(sessions.terminate(slot.id()) && slot.end().is_cancelled());
    }
}

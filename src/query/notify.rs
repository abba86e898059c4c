//! Messages between the sessions of this server: `LISTEN`, `NOTIFY`.
//!
//! What a transaction asks for waits in the session's [`Mailbox`] until it commits: then the channels it listens on
//! change first, and its messages go to all who listen, itself included. Nothing is kept for later sessions.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::mpsc;

use super::session::SessionUser;
use crate::error::{Error, Kind, Result};

/// Bytes of a payload are fewer, as in PostgreSQL.
const MAX_PAYLOAD: usize = 8_000;
/// Bytes of a channel's name are fewer.
const MAX_CHANNEL: usize = 64;
/// Messages that wait for a session whose client does not read them.
const MAX_WAITING: usize = 10_000;
/// Channels a session listens on, and messages of one transaction.
const MAX_PENDING: usize = 10_000;

/// A message on its way to a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// The session it came from, as in `pg_backend_pid()`; 0 is the server itself.
    pub sender: i32,
    /// The channel.
    pub channel: String,
    /// The text.
    pub payload: String,
}

/// All mailboxes of the server.
#[derive(Default)]
pub(super) struct Post {
    next: AtomicU64,
    boxes: Mutex<BTreeMap<u64, Listener>>,
}

struct Listener {
    who: SessionUser,
    channels: BTreeSet<String>,
    sender: mpsc::Sender<Notification>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Action {
    Listen(String),
    Unlisten(Option<String>),
    Notify(Notification),
}

/// What one session listens on, what it has asked for in its transaction, and what has arrived for it.
pub(super) struct Mailbox {
    post: Arc<Post>,
    number: u64,
    sender: i32,
    pending: Mutex<Vec<Action>>,
    arrived: Mutex<Option<mpsc::Receiver<Notification>>>,
}

impl std::fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Mailbox({})", self.number)
    }
}

impl Post {
    pub(super) fn open(self: &Arc<Self>, who: &SessionUser) -> Mailbox {
        let (sender, receiver) = mpsc::channel(MAX_WAITING);
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let listener = Listener { who: who.clone(), channels: BTreeSet::new(), sender };
        self.boxes.lock().insert(number, listener);
        Mailbox {
            post: self.clone(),
            number,
            sender: who.session_id,
            pending: Mutex::default(),
            arrived: Mutex::new(Some(receiver)),
        }
    }

    /// Who listens on a channel.
    pub(super) fn listeners(&self, channel: &str) -> Vec<(u64, SessionUser)> {
        let boxes = self.boxes.lock();
        let listening = boxes.iter().filter(|(_, listener)| listener.channels.contains(channel));
        listening.map(|(number, listener)| (*number, listener.who.clone())).collect()
    }

    /// Sends a message of the server itself to one who listens. A mailbox that is full or gone misses it.
    pub(super) fn deliver(&self, number: u64, channel: &str, payload: &str) {
        let notification = Notification { sender: 0, channel: channel.into(), payload: payload.into() };
        if let Some(listener) = self.boxes.lock().get(&number)
            && listener.sender.try_send(notification).is_err()
        {
            tracing::warn!(
                user = listener.who.name,
                channel,
                "a session takes no notifications: one is lost"
            );
        }
    }
}

impl Mailbox {
    /// What arrives for the session; there is one reader.
    pub(super) fn take_receiver(&self) -> Option<mpsc::Receiver<Notification>> {
        self.arrived.lock().take()
    }

    pub(super) fn listen(&self, channel: &str) -> Result<()> {
        check_channel(channel)?;
        self.push(Action::Listen(channel.into()))
    }

    pub(super) fn unlisten(&self, channel: Option<&str>) -> Result<()> {
        self.push(Action::Unlisten(channel.map(str::to_string)))
    }

    pub(super) fn notify(&self, channel: &str, payload: &str) -> Result<()> {
        check_channel(channel)?;
        if payload.len() >= MAX_PAYLOAD {
            return Err(Error::new(Kind::Invalid, "payload string too long"));
        }
        let (channel, payload) = (channel.to_string(), payload.to_string());
        self.push(Action::Notify(Notification { sender: self.sender, channel, payload }))
    }

    fn push(&self, action: Action) -> Result<()> {
        let mut pending = self.pending.lock();
        if pending.len() >= MAX_PENDING {
            let what = format!("a transaction may have {MAX_PENDING} notifications");
            return Err(Error::new(Kind::Limit, what).with_sqlstate("54000"));
        }
        // The same message twice in a transaction is sent once.
        if !matches!(action, Action::Notify(_)) || !pending.contains(&action) {
            pending.push(action);
        }
        Ok(())
    }

    /// How much is pending, to come back to by [`Mailbox::rollback_to`].
    pub(super) fn mark(&self) -> usize {
        self.pending.lock().len()
    }

    pub(super) fn rollback_to(&self, mark: usize) {
        self.pending.lock().truncate(mark);
    }

    /// Does what the transaction asked for. 54000, with nothing done, when a listener's mailbox has no room left.
    pub(super) fn commit(&self) -> Result<()> {
        let pending = std::mem::take(&mut *self.pending.lock());
        if pending.is_empty() {
            return Ok(());
        }
        let mut boxes = self.post.boxes.lock();
        let mut channels = boxes.get(&self.number).map(|own| own.channels.clone()).unwrap_or_default();
        let mut messages = Vec::new();
        for action in pending {
            match action {
                Action::Listen(channel) => {
                    channels.insert(channel);
                }
                Action::Unlisten(Some(channel)) => {
                    channels.remove(&channel);
                }
                Action::Unlisten(None) => channels.clear(),
                Action::Notify(notification) => messages.push(notification),
            }
        }
        let listens = |number: u64, listener: &Listener, channel: &str| match number == self.number {
            true => channels.contains(channel),
            false => listener.channels.contains(channel),
        };
        for (number, listener) in boxes.iter() {
            let count = messages.iter().filter(|m| listens(*number, listener, &m.channel)).count();
            if listener.sender.capacity() < count && !listener.sender.is_closed() {
                return Err(Error::new(Kind::Limit, "too many notifications in the NOTIFY queue")
                    .with_sqlstate("54000")
                    .with_hint(format!("a session of {} does not take its own", listener.who.name)));
            }
        }
        for message in &messages {
            for (number, listener) in boxes.iter() {
                if listens(*number, listener, &message.channel) {
                    // There was room; a session that ends meanwhile needs none.
                    listener.sender.try_send(message.clone()).ok();
                }
            }
        }
        if let Some(own) = boxes.get_mut(&self.number) {
            own.channels = channels;
        }
        Ok(())
    }

    /// The transaction came to nothing.
    pub(super) fn abort(&self) {
        self.pending.lock().clear();
    }

    /// `pg_listening_channels()`
    pub(super) fn channels(&self) -> Vec<String> {
        let boxes = self.post.boxes.lock();
        boxes.get(&self.number).map(|own| own.channels.iter().cloned().collect()).unwrap_or_default()
    }
}

impl Drop for Mailbox {
    fn drop(&mut self) {
        self.post.boxes.lock().remove(&self.number);
    }
}

fn check_channel(channel: &str) -> Result<()> {
    let what = match channel.len() {
        0 => "channel name cannot be empty",
        length if length >= MAX_CHANNEL => "channel name too long",
        _ => return Ok(()),
    };
    Err(Error::new(Kind::Invalid, what))
}

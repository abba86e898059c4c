//! What sessions that listen are told, on whatever node they are.

use super::App;
use crate::error::Result;
use crate::state::SharedNotice;

impl App {
    /// Tells sessions that listen on `channel`: those whose users may read one of the objects of the connection, or
    /// everybody. Sessions of other nodes hear it within a second or two, once their node serves what was published
    /// before.
    pub(super) async fn notify_listeners(
        &self,
        channel: &str,
        payload: &str,
        readers: Option<(&str, &[String])>,
    ) -> Result<()> {
        self.deliver(channel, payload, readers).await;
        self.state.share_notice(channel, payload, readers).await
    }

    /// Tells what other nodes have to tell after the number `heard`; the number of the last. `None` has heard nothing
    /// yet, and is told nothing of the past.
    pub(super) async fn hear(&self, heard: Option<i64>) -> Result<i64> {
        let Some(heard) = heard else { return self.state.last_notice().await };
        let notices = self.state.notices_after(heard).await?;
        // Who hears of a release must find it.
        self.catch_up().await?;
        let last = notices.last().map_or(heard, |notice| notice.id);
        for SharedNotice { channel, payload, readers, .. } in &notices {
            let readers = readers.as_ref().map(|(connection, objects)| (connection.as_str(), &objects[..]));
            self.deliver(channel, payload, readers).await;
        }
        Ok(last)
    }

    async fn deliver(&self, channel: &str, payload: &str, readers: Option<(&str, &[String])>) {
        let Some(engine) = self.engine.get() else { return };
        match readers {
            Some((connection, objects)) => {
                let objects: Vec<&str> = objects.iter().map(String::as_str).collect();
                engine.notify(channel, payload, connection, &objects).await;
            }
            None => engine.notify_all(channel, payload),
        }
    }
}

//! The socket with its buffers: whole messages in, bounded output out, and noticing that the client has gone.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::BytesMut;
use pgwire::messages::Message as Outgoing;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

use super::frame::{self, Message, Opening};
use crate::error::Error;

/// Output is sent when so much has gathered.
pub(crate) const FLUSH_AT: usize = 64 * 1024;
/// So much is read ahead while a statement runs, to notice a client that closes.
const READ_AHEAD: usize = 64 * 1024;
/// A buffer that grew beyond this for one message is given back.
const KEEP_BUFFER: usize = 256 * 1024;

/// Why a connection ends.
#[derive(Debug)]
pub(crate) enum End {
    /// The client is gone, or said good-bye: nobody is left to tell.
    Gone,
    /// The client is told, as FATAL.
    Fatal(Error),
}

impl From<io::Error> for End {
    fn from(_: io::Error) -> Self {
        End::Gone
    }
}

/// A message that could not be read.
#[derive(Debug)]
pub(crate) struct Unreadable {
    /// Its type byte.
    pub(crate) kind: u8,
    pub(crate) error: Error,
}

/// Plain or encrypted.
pub(crate) enum Transport {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl AsyncRead for Transport {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Transport::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Transport::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Transport {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Transport::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Transport::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Transport::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Transport::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Transport::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Transport::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

/// One client's connection.
pub(crate) struct Wire {
    io: Transport,
    input: BytesMut,
    output: Vec<u8>,
    /// How much of `output` has been sent.
    sent: usize,
    /// How much of `output` is whole messages.
    whole: usize,
    /// A client that takes nothing for so long is cut.
    stall: Duration,
}

impl Wire {
    pub(crate) fn new(io: Transport, stall: Duration) -> Box<Self> {
        Box::new(Wire {
            io,
            input: BytesMut::with_capacity(1024),
            output: Vec::with_capacity(1024),
            sent: 0,
            whole: 0,
            stall,
        })
    }

    /// Takes the socket back, for a TLS handshake. `None` when the client has already sent something that would
    /// then pass for encrypted.
    pub(crate) fn into_plain(self) -> Option<TcpStream> {
        match self.io {
            Transport::Plain(stream) if self.input.is_empty() && self.output.len() == self.sent => {
                Some(stream)
            }
            _ => None,
        }
    }

    pub(crate) fn is_encrypted(&self) -> bool {
        matches!(self.io, Transport::Tls(_))
    }

    async fn fill(&mut self) -> Result<(), End> {
        if self.input.is_empty() && self.input.capacity() > KEEP_BUFFER {
            self.input = BytesMut::with_capacity(8 * 1024);
        }
        // Room for what arrives, never for what a length announces.
        self.input.reserve(8 * 1024);
        match self.io.read_buf(&mut self.input).await {
            Ok(0) | Err(_) => Err(End::Gone),
            Ok(_) => Ok(()),
        }
    }

    /// The next packet before the protocol is agreed. May be dropped and called again.
    pub(crate) async fn opening(&mut self) -> Result<Opening, End> {
        loop {
            match frame::opening(&mut self.input) {
                Ok(Some(opening)) => return Ok(opening),
                Ok(None) => self.fill().await?,
                Err(error) => return Err(End::Fatal(error)),
            }
        }
    }

    /// The next message. May be dropped and called again.
    pub(crate) async fn message(&mut self, limit: usize) -> Result<Result<Message, Unreadable>, End> {
        loop {
            let kind = self.input.first().copied().unwrap_or(0);
            match frame::message(&mut self.input, limit) {
                Ok(Some(message)) => return Ok(Ok(message)),
                Ok(None) => self.fill().await?,
                Err(error) => return Ok(Err(Unreadable { kind, error })),
            }
        }
    }

    /// Returns when the client has closed the connection. Reads ahead within bounds; what is read stays.
    pub(crate) async fn gone(&mut self) {
        while self.input.len() < READ_AHEAD {
            if self.fill().await.is_err() {
                return;
            }
        }
        std::future::pending().await
    }

    /// Puts a message in the output.
    pub(crate) fn send(&mut self, message: &impl Outgoing) {
        let mut bytes = BytesMut::new();
        // The only error is a message beyond its limit, which none of ours reaches.
        if message.encode(&mut bytes).is_ok() {
            self.output.extend_from_slice(&bytes);
            self.whole = self.output.len();
        }
    }

    /// Puts a message in the output that `write` writes; nothing of it when that fails.
    pub(crate) fn write<E>(&mut self, write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>) -> Result<(), E> {
        let result = write(&mut self.output);
        if result.is_err() {
            self.output.truncate(self.whole);
        }
        self.whole = self.output.len();
        result
    }

    /// Answers a request for encryption, with one byte and no message around it.
    pub(crate) fn send_byte(&mut self, byte: u8) {
        self.output.push(byte);
        self.whole = self.output.len();
    }

    /// Takes back the message that was being written when a defect was met.
    pub(crate) fn drop_unfinished(&mut self) {
        self.output.truncate(self.whole);
    }

    /// Whether so much output has gathered that it should be sent.
    pub(crate) fn is_full(&self) -> bool {
        self.output.len() - self.sent >= FLUSH_AT
    }

    /// Sends everything. A client that takes nothing for too long is given up.
    pub(crate) async fn flush(&mut self) -> Result<(), End> {
        while self.sent < self.output.len() {
            let write = self.io.write(&self.output[self.sent..]);
            match tokio::time::timeout(self.stall, write).await {
                Ok(Ok(written @ 1..)) => self.sent += written,
                _ => return Err(End::Gone),
            }
        }
        self.output.clear();
        (self.sent, self.whole) = (0, 0);
        if self.output.capacity() > KEEP_BUFFER {
            self.output = Vec::with_capacity(FLUSH_AT * 2);
        }
        match tokio::time::timeout(self.stall, self.io.flush()).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(End::Gone),
        }
    }

    /// The same, but stops waiting for a slow client when `stop` is set. Whether everything was sent.
    pub(crate) async fn flush_unless(&mut self, stop: &CancellationToken) -> Result<bool, End> {
        tokio::select! {
            biased;
            () = stop.cancelled() => Ok(false),
            flushed = self.flush() => flushed.map(|()| true),
        }
    }

    /// Says good-bye to the transport.
    pub(crate) async fn close(&mut self) {
        let goodbye = async {
            let flushed = self.flush().await.is_ok();
            flushed && self.io.shutdown().await.is_ok()
        };
        // Nobody is owed more than a moment of it.
        tokio::time::timeout(Duration::from_secs(5), goodbye).await.unwrap_or_default();
    }
}

//! What a client sends, cut out of the byte stream without trusting one number in it.
//!
//! The decoders of `pgwire` read counts and lengths unchecked and panic on short bodies, so that the messages of
//! clients are read here: every read is bounds-checked, and nothing is allocated by a number the client states.

use bytes::{Buf, Bytes, BytesMut};

use crate::error::{Error, Kind, Result};

/// The largest packet before the protocol version is known, as in PostgreSQL.
pub(crate) const MAX_STARTUP: usize = 10_000;
/// The largest message before the client has logged in.
pub(crate) const MAX_BEFORE_LOGIN: usize = 16 * 1024;
/// The largest message after that.
pub(crate) const MAX_MESSAGE: usize = 16 * 1024 * 1024;
/// The largest message of the kinds that carry a name or nothing.
const MAX_SMALL: usize = 10_000;

const CANCEL_REQUEST: u32 = 80_877_102;
const SSL_REQUEST: u32 = 80_877_103;
const GSS_REQUEST: u32 = 80_877_104;

/// The first packets of a connection, which carry no type byte.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Opening {
    Ssl,
    Gss,
    Cancel { pid: i32, key: Bytes },
    Startup { major: u16, minor: u16, parameters: Vec<(String, String)> },
}

/// A message after the start.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Message {
    /// Password, SASLInitialResponse or SASLResponse: the state of the login decides which.
    Password(Bytes),
    Query(String),
    Parse {
        name: String,
        sql: String,
        types: Vec<u32>,
    },
    Bind(Bind),
    Describe(Target),
    Execute {
        portal: String,
        max_rows: i32,
    },
    Close(Target),
    Flush,
    Sync,
    Terminate,
    /// CopyData, CopyDone or CopyFail outside of a COPY: ignored, as PostgreSQL does.
    Copy,
}

/// The Bind message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Bind {
    pub(crate) portal: String,
    pub(crate) statement: String,
    pub(crate) parameter_formats: Vec<i16>,
    pub(crate) parameters: Vec<Option<Bytes>>,
    pub(crate) result_formats: Vec<i16>,
}

/// What Describe and Close are about.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Statement(String),
    Portal(String),
}

/// A frame that cannot be real. The connection ends with it: after it nothing in the stream has a meaning.
pub(crate) fn violation(what: impl Into<String>) -> Error {
    Error::new(Kind::Invalid, what).with_sqlstate("08P01")
}

/// Takes the next opening packet out of `input`; `None` while it is incomplete.
pub(crate) fn opening(input: &mut BytesMut) -> Result<Option<Opening>> {
    let Some(length) = length_at(input, 0) else { return Ok(None) };
    if !(8..=MAX_STARTUP).contains(&length) {
        return Err(violation("invalid length of startup packet"));
    }
    if input.len() < length {
        return Ok(None);
    }
    let mut packet = Reader(input.split_to(length).freeze().slice(4..));
    let code = packet.u32()?;
    Ok(Some(match code {
        SSL_REQUEST | GSS_REQUEST if length != 8 => {
            return Err(violation("invalid length of startup packet"));
        }
        SSL_REQUEST => Opening::Ssl,
        GSS_REQUEST => Opening::Gss,
        CANCEL_REQUEST => {
            let pid = packet.i32()?;
            if !(4..=256).contains(&packet.0.len()) {
                return Err(violation("invalid length of cancel request"));
            }
            Opening::Cancel { pid, key: packet.0 }
        }
        _ => {
            let mut parameters = Vec::new();
            loop {
                let name = packet.string()?;
                if name.is_empty() {
                    break;
                }
                parameters.push((name, packet.string()?));
            }
            if !packet.0.is_empty() {
                return Err(violation("invalid startup packet layout: expected terminator as last byte"));
            }
            Opening::Startup { major: (code >> 16) as u16, minor: code as u16, parameters }
        }
    }))
}

/// Takes the next message out of `input`; `None` while it is incomplete. `limit` bounds its stated length before
/// a byte of it is waited for.
pub(crate) fn message(input: &mut BytesMut, limit: usize) -> Result<Option<Message>> {
    let Some(&kind) = input.first() else { return Ok(None) };
    let limit = match kind {
        b'p' | b'Q' | b'P' | b'B' | b'd' => limit,
        b'D' | b'E' | b'C' | b'H' | b'S' | b'X' | b'c' | b'f' => limit.min(MAX_SMALL),
        _ => return Err(violation(format!("invalid frontend message type {kind}"))),
    };
    let Some(length) = length_at(input, 1) else { return Ok(None) };
    if length < 4 {
        return Err(violation("invalid message length"));
    }
    if length > limit {
        return Err(violation(format!("message of {length} bytes is longer than the {limit} accepted"))
            .with_hint("send long values as parameters of several statements"));
    }
    if input.len() < 1 + length {
        return Ok(None);
    }
    input.advance(5);
    let mut body = Reader(input.split_to(length - 4).freeze());
    let message = match kind {
        b'p' => return Ok(Some(Message::Password(body.0))),
        b'd' | b'c' | b'f' => return Ok(Some(Message::Copy)),
        b'Q' => Message::Query(body.string()?),
        b'P' => {
            let (name, sql) = (body.string()?, body.string()?);
            Message::Parse { name, sql, types: body.list(Reader::u32)? }
        }
        b'B' => Message::Bind(Bind {
            portal: body.string()?,
            statement: body.string()?,
            parameter_formats: body.list(Reader::i16)?,
            parameters: body.list(Reader::value)?,
            result_formats: body.list(Reader::i16)?,
        }),
        b'D' => Message::Describe(body.target()?),
        b'C' => Message::Close(body.target()?),
        b'E' => Message::Execute { portal: body.string()?, max_rows: body.i32()? },
        b'H' => Message::Flush,
        b'S' => Message::Sync,
        _ => Message::Terminate,
    };
    if !body.0.is_empty() {
        return Err(violation("invalid message format"));
    }
    Ok(Some(message))
}

/// The mechanism and first message of a SASLInitialResponse.
pub(crate) fn sasl_initial(body: Bytes) -> Result<(String, Bytes)> {
    let mut body = Reader(body);
    let mechanism = body.string()?;
    let data = body.value()?.unwrap_or_default();
    if !body.0.is_empty() {
        return Err(violation("invalid message format"));
    }
    Ok((mechanism, data))
}

fn length_at(input: &BytesMut, offset: usize) -> Option<usize> {
    let bytes = input.get(offset..offset + 4)?;
    // A negative length becomes a huge one and is refused as such.
    Some(u32::from_be_bytes(bytes.try_into().ok()?) as usize)
}

struct Reader(Bytes);

impl Reader {
    fn take(&mut self, count: usize) -> Result<Bytes> {
        if count > self.0.len() {
            return Err(violation("insufficient data left in message"));
        }
        Ok(self.0.split_to(count))
    }

    fn u8(&mut self) -> Result<u8> {
        Ok(self.take(1)?.get_u8())
    }

    fn i16(&mut self) -> Result<i16> {
        Ok(self.take(2)?.get_i16())
    }

    fn u32(&mut self) -> Result<u32> {
        Ok(self.take(4)?.get_u32())
    }

    fn i32(&mut self) -> Result<i32> {
        Ok(self.take(4)?.get_i32())
    }

    fn string(&mut self) -> Result<String> {
        let end =
            self.0.iter().position(|b| *b == 0).ok_or_else(|| violation("invalid string in message"))?;
        let bytes = self.take(end + 1)?;
        match std::str::from_utf8(&bytes[..end]) {
            Ok(text) => Ok(text.to_owned()),
            Err(error) => Err(not_utf8(&bytes[error.valid_up_to()..end])),
        }
    }

    fn value(&mut self) -> Result<Option<Bytes>> {
        match self.i32()? {
            -1 => Ok(None),
            length => {
                let length = usize::try_from(length).map_err(|_| violation("invalid length of a value"))?;
                self.take(length).map(Some)
            }
        }
    }

    /// A 16-bit count and its items. The vector grows as items are found, never by the count.
    fn list<T>(&mut self, item: impl Fn(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        let count = self.i16()? as u16;
        let mut items = Vec::new();
        for _ in 0..count {
            items.push(item(self)?);
        }
        Ok(items)
    }

    fn target(&mut self) -> Result<Target> {
        match self.u8()? {
            b'S' => Ok(Target::Statement(self.string()?)),
            b'P' => Ok(Target::Portal(self.string()?)),
            other => Err(violation(format!("invalid subtype {other} of a Describe or Close message"))),
        }
    }
}

/// The error for text that is not UTF-8, beginning at the first bad byte. It does not end the connection.
pub(crate) fn not_utf8(bad: &[u8]) -> Error {
    let shown: Vec<_> = bad.iter().take(4).map(|byte| format!("0x{byte:02x}")).collect();
    Error::new(Kind::Invalid, format!("invalid byte sequence for encoding \"UTF8\": {}", shown.join(" ")))
        .with_sqlstate("22021")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(kind: u8, body: &[u8]) -> BytesMut {
        let mut bytes = BytesMut::from(&[kind][..]);
        bytes.extend_from_slice(&(body.len() as u32 + 4).to_be_bytes());
        bytes.extend_from_slice(body);
        bytes
    }

    #[test]
    fn messages_are_read() {
        let mut bytes = framed(b'Q', b"select 1\0");
        bytes.extend_from_slice(&framed(b'S', b""));
        assert_eq!(message(&mut bytes, 100).unwrap(), Some(Message::Query("select 1".into())));
        assert_eq!(message(&mut bytes, 100).unwrap(), Some(Message::Sync));
        assert_eq!(message(&mut bytes, 100).unwrap(), None);
        let body = b"p\0s\0\0\x01\0\x01\0\x02\0\0\0\x01x\xff\xff\xff\xff\0\0";
        let expected = Bind {
            portal: "p".into(),
            statement: "s".into(),
            parameter_formats: vec![1],
            parameters: vec![Some(Bytes::from_static(b"x")), None],
            result_formats: vec![],
        };
        assert_eq!(message(&mut framed(b'B', body), 100).unwrap(), Some(Message::Bind(expected)));
    }

    #[test]
    fn lengths_are_refused_before_the_body_is_waited_for() {
        for length in [0_u32, 3, 101, 0x7fff_ffff, 0xffff_ffff] {
            let mut bytes = BytesMut::from(&b"Q"[..]);
            bytes.extend_from_slice(&length.to_be_bytes());
            assert_eq!(message(&mut bytes, 100).unwrap_err().sqlstate(), "08P01", "{length}");
        }
        for length in [0_u32, 7, 10_001, 0x7fff_ffff, 0xffff_ffff] {
            let error = opening(&mut BytesMut::from(&length.to_be_bytes()[..])).unwrap_err();
            assert_eq!(error.sqlstate(), "08P01", "{length}");
        }
    }

    #[test]
    fn counts_and_inner_lengths_are_not_believed() {
        let cases: [(u8, &[u8]); 7] = [
            (b'P', b"\0select 1\0\xff\xff"),
            (b'B', b"\0\0\xff\xff"),
            (b'B', b"\0\0\0\0\0\x01\x7f\xff\xff\xff"),
            (b'B', b"\0\0\0\0\0\x01\x80\0\0\0"),
            (b'E', b"\0\0\0"),
            (b'D', b""),
            (b'Q', b"no terminator"),
        ];
        for (kind, body) in cases {
            let error = message(&mut framed(kind, body), 1000).unwrap_err();
            assert_eq!(error.sqlstate(), "08P01", "{} {body:?}", kind as char);
        }
        assert_eq!(message(&mut framed(b'Q', b"\xff\0"), 100).unwrap_err().sqlstate(), "22021");
    }

    #[test]
    fn no_bytes_at_all_make_it_panic() {
        for seed in 0..20_000_u32 {
            let bytes: [u8; 24] = rand::random();
            let mut input = BytesMut::from(&bytes[..]);
            if seed % 2 == 0 {
                // A believable header, so that the bodies are reached.
                input[0] = b"pQPBDECHSXdcf"[seed as usize / 2 % 13];
                input[1..5].copy_from_slice(&(4 + seed % 20).to_be_bytes());
            }
            drop(message(&mut input.clone(), 64));
            drop(sasl_initial(input.clone().freeze()));
            input[..4].copy_from_slice(&(8 + seed % 17).to_be_bytes());
            drop(opening(&mut input));
        }
    }
}

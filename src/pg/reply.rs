//! Errors and notices as messages.

use pgwire::messages::response::{ErrorResponse, NoticeResponse, NotificationResponse};

use crate::error::Error;
use crate::query::{Notice, Notification};

/// No text within an error or notice is longer; nobody reads more.
const MAX_TEXT: usize = 16 * 1024;

/// An ErrorResponse of severity `ERROR` or `FATAL`.
pub(crate) fn error(severity: &str, error: &Error) -> ErrorResponse {
    let mut fields = vec![
        (b'S', severity.to_owned()),
        (b'V', severity.to_owned()),
        (b'C', error.sqlstate().to_owned()),
        (b'M', clean(error.what())),
    ];
    fields.extend(error.detail().map(|detail| (b'D', clean(detail))));
    fields.extend(error.hint().map(|hint| (b'H', clean(hint))));
    fields.extend(error.position().map(|position| (b'P', position.to_string())));
    ErrorResponse::new(fields)
}

/// A NoticeResponse.
pub(crate) fn notice(notice: &Notice) -> NoticeResponse {
    let mut fields = vec![
        (b'S', notice.severity.to_owned()),
        (b'V', notice.severity.to_owned()),
        (b'C', notice.sqlstate.to_owned()),
        (b'M', clean(&notice.message)),
    ];
    fields.extend(notice.detail.as_deref().map(|detail| (b'D', clean(detail))));
    fields.extend(notice.hint.as_deref().map(|hint| (b'H', clean(hint))));
    NoticeResponse::new(fields)
}

/// A NotificationResponse.
pub(crate) fn notification(notification: Notification) -> NotificationResponse {
    let (channel, payload) = (clean(&notification.channel), clean(&notification.payload));
    NotificationResponse::new(notification.sender, channel, payload)
}

/// A zero byte would end the field in the middle and make the rest of the message unreadable.
fn clean(text: &str) -> String {
    let mut end = text.len().min(MAX_TEXT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].replace('\0', "\u{fffd}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[test]
    fn an_error_has_everything_postgres_sends() {
        let given =
            Error::new(Kind::Invalid, "bad\0text").with_hint("do").with_detail("why").with_position(7);
        let fields = error("ERROR", &given).fields;
        let text: Vec<_> = fields.iter().map(|(code, text)| format!("{}{text}", *code as char)).collect();
        assert_eq!(text, ["SERROR", "VERROR", "C22023", "Mbad\u{fffd}text", "Dwhy", "Hdo", "P7"]);
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        assert_eq!(clean(&"ä".repeat(10_000)).chars().count(), 8192);
        assert_eq!(clean(&format!("x{}", "ä".repeat(10_000))).len(), MAX_TEXT - 1);
    }
}

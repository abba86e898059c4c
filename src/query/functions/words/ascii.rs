//! `to_ascii`: texts without accents, as PostgreSQL makes them.
//!
//! It reads the bytes of a text as those of an encoding with one byte a letter, whatever encoding the text has: here
//! they are those of UTF-8.

use crate::error::{Error, Kind, Result};
use crate::query::catalog::ENCODINGS;
use crate::query::functions::row::{Definition, Type, Value};

pub(super) const DEFINITIONS: &[Definition] = &[
    Definition::new("to_ascii", &[Type::Text], Type::Text, |args| plain(args.text(0), "UTF8")),
    Definition::new("to_ascii", &[Type::Text, Type::Text], Type::Text, |args| {
        let name = args.text(1);
        let unknown = || invalid(format!("{name} is not a valid encoding name"));
        plain(args.text(0), named(name).ok_or_else(unknown)?)
    }),
    Definition::new("to_ascii", &[Type::Text, Type::Int4], Type::Text, |args| {
        let number = args.int(1);
        let unknown = || invalid(format!("{number} is not a valid encoding code"));
        let name = usize::try_from(number).ok().and_then(|number| ENCODINGS.get(number));
        plain(args.text(0), name.ok_or_else(unknown)?)
    }),
];

/// 42704
fn invalid(what: String) -> Error {
    Error::new(Kind::NotFound, what).with_sqlstate("42704")
}

/// Other names of encodings, as letters and digits.
const ALIASES: &[(&str, &str)] = &[
    ("iso88591", "LATIN1"),
    ("iso88592", "LATIN2"),
    ("iso88593", "LATIN3"),
    ("iso88594", "LATIN4"),
    ("iso88599", "LATIN5"),
    ("iso885910", "LATIN6"),
    ("iso885913", "LATIN7"),
    ("iso885914", "LATIN8"),
    ("iso885915", "LATIN9"),
    ("iso885916", "LATIN10"),
    ("unicode", "UTF8"),
    ("windows1250", "WIN1250"),
];

/// Letters and digits alone tell an encoding.
fn named(name: &str) -> Option<&'static str> {
    let bare = |name: &str| {
        name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase()
    };
    let wanted = bare(name);
    let alias = ALIASES.iter().find(|(alias, _)| *alias == wanted).map(|(_, name)| *name);
    alias.or_else(|| ENCODINGS.iter().copied().find(|known| bare(known) == wanted))
}

/// What stands for each byte from 128 on. Bytes that UTF-8 never has are left out, or blank.
const LETTERS: &[(&str, &str)] = &[
    (
        "LATIN1",
        "                                  cL Y  \"Ca  -R     'u .,      ?  AAAAACEEEEIIII NOOOOOxOUUUUYTBaaaaaaaceeeeiiii nooo",
    ),
    (
        "LATIN2",
        "                                 A L LS \"SSTZ-ZZ a,l'ls ,sstz\"zz  AAALCCCEEEEIIDDNNOOOOxRUUUUYTBraaaalccceeeeiiddnnoo",
    ),
    (
        "LATIN9",
        "                                  cL YS sCa  -R     Zu .z   EeY?  AAAAACEEEEIIII NOOOOOxOUUUUYTBaaaaaaaceeeeiiii nooo",
    ),
    (
        "WIN1250",
        "  ' \"    %S<STZZ `'\"\".--  s>stzz   L A  \"CS  -RZ  ,l'u .,as L\"lz  AAALCCCEEEEIIDDNNOOOOxRUUUUYTBraaaalccceeeeiiddnnoo",
    ),
];

fn plain(text: &str, encoding: &str) -> Result<Value> {
    let Some((_, letters)) = LETTERS.iter().find(|(name, _)| *name == encoding) else {
        let what = format!("encoding conversion from {encoding} to ASCII not supported");
        return Err(Error::new(Kind::Unsupported, what));
    };
    let letters = letters.as_bytes();
    let plain = text.bytes().map(|byte| match byte.checked_sub(128) {
        None => char::from(byte),
        Some(at) => letters.get(usize::from(at)).copied().map_or(' ', char::from),
    });
    Value::text(plain.collect::<String>())
}

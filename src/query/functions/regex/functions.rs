//! Functions and operators of regular expressions.

use std::rc::Rc;

use super::similar::expression;
use super::{Groups, Regex};
use crate::error::{Error, Kind, Result};
use crate::query::functions::row::{Args, Definition, Type, Value};

const TEXT: Type = Type::Text;
const INT: Type = Type::Int4;

pub(in crate::query::functions) const DEFINITIONS: &[Definition] = &[
    Definition::new("textregexeq", &[TEXT, TEXT], Type::Bool, |args| {
        Ok(Value::Bool(regex(args, 1, "")?.is_match(args.text(0))))
    }),
    Definition::new("texticregexeq", &[TEXT, TEXT], Type::Bool, |args| {
        Ok(Value::Bool(regex(args, 1, "i")?.is_match(args.text(0))))
    }),
    Definition::new("similar_to", &[TEXT, TEXT, TEXT], Type::Bool, |args| {
        Ok(Value::Bool(similar(args, 1, 2)?.is_match(args.text(0))))
    }),
    Definition::new("textregexsubstr", &[TEXT, TEXT], TEXT, first_match),
    Definition::new("substring", &[TEXT, TEXT], TEXT, first_match),
    Definition::new("substring", &[TEXT, TEXT, TEXT], TEXT, |args| {
        let found = similar(args, 1, 2)?.find(args.text(0), 0)?;
        Ok(found.and_then(|groups| first_group(args.text(0), &groups)).into())
    }),
    Definition::new("similar_substr", &[TEXT, TEXT, TEXT], TEXT, |args| {
        let found = similar(args, 1, 2)?.find(args.text(0), 0)?;
        Ok(found.and_then(|groups| first_group(args.text(0), &groups)).into())
    }),
    Definition::new("regexp_match", &[TEXT, TEXT, TEXT], Type::Texts, |args| {
        refuse_global(args, 2, "regexp_match()", "Use the regexp_matches function instead.")?;
        let found = regex(args, 1, args.text_or(2, ""))?.find(args.text(0), 0)?;
        Ok(found.map_or(Value::Null, |groups| all_groups(args.text(0), &groups)))
    })
    .optional(1),
    Definition::new("regexp_matches", &[TEXT, TEXT, TEXT], Type::TextLists, |args| {
        let limit = if args.text_or(2, "").contains('g') { usize::MAX } else { 1 };
        let found = regex(args, 1, args.text_or(2, ""))?.find_all(args.text(0), 0, limit)?;
        Ok(Value::List(found.iter().map(|groups| all_groups(args.text(0), groups)).collect()))
    })
    .optional(1),
    Definition::new("regexp_like", &[TEXT, TEXT, TEXT], Type::Bool, |args| {
        refuse_global(args, 2, "regexp_like()", "")?;
        Ok(Value::Bool(regex(args, 1, args.text_or(2, ""))?.is_match(args.text(0))))
    })
    .optional(1),
    Definition::new("regexp_count", &[TEXT, TEXT, INT, TEXT], INT, |args| {
        let start = start(args, 2)?;
        refuse_global(args, 3, "regexp_count()", "")?;
        let regex = regex(args, 1, args.text_or(3, ""))?;
        Ok(Value::Int(regex.find_all(args.text(0), start, usize::MAX)?.len() as i64))
    })
    .optional(2),
    Definition::new("regexp_instr", &[TEXT, TEXT, INT, INT, INT, TEXT, INT], INT, |args| {
        let (start, nth) = (start(args, 2)?, positive(args, 3, "n")?);
        let at_end = args.int_or(4, 0);
        if !(0..=1).contains(&at_end) {
            return Err(bad_parameter("endoption", at_end));
        }
        let group = group(args, 6)?;
        let found = regex(args, 1, args.text_or(5, ""))?.find_all(args.text(0), start, nth)?;
        let place = found.get(nth - 1).and_then(|groups| groups.get(group).copied().flatten());
        let place = place.map_or(0, |(from, to)| {
            let at = if at_end == 1 { to } else { from };
            args.text(0)[..at].chars().count() as i64 + 1
        });
        Ok(Value::Int(place))
    })
    .optional(5),
    Definition::new("regexp_substr", &[TEXT, TEXT, INT, INT, TEXT, INT], TEXT, |args| {
        let (start, nth, group) = (start(args, 2)?, positive(args, 3, "n")?, group(args, 5)?);
        let found = regex(args, 1, args.text_or(4, ""))?.find_all(args.text(0), start, nth)?;
        let place = found.get(nth - 1).and_then(|groups| groups.get(group).copied().flatten());
        Ok(place.map(|(from, to)| args.text(0)[from..to].to_string()).into())
    })
    .optional(4),
    Definition::new("regexp_replace", &[TEXT, TEXT, TEXT, TEXT], TEXT, |args| {
        let flags = args.text_or(3, "");
        if flags.starts_with(|c: char| c.is_ascii_digit()) {
            let what = format!("invalid regular expression option: \"{}\"", &flags[..1]);
            let hint = "If you meant to use regexp_replace() with a start parameter, cast the fourth argument to integer explicitly.";
            return Err(Error::new(Kind::Invalid, what).with_hint(hint));
        }
        let nth = if flags.contains('g') { 0 } else { 1 };
        replace(args, flags, 0, nth)
    })
    .optional(1),
    Definition::new("regexp_replace", &[TEXT, TEXT, TEXT, INT, INT, TEXT], TEXT, |args| {
        let start = start(args, 3)?;
        let flags = args.text_or(5, "");
        let nth = match args.is_given(4) {
            true if args.int(4) < 0 => return Err(bad_parameter("n", args.int(4))),
            true => args.int(4) as usize,
            false => 1,
        };
        replace(args, flags, start, nth)
    })
    .optional(2),
    Definition::new("regexp_split_to_array", &[TEXT, TEXT, TEXT], Type::Texts, split).optional(1),
    Definition::new("regexp_split_to_table", &[TEXT, TEXT, TEXT], Type::Texts, split).optional(1),
];

/// What matches, or the first group of it.
fn first_match(args: &Args<'_>) -> Result<Value> {
    let found = regex(args, 1, "")?.find(args.text(0), 0)?;
    Ok(found.and_then(|groups| first_group(args.text(0), &groups)).into())
}

fn regex(args: &Args<'_>, at: usize, flags: &str) -> Result<Rc<Regex>> {
    let (pattern, flags) = (args.text(at), flags.replace('g', ""));
    args.kept(&format!("{flags}\0{pattern}"), || Regex::new(pattern, &flags))
}

fn similar(args: &Args<'_>, at: usize, escape: usize) -> Result<Rc<Regex>> {
    let (pattern, escape) = (args.text(at), args.text(escape));
    let mut chars = escape.chars();
    let (first, more) = (chars.next(), chars.next());
    if more.is_some() {
        return Err(Error::new(Kind::Invalid, "invalid escape string")
            .with_sqlstate("22025")
            .with_hint("Escape string must be empty or one character."));
    }
    args.kept(&format!("{escape}\0{pattern}"), || Regex::new(&expression(pattern, first)?, ""))
}

fn first_group(text: &str, groups: &Groups) -> Option<String> {
    let (from, to) = groups.get(usize::from(groups.len() > 1)).copied().flatten()?;
    Some(text[from..to].to_string())
}

/// The groups, or the whole match where there are none.
fn all_groups(text: &str, groups: &Groups) -> Value {
    let shown = |place: &Option<(usize, usize)>| place.map(|(from, to)| text[from..to].to_string()).into();
    let from = usize::from(groups.len() > 1);
    Value::List(groups[from..].iter().map(shown).collect())
}

fn refuse_global(args: &Args<'_>, at: usize, name: &str, hint: &str) -> Result<()> {
    if !args.text_or(at, "").contains('g') {
        return Ok(());
    }
    let error = Error::new(Kind::Invalid, format!("{name} does not support the \"global\" option"));
    Err(if hint.is_empty() { error } else { error.with_hint(hint) })
}

fn bad_parameter(name: &str, value: i64) -> Error {
    Error::new(Kind::Invalid, format!("invalid value for parameter \"{name}\": {value}"))
}

fn positive(args: &Args<'_>, at: usize, name: &str) -> Result<usize> {
    match args.int_or(at, 1) {
        value if value > 0 => Ok(value as usize),
        value => Err(bad_parameter(name, value)),
    }
}

fn group(args: &Args<'_>, at: usize) -> Result<usize> {
    let value = args.int_or(at, 0);
    usize::try_from(value).map_err(|_| bad_parameter("subexpr", value))
}

/// The byte of the character to begin with.
fn start(args: &Args<'_>, at: usize) -> Result<usize> {
    let nth = positive(args, at, "start")?;
    let text = args.text(0);
    Ok(text
        .char_indices()
        .nth(nth - 1)
        .map_or(text.len() + usize::from(nth > text.chars().count() + 1), |(at, _)| at))
}

/// Replaces the `nth` match from `start`, or all of them for 0.
fn replace(args: &Args<'_>, flags: &str, start: usize, nth: usize) -> Result<Value> {
    let (text, with) = (args.text(0), args.text(2));
    let regex = regex(args, 1, flags)?;
    let found = regex.find_all(text, start, if nth == 0 { usize::MAX } else { nth })?;
    let mut out = String::with_capacity(text.len());
    let mut done = 0;
    for (index, groups) in found.iter().enumerate() {
        let Some(Some((from, to))) = groups.first().copied() else { continue };
        if nth != 0 && index + 1 != nth {
            continue;
        }
        out.push_str(&text[done..from]);
        expand(with, text, groups, &mut out);
        done = to;
    }
    out.push_str(&text[done..]);
    Ok(Value::Text(out))
}

/// `\1` and `\&` in what replaces a match.
fn expand(with: &str, text: &str, groups: &Groups, out: &mut String) {
    let mut chars = with.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        let group = match chars.next() {
            Some('&') => 0,
            Some(digit @ '1'..='9') => digit as usize - '0' as usize,
            Some('\\') => {
                out.push('\\');
                continue;
            }
            Some(other) => {
                out.push('\\');
                out.push(other);
                continue;
            }
            None => {
                out.push('\\');
                break;
            }
        };
        if let Some((from, to)) = groups.get(group).copied().flatten() {
            out.push_str(&text[from..to]);
        }
    }
}

/// The parts between matches. Empty matches at the ends and directly behind another match split nothing.
fn split(args: &Args<'_>) -> Result<Value> {
    refuse_global(args, 2, &format!("{}()", args.call.name), "")?;
    let text = args.text(0);
    let found = regex(args, 1, args.text_or(2, ""))?.find_all(text, 0, usize::MAX)?;
    let (mut parts, mut done) = (Vec::new(), 0);
    for groups in &found {
        let Some(Some((from, to))) = groups.first().copied() else { continue };
        if from == to && (from == done || from == text.len()) {
            continue;
        }
        parts.push(text[done..from].to_string());
        done = to;
    }
    parts.push(text[done..].to_string());
    Ok(Value::texts(parts))
}

//! Functions that give a changed `jsonb`.

use super::of_values::show;
use super::{Json, Kind, parse, place};
use crate::error::{Error, Result};
use crate::query::functions::row::{Definition, Type, Value};

const JSONB: Type = Type::Jsonb;

pub(super) const DEFINITIONS: &[Definition] = &[
    Definition::new("jsonb_delete", &[JSONB, Type::Text], JSONB, |args| {
        delete_keys(parse(args.text(0))?, &[Some(args.text(1).to_string())])
    }),
    Definition::new("jsonb_delete", &[JSONB, Type::Texts], JSONB, |args| {
        delete_keys(parse(args.text(0))?, &args.texts(1))
    }),
    Definition::new("jsonb_delete", &[JSONB, Type::Int4], JSONB, |args| {
        let value = parse(args.text(0))?;
        match value.kind {
            Kind::Array(mut items) => {
                if let Some(at) = place(items.len(), args.int(1)) {
                    items.remove(at);
                }
                Ok(show(Json::new(Kind::Array(items))))
            }
            Kind::Object(_) => {
                Err(Error::new(crate::error::Kind::Invalid, "cannot delete from object using integer index"))
            }
            _ => Err(Error::new(crate::error::Kind::Invalid, "cannot delete from scalar")),
        }
    }),
    Definition::new("jsonb_delete_path", &[JSONB, Type::Texts], JSONB, |args| {
        let value = parse(args.text(0))?;
        if !matches!(value.kind, Kind::Array(_) | Kind::Object(_)) {
            return Err(Error::new(crate::error::Kind::Invalid, "cannot delete path in scalar"));
        }
        Ok(show(change(value, &args.texts(1), &Change::Delete, 0)?))
    }),
    Definition::new("jsonb_set", &[JSONB, Type::Texts, JSONB, Type::Bool], JSONB, |args| {
        let value = parse(args.text(0))?;
        if !matches!(value.kind, Kind::Array(_) | Kind::Object(_)) {
            return Err(Error::new(crate::error::Kind::Invalid, "cannot set path in scalar"));
        }
        let set = Change::Set { to: parse(args.text(2))?, creates: args.bool_or(3, true) };
        Ok(show(change(value, &args.texts(1), &set, 0)?.normalized()))
    })
    .optional(1),
    Definition::new("jsonb_insert", &[JSONB, Type::Texts, JSONB, Type::Bool], JSONB, |args| {
        let value = parse(args.text(0))?;
        if !matches!(value.kind, Kind::Array(_) | Kind::Object(_)) {
            return Err(Error::new(crate::error::Kind::Invalid, "cannot set path in scalar"));
        }
        let insert = Change::Insert { what: parse(args.text(2))?, behind: args.bool_or(3, false) };
        Ok(show(change(value, &args.texts(1), &insert, 0)?.normalized()))
    })
    .optional(1),
];

fn delete_keys(value: Json, keys: &[Option<String>]) -> Result<Value> {
    let is_key = |name: &str| keys.iter().flatten().any(|key| key == name);
    let kind = match value.kind {
        Kind::Object(members) => {
            Kind::Object(members.into_iter().filter(|(name, _)| !is_key(name)).collect())
        }
        Kind::Array(items) => {
            let stays = |item: &Json| !matches!(&item.kind, Kind::String(text) if is_key(text));
            Kind::Array(items.into_iter().filter(stays).collect())
        }
        _ => return Err(Error::new(crate::error::Kind::Invalid, "cannot delete from scalar")),
    };
    Ok(show(Json::new(kind)))
}

enum Change {
    Delete,
    Set { to: Json, creates: bool },
    Insert { what: Json, behind: bool },
}

fn change(value: Json, path: &[Option<String>], how: &Change, depth: usize) -> Result<Json> {
    let Some(step) = path.get(depth) else { return Ok(value) };
    let Some(step) = step else {
        let what = format!("path element at position {} is null", depth + 1);
        return Err(Error::new(crate::error::Kind::Data, what).with_sqlstate("22004"));
    };
    let is_last = depth + 1 == path.len();
    let kind = match value.kind {
        Kind::Object(mut members) => {
            let at = members.iter().position(|(name, _)| name == step);
            match (at, how, is_last) {
                (Some(at), _, false) => {
                    let inner = std::mem::replace(&mut members[at].1, Json::new(Kind::Null));
                    members[at].1 = change(inner, path, how, depth + 1)?;
                }
                (Some(at), Change::Delete, true) => {
                    members.remove(at);
                }
                (Some(at), Change::Set { to, .. }, true) => members[at].1 = to.clone(),
                (Some(_), Change::Insert { .. }, true) => {
                    let error = Error::new(crate::error::Kind::Invalid, "cannot replace existing key");
                    return Err(error.with_hint("Try using the function jsonb_set to replace key value."));
                }
                (None, Change::Set { to, creates: true }, true) => {
                    members.push((step.clone(), to.clone()));
                }
                (None, Change::Insert { what, .. }, true) => members.push((step.clone(), what.clone())),
                (None, ..) => {}
            }
            Kind::Object(members)
        }
        Kind::Array(mut items) => {
            let index: i64 = step.trim().parse().map_err(|_| {
                let what = format!("path element at position {} is not an integer: \"{step}\"", depth + 1);
                Error::new(crate::error::Kind::Data, what).with_sqlstate("22P02")
            })?;
            let at = place(items.len(), index);
            match (at, how, is_last) {
                (Some(at), _, false) => {
                    let inner = std::mem::replace(&mut items[at], Json::new(Kind::Null));
                    items[at] = change(inner, path, how, depth + 1)?;
                }
                (Some(at), Change::Delete, true) => {
                    items.remove(at);
                }
                (Some(at), Change::Set { to, .. }, true) => items[at] = to.clone(),
                (Some(at), Change::Insert { what, behind }, true) => {
                    items.insert(at + usize::from(*behind), what.clone());
                }
                (None, Change::Set { to: what, creates: true } | Change::Insert { what, .. }, true) => {
                    let at = if index < 0 { 0 } else { items.len() };
                    items.insert(at, what.clone());
                }
                (None, ..) => {}
            }
            Kind::Array(items)
        }
        other => other,
    };
    Ok(Json { kind, span: value.span })
}

//! The person behind a request.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use chrono_tz::Tz;
use maud::{Markup, html};
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::desk::Desk;
use super::flash::Flash;
use super::form::Form;
use super::refusal::Refusal;
use crate::error::{Error, Kind};
use crate::model::User;
use crate::secret::Secret;

/// Name of the hidden field that proves that a form is one of ours.
pub(super) const TOKEN: &str = "csrf";

/// Who is logged in, with their desk. An extractor: a request without a session never gets as far as a handler.
#[derive(Clone)]
pub(super) struct Person {
    /// Login name.
    pub(super) name: String,
    /// `admin`, `analyst` or `auditor`.
    pub(super) role: String,
    /// Whether everything may be read and changed.
    pub(super) is_admin: bool,
    /// SQL in their name.
    pub(super) desk: Desk,
    /// The time zone of what they see.
    pub(super) zone: Tz,
    token: Arc<str>,
    /// What is to be said on the next page.
    pub(super) flashes: Arc<Mutex<Vec<Flash>>>,
}

impl Person {
    pub(super) fn new(user: User, desk: Desk, zone: Tz, session: &Secret, flashes: Vec<Flash>) -> Self {
        Person {
            is_admin: user.role == "admin",
            name: user.name,
            role: user.role,
            desk,
            zone,
            token: token_of(session).into(),
            flashes: Arc::new(Mutex::new(flashes)),
        }
    }

    /// The hidden field of every form that changes something.
    pub(super) fn csrf(&self) -> Markup {
        html! { input type="hidden" name=(TOKEN) value=(self.token); }
    }

    /// Whether a form holds the token of this session.
    pub(super) fn sent(&self, form: &Form) -> bool {
        form.raw(TOKEN).as_bytes().ct_eq(self.token.as_bytes()).into()
    }

    /// Whether the system as a whole may be looked at: connections, people, audit.
    pub(super) fn sees_system(&self) -> bool {
        self.is_admin || self.role == "auditor"
    }

    /// Refuses whoever may not look at the system as a whole.
    pub(super) fn must_see_system(&self) -> Result<(), Refusal> {
        match self.sees_system() {
            true => Ok(()),
            false => Err(Error::new(Kind::Denied, "this page is for admins and auditors")
                .with_hint("ask an admin")
                .into()),
        }
    }

    /// Refuses whoever is no admin.
    pub(super) fn must_be_admin(&self) -> Result<(), Refusal> {
        match self.is_admin {
            true => Ok(()),
            false => {
                Err(Error::new(Kind::Denied, "only an admin may do this").with_hint("ask an admin").into())
            }
        }
    }
}

/// The anti-forgery token of a session: whoever knows it knows the session, which no other page does.
fn token_of(session: &Secret) -> String {
    let digest = Sha256::new().chain_update("forms of ").chain_update(session.expose()).finalize();
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl<S: Sync> FromRequestParts<S> for Person {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Refusal> {
        let found = parts.extensions.get::<Person>().cloned();
        found.ok_or_else(|| Error::internal("a page of the console is served without a guard").into())
    }
}

/// The body of a form, or what a read asks for in its address.
impl<S: Sync> FromRequestParts<S> for Form {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Self::Rejection> {
        let sent = parts.extensions.remove::<Form>();
        Ok(sent.unwrap_or_else(|| Form::parse(parts.uri.query().unwrap_or_default().as_bytes())))
    }
}

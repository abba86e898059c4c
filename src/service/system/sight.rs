//! What a user may see.

use crate::error::Result;
use crate::model::{Alert, FieldMask, Grant, Object, ReleaseObject};
use crate::query::{Hidden, SessionUser};
use crate::service::App;
use crate::service::user::AUDITOR;

/// In the place of a cause that may name values which somebody does not see.
pub(in crate::service) const NOT_TOLD: &str = "not told: the cause may name values that you do not see";

/// Rights, masks and the role of a user, as they are now.
pub(in crate::service) struct Sight {
    pub(in crate::service) is_admin: bool,
    /// May look at the system as a whole, as an admin does: what is set and what was done, but no rows of sources.
    pub(in crate::service) sees_all: bool,
    grants: Vec<Grant>,
    masks: Vec<FieldMask>,
}

/// An object by what rights and masks know it by.
#[derive(Clone, Copy)]
pub(in crate::service) struct Named<'a> {
    pub(in crate::service) id: &'a str,
    pub(in crate::service) connection: &'a str,
    pub(in crate::service) object: &'a str,
}

impl<'a> Named<'a> {
    /// As a release has it.
    pub(in crate::service) fn of(object: &'a ReleaseObject) -> Self {
        Named { id: &object.object_id, connection: &object.connection, object: &object.name }
    }

    /// As it is defined now.
    pub(in crate::service) fn now(object: &'a Object) -> Self {
        Named { id: &object.id, connection: &object.connection, object: &object.name }
    }
}

impl Sight {
    pub(in crate::service) async fn of(app: &App, who: &SessionUser) -> Result<Self> {
        if who.is_admin {
            return Ok(Sight { is_admin: true, sees_all: true, grants: Vec::new(), masks: Vec::new() });
        }
        let user = app.state.user(&who.name).await?;
        let sees_all = user.is_some_and(|user| user.role == AUDITOR);
        Ok(Sight { sees_all, ..Self::of_fields(app, who).await? })
    }

    /// The rights on rows and their fields alone: what may be known beside them is left out.
    pub(super) async fn of_fields(app: &App, who: &SessionUser) -> Result<Self> {
        Ok(Sight { masks: app.state.masks().await?, ..Self::of_rows(app, who).await? })
    }

    /// The rights on rows alone: what may be known beside them, and masks, are left out.
    pub(super) async fn of_rows(app: &App, who: &SessionUser) -> Result<Self> {
        let is_admin = who.is_admin;
        let grants = if is_admin { Vec::new() } else { app.state.grants_of(&who.name).await? };
        Ok(Sight { is_admin, sees_all: is_admin, grants, masks: Vec::new() })
    }

    /// Whether what is known of an object may be seen.
    pub(in crate::service) fn sees(&self, connection: &str, object: &str) -> bool {
        self.sees_all || self.reads(connection, object)
    }

    /// Whether the rows of an object may be read, or some fields of them.
    pub(in crate::service) fn reads(&self, connection: &str, object: &str) -> bool {
        self.is_admin || self.grants.iter().any(|grant| grant.is_of(connection, object))
    }

    /// Why the values of a field are not seen; `None` where they are.
    pub(in crate::service) fn hidden(&self, named: Named<'_>, field: &str) -> Option<Hidden> {
        let Named { id, connection, object } = named;
        if self.is_admin || self.grants.iter().any(|grant| grant.names(connection, object, field)) {
            return None;
        }
        if !self.grants.iter().any(|grant| grant.covers(connection, object)) {
            return Some(Hidden::Denied);
        }
        let mask = self.masks.iter().find(|mask| mask.object_id == id && mask.field == field);
        mask.map(|mask| Hidden::Masked(mask.mask))
    }

    /// Whether what is told of an object beside its rows must leave out a value of that field, `None` where it is not
    /// known of which. Who sees the whole system is told everything but what is masked.
    pub(in crate::service) fn hides(&self, named: Named<'_>, field: Option<&str>) -> bool {
        let Named { id, connection, object } = named;
        let is_granted = |field: &str| self.grants.iter().any(|grant| grant.names(connection, object, field));
        let is_masked = |mask: &FieldMask| {
            mask.object_id == id && field.is_none_or(|field| mask.field == field) && !is_granted(&mask.field)
        };
        let is_whole = self.sees_all || self.grants.iter().any(|grant| grant.covers(connection, object));
        let is_denied = !is_whole && field.is_none_or(|field| !is_granted(field));
        !self.is_admin && (is_denied || self.masks.iter().any(is_masked))
    }

    /// What concerns the server as a whole is for admins.
    pub(super) fn is_told(&self, alert: &Alert) -> bool {
        match (&alert.condition.connection, &alert.condition.object) {
            (Some(connection), Some(object)) => self.sees(connection, object),
            (Some(connection), None) => self.sees_some_of(connection),
            (None, _) => self.sees_all,
        }
    }

    /// Whether a full name is that of something it sees.
    pub(super) fn sees_named(&self, name: &str) -> bool {
        let plain = |text: &str| text.trim_matches('"').to_string();
        let (connection, object) = name.split_once('.').unwrap_or((name, ""));
        self.sees(&plain(connection), &plain(object))
    }

    pub(super) fn sees_some_of(&self, connection: &str) -> bool {
        self.sees_all || self.grants.iter().any(|grant| grant.connection == connection)
    }

    /// Whether nothing is masked or granted by the field, so that nobody has to look.
    pub(super) fn hides_nothing(&self) -> bool {
        self.is_admin
            || (self.masks.is_empty()
                && (self.sees_all || self.grants.iter().all(|grant| grant.field.is_none())))
    }
}

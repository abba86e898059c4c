//! An error as the answer of a page. Who is asked shows it in the frame of the person who asked.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{Response, StatusCode};
use axum::response::IntoResponse;

use crate::error::{Error, Kind};

/// What a handler returns when it cannot answer.
pub(super) struct Refusal(Error);

/// In an answer without a body: what went wrong.
#[derive(Clone)]
pub(super) struct Refused(pub(super) Arc<Error>);

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Refusal(error)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response<Body> {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = status_of(&self.0);
        response.extensions_mut().insert(Refused(Arc::new(self.0)));
        response
    }
}

/// The status that stands for an error.
pub(super) fn status_of(error: &Error) -> StatusCode {
    match error.kind() {
        Kind::NotFound => StatusCode::NOT_FOUND,
        Kind::Denied | Kind::Unauthenticated => StatusCode::FORBIDDEN,
        Kind::Conflict | Kind::AlreadyExists => StatusCode::CONFLICT,
        Kind::Unavailable => StatusCode::BAD_GATEWAY,
        Kind::Cancelled => StatusCode::GATEWAY_TIMEOUT,
        Kind::Internal | Kind::Corrupt => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::BAD_REQUEST,
    }
}

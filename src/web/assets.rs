//! The few files that pages load, from the binary. Their addresses change with them, so that browsers keep them.

use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::Response;
use axum::routing::get;
use sha2::{Digest, Sha256};

use super::{Web, answer};

struct Asset {
    name: &'static str,
    kind: &'static str,
    text: &'static str,
}

const ASSETS: &[Asset] = &[
    Asset { name: "style.css", kind: "text/css; charset=utf-8", text: include_str!("assets/style.css") },
    Asset { name: "views.css", kind: "text/css; charset=utf-8", text: include_str!("assets/views.css") },
    Asset { name: "app.js", kind: "text/javascript; charset=utf-8", text: include_str!("assets/app.js") },
    Asset { name: "views.js", kind: "text/javascript; charset=utf-8", text: include_str!("assets/views.js") },
    Asset { name: "icon.svg", kind: "image/svg+xml", text: include_str!("assets/icon.svg") },
];

/// A name for all of them as they are in this binary.
static VERSION: LazyLock<String> = LazyLock::new(|| {
    let mut digest = Sha256::new();
    ASSETS.iter().for_each(|asset| digest.update(asset.text));
    digest.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
});

/// Where a file is.
pub(super) fn path(name: &str) -> String {
    format!("/assets/{}/{name}", *VERSION)
}

pub(super) fn routes() -> Router<Arc<Web>> {
    Router::new().route("/assets/{version}/{name}", get(serve))
}

async fn serve(Path((version, name)): Path<(String, String)>) -> Response {
    let found = ASSETS.iter().find(|asset| asset.name == name && version == *VERSION);
    let Some(asset) = found else {
        return answer::body(StatusCode::NOT_FOUND, "text/plain; charset=utf-8", "nothing here\n");
    };
    let mut response = answer::body(StatusCode::OK, asset.kind, asset.text);
    answer::add(&mut response, header::CACHE_CONTROL, "public, max-age=31536000, immutable");
    response
}

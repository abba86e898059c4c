//! The console as browsers use it: a real one by mouse and keyboard, and requests that no browser of ours would send.

mod bad_input;
mod hostile;
mod large;
mod routes;
mod visitor;

use std::path::{Path, PathBuf};
use std::process::Command;

use tributary::demo::hubspot::{self, CLIENT_ID, CLIENT_SECRET, Limits, RegisteredApp};

use crate::drivers::installed;
use crate::oauth::{connected_to, web_of};
use crate::support::server::{ADMIN, ADMIN_PASSWORD, Server};

const CHROMIUM: &str = "/usr/bin/chromium";

/// A server that browsers reach.
pub(crate) fn server() -> Server {
    Server::builder().args(&["--web-listen", "127.0.0.1:0"]).start()
}

/// The demonstration, with data in it.
pub(crate) fn demonstration() -> Server {
    Server::builder().verb("demo").args(&["--web-listen", "127.0.0.1:0"]).start()
}

/// Where the pictures of a script go. They stay for people to look at.
fn pictures(script: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("console").join(script);
    if folder.exists() {
        std::fs::remove_dir_all(&folder).unwrap();
    }
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// Runs a script in a browser; it must say that it passed.
fn browse(script: &str, server: &Server, more: &[(&str, &str)]) {
    assert!(
        Path::new(CHROMIUM).exists(),
        "{CHROMIUM} is missing: run scripts/test, it installs what is needed"
    );
    installed("node_modules/playwright-core");
    let file =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/drivers/console").join(format!("{script}.js"));
    let shots = pictures(script);
    let mut command = Command::new("node");
    command
        .arg(file)
        .env("NODE_PATH", installed("node_modules"))
        .env("WEB", web_of(server))
        .env("SHOTS", &shots)
        .env("CHROMIUM", CHROMIUM)
        .envs([("ADMIN", ADMIN), ("ADMIN_PASSWORD", ADMIN_PASSWORD)])
        .envs(more.iter().copied());
    let out = command.output().unwrap();
    let said = String::from_utf8_lossy(&out.stdout);
    assert!(
        out.status.success() && said.contains("passed"),
        "{script}:\n{said}{}\npictures are in {}\nthe server said:\n{}",
        String::from_utf8_lossy(&out.stderr),
        shots.display(),
        server.said()
    );
    println!("{script}: {said}");
}

#[test]
fn pages_that_show_and_correct_things() {
    let server = demonstration();
    server.rows(&[
        "CALL create_statement('won', $$SELECT owner_id, sum(amount) AS total FROM demo.opportunity GROUP BY 1$$, \
         unique_fields => 'owner_id', description => 'What each owner sold')",
        "CALL compute()",
        // More rows leave than the gate lets through.
        "CALL set_import('hubspot', 'deal', filter => 'amount > 1000000000')",
        "CALL sync('hubspot', 'full', object => 'deal')",
        "CALL run_batch()",
    ]);
    let held = server.rows(&["SELECT id FROM tributary.run WHERE status = 'held' ORDER BY id DESC LIMIT 1"]);
    assert!(!held.is_empty(), "a run is held");
    let deal = server.rows(&["SELECT id FROM demo.opportunity ORDER BY id LIMIT 1"]);
    browse("views", &server, &[("HELD", &held), ("DEAL", &deal)]);
    let audit = server.rows(&["SELECT verb FROM tributary.audit WHERE outcome = 'done' AND actor = 'admin'"]);
    for verb in ["approve", "freeze", "override", "clear_override", "alter_statement", "verify_statement"] {
        assert!(audit.lines().any(|done| done == verb), "{verb} is not in the audit:\n{audit}");
    }
}

/// Everything that the first day of a company takes, by mouse alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_day_of_a_company() {
    let options =
        hubspot::Options { limits: Limits::none(), apps: Vec::new(), ..hubspot::Options::default() };
    let vendor = hubspot::start(options).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let builder = connected_to("hubspot", &vendor.base_url, (CLIENT_ID, CLIENT_SECRET), folder.path());
    // Without a password the first start prints a link.
    let builder = builder.env("TRIBUTARY_ADMIN_PASSWORD", "");
    let server = tokio::task::spawn_blocking(|| builder.start()).await.unwrap();
    let web = web_of(&server);
    vendor.control.register(RegisteredApp {
        client_id: CLIENT_ID.into(),
        client_secret: CLIENT_SECRET.into(),
        redirect_uris: vec![format!("{web}/oauth/callback/hubspot")],
    });
    let said = server.said();
    let line = said.lines().find(|line| line.contains("/setup/")).unwrap_or_else(|| panic!("{said}"));
    let link = line.split_whitespace().last().unwrap().to_string();
    // Whoever has this one sees some deals only.
    let other = vendor.control.private_app(&["crm.objects.deals.read", "crm.schemas.deals.read", "oauth"]);
    let deals = vendor.control.live("deals").len().to_string();
    let told = [
        ("SETUP", link.as_str()),
        ("TOKEN", hubspot::PRIVATE_TOKEN),
        ("OTHER_TOKEN", other.as_str()),
        ("DEALS", deals.as_str()),
    ];
    tokio::task::block_in_place(|| browse("story", &server, &told));
    assert!(vendor.control.refresh_tokens().is_empty(), "the grant was revoked at the vendor");
}

/// What an admin looks after, on any other day.
#[test]
fn pages_that_manage_things() {
    let server = demonstration();
    browse("manage", &server, &[]);
    let kept = "SELECT unique_fields, filter, max_rows FROM tributary.object WHERE connection = 'hubspot' AND name = 'opportunity'";
    assert_eq!(server.rows(&[kept]), "id,dealstage|amount > 1000|100000");
    assert_eq!(server.rows(&["SELECT bool_and(amount > 1000) FROM hubspot.opportunity"]), "t");
    assert_eq!(server.rows(&["SELECT connection, object FROM tributary.\"grant\""]), "hubspot|opportunity");
}

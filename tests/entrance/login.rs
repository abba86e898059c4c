use super::guest::{Seen, form};
use super::{Guest, server};
use crate::support::server::{ADMIN, ADMIN_PASSWORD};

const OTHER: &str = "quite another long one";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn passwords_are_judged_alike_and_slowly() {
    let server = server();
    let mut guest = Guest::of(&server);
    let shut = guest.get("/connectors").await;
    assert_eq!((shut.status, shut.header("location")), (303, "/login"));
    let page = guest.get("/login").await;
    let policy = page.header("content-security-policy");
    assert!(policy.contains("default-src 'self'") && policy.contains("frame-ancestors 'none'"), "{policy}");
    assert!(!page.text.contains("<style") && !page.text.contains("onclick"), "nothing inline");
    assert_eq!(page.header("x-content-type-options"), "nosniff");
    assert_eq!(page.header("cache-control"), "no-store");

    let empty = guest.log_in("", "").await;
    assert!(empty.status == 422 && empty.text.contains("your name is needed"), "{}", empty.text);
    let wrong = guest.log_in(ADMIN, "not the password").await;
    assert!(wrong.status == 401 && wrong.text.contains("Name or password is wrong"), "{}", wrong.text);
    assert!(!wrong.text.contains("not the password") && wrong.session().is_none());
    let soon = guest.log_in(ADMIN, ADMIN_PASSWORD).await;
    assert_eq!(soon.status, 429, "even the right one has to wait: {}", soon.text);
    assert!(soon.header("retry-after").parse::<u64>().unwrap() <= 2);
    // The address has failed, too; on the wire as in a browser.
    let unknown = guest.log_in("nobody_here", "not the password").await;
    assert_eq!(unknown.status, 429);
    tokio::time::sleep(std::time::Duration::from_millis(2_100)).await;
    let unknown = guest.log_in("nobody_here", "not the password").await;
    let plain = |text: &str| text.replace("nobody_here", "admin");
    assert_eq!((unknown.status, plain(&unknown.text)), (401, wrong.text), "users cannot be told from others");

    tokio::time::sleep(std::time::Duration::from_millis(4_100)).await;
    let entered = guest.log_in(ADMIN, ADMIN_PASSWORD).await;
    let cookie = entered.session().unwrap();
    assert!(
        cookie.contains("; HttpOnly") && cookie.contains("; SameSite=Lax") && cookie.contains("; Path=/")
    );
    assert_eq!(guest.get("/connectors").await.status, 200);
    let logins = server.rows(&[
        "SELECT actor, outcome = 'done' FROM tributary.audit WHERE verb = 'login' AND actor <> 'admin' \
         UNION SELECT actor, outcome = 'done' FROM tributary.audit WHERE verb = 'login' AND outcome <> 'done' ORDER BY 1",
    ]);
    assert_eq!(logins, "admin|f\nnobody_here|f", "attempts are in the audit");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_ends_when_it_should() {
    let server = server();
    let first = Guest::logged_in(&server, ADMIN, ADMIN_PASSWORD).await;
    let mut second = Guest::logged_in(&server, ADMIN, ADMIN_PASSWORD).await;
    assert_ne!(first.cookie, second.cookie);
    let before = second.cookie.clone();
    second.log_in(ADMIN, ADMIN_PASSWORD).await;
    let old = Guest { cookie: before, ..Guest::of(&server) };
    assert_eq!(
        old.get("/account").await.status,
        303,
        "a new login has a new session, and the old one is over"
    );

    let out = second.post("/logout", &[]).await;
    assert_eq!((out.status, out.header("location")), (303, "/login"));
    assert_eq!(second.get("/account").await.status, 303, "the cookie that it had is good for nothing");

    let mut third = Guest::logged_in(&server, ADMIN, ADMIN_PASSWORD).await;
    let change = |old: &'static str| [("old", old), ("password", OTHER), ("again", OTHER)];
    let refused = third.post("/account", &[("old", ADMIN_PASSWORD), ("password", "x"), ("again", "x")]).await;
    assert!(refused.status == 422 && refused.text.contains("shorter than 12"), "{}", refused.text);
    let done = third.post("/account", &change(ADMIN_PASSWORD)).await;
    assert_eq!(done.status, 303, "{}", done.text);
    assert_eq!(first.get("/account").await.status, 303, "other browsers are out");
    third.keep(&done);
    assert_eq!(third.get("/account").await.status, 200, "this one is in");
    let (client, connection) = server
        .config_of(ADMIN, OTHER)
        .connect(tokio_postgres::NoTls)
        .await
        .expect("the new one is for SQL, too");
    tokio::spawn(connection);

    client.batch_execute("CREATE USER ann PASSWORD 'a long enough password'").await.unwrap();
    let ann = Guest::logged_in(&server, "ann", "a long enough password").await;
    assert_eq!(ann.get("/account").await.status, 200);
    client.batch_execute("DROP USER ann").await.unwrap();
    assert_eq!(ann.get("/account").await.status, 303, "who is gone is out");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_our_own_forms_change_anything() {
    let server = server();
    let guest = Guest::logged_in(&server, ADMIN, ADMIN_PASSWORD).await;
    let token = guest.token().await;
    let body = form(&[("name", "eve"), ("role", "admin"), ("password", OTHER), ("csrf", &token)]);
    let forged = form(&[("name", "eve"), ("role", "admin"), ("password", OTHER), ("csrf", &"0".repeat(64))]);
    let own = guest.web.clone();
    let send = |body: &str, headers: &[(&'static str, &str)]| {
        let mut request = guest.request("/people", body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Seen::of(request)
    };
    for (body, headers) in [
        (&body, vec![]),
        (&body, vec![("origin", "https://evil.example")]),
        (&body, vec![("origin", "null")]),
        (&body, vec![("origin", own.as_str()), ("sec-fetch-site", "cross-site")]),
        (&body, vec![("sec-fetch-site", "same-site")]),
        (&forged, vec![("origin", own.as_str())]),
        (&"name=eve".to_string(), vec![("origin", own.as_str())]),
    ] {
        let seen = send(body, &headers).await;
        assert_eq!(seen.status, 403, "{headers:?}: {}", seen.text);
    }
    let nobody = Guest::of(&server);
    assert_eq!(nobody.send("/people", &body).await.status, 401, "no session");
    let stranger = Guest::logged_in(&server, ADMIN, ADMIN_PASSWORD).await;
    assert_eq!(stranger.send("/people", &body).await.status, 403, "the token of another session");
    let json = guest.client.post(format!("{own}/people")).header("origin", &own).body("{}");
    let json =
        json.header("content-type", "application/json").header("cookie", guest.cookie.as_ref().unwrap());
    assert_eq!(Seen::of(json).await.status, 415);
    let large = guest.send("/people", &format!("{body}&x={}", "y".repeat(2 << 20))).await;
    assert_eq!(large.status, 413);
    assert_eq!(server.rows(&["SELECT count(*) FROM tributary.user WHERE name = 'eve'"]), "0");
    let seen = send(&body, &[("origin", own.as_str()), ("sec-fetch-site", "same-origin")]).await;
    assert_eq!(seen.status, 303, "{}", seen.text);
    assert_eq!(server.rows(&["SELECT role FROM tributary.user WHERE name = 'eve'"]), "admin");
}

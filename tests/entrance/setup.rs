use super::Guest;
use super::guest::form;
use crate::support::server::Server;

fn link_of(server: &Server) -> String {
    let said = server.said();
    let line = said.lines().find(|line| line.contains("/setup/"));
    line.unwrap_or_else(|| panic!("no link: {said}")).split_whitespace().last().unwrap().to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_makes_the_first_admin_once() {
    let builder =
        Server::builder().args(&["--web-listen", "127.0.0.1:0"]).env("TRIBUTARY_ADMIN_PASSWORD", "");
    let server = builder.start();
    let first = link_of(&server);
    let server = server.kill().start();
    let mut guest = Guest::of(&server);
    let path = |link: &str| url::Url::parse(link).unwrap().path().to_string();
    assert_eq!(guest.get(&path(&first)).await.status, 404, "the link of the start before is over");
    let path = path(&link_of(&server));
    assert_eq!(guest.get("/setup/guessed").await.status, 404);
    assert!(guest.get(&path).await.text.contains("first admin"));

    let (name, good) = ("boss", "my cat eats two fish");
    for (fields, words) in [
        ([("name", name), ("password", "short"), ("again", "short")], "shorter than 12"),
        ([("name", name), ("password", good), ("again", "other")], "two passwords differ"),
        ([("name", "Not a name"), ("password", good), ("again", good)], "Not a name"),
        (
            [("name", name), ("password", "password2026!"), ("again", "password2026!")],
            "first that are guessed",
        ),
        ([("name", ""), ("password", good), ("again", good)], "a name is needed"),
    ] {
        let refused = guest.send(&path, &form(&fields)).await;
        assert!(refused.status == 422 && refused.text.contains(words), "{words}: {}", refused.text);
        assert!(!refused.text.contains("my cat eats"), "passwords are not shown again");
        assert!(refused.text.contains(&format!("value=\"{}\"", fields[0].1)), "{}", refused.text);
    }
    let elsewhere = guest.request(&path, "").header("origin", "https://evil.example").send().await.unwrap();
    assert_eq!(elsewhere.status(), 403);
    let done = guest.send(&path, &form(&[("name", name), ("password", good), ("again", good)])).await;
    assert_eq!((done.status, done.header("location")), (303, "/connectors"), "{}", done.text);
    guest.keep(&done);
    assert!(guest.get("/connectors").await.text.contains("Connect your first source"));
    assert_eq!(guest.get(&path).await.status, 404, "it counts once");
    let again = guest.send(&path, &form(&[("name", "other"), ("password", good), ("again", good)])).await;
    assert_eq!(again.status, 404);

    // The same password on the wire.
    let (client, connection) =
        server.config_of(name, good).connect(tokio_postgres::NoTls).await.expect("the admin may log in");
    tokio::spawn(connection);
    let role: String =
        client.query_one("SELECT role FROM tributary.user WHERE name = 'boss'", &[]).await.unwrap().get(0);
    assert_eq!(role, "admin");
    let server = server.kill().start();
    assert!(!server.said().contains("/setup/"), "{}", server.said());
    assert_eq!(
        Guest { web: Guest::of(&server).web, ..guest }.get("/connectors").await.status,
        200,
        "still logged in"
    );
}

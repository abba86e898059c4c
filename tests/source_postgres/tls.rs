//! The TLS modes, against a server that admits nobody without TLS.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tributary::error::Kind;

use super::*;
use crate::support::postgres::{as_postgres, binaries, cluster, database, free_port, is_root, run};

/// An authority, and what it signs.
struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Authority { pem, issuer: Issuer::new(params, key) }
    }

    /// Certificate and key for host names, or for a user.
    fn sign(&self, hosts: &[&str], common_name: &str) -> (String, String) {
        let hosts: Vec<_> = hosts.iter().map(|host| host.to_string()).collect();
        let mut params = CertificateParams::new(hosts).unwrap();
        params.distinguished_name.push(DnType::CommonName, common_name);
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }
}

/// A cluster of its own: `hostssl` only, and a user that logs in by certificate alone.
struct TlsCluster {
    port: u16,
    root: PathBuf,
}

impl TlsCluster {
    async fn start(authority: &Authority) -> Self {
        let root =
            std::env::temp_dir().join(format!("tributary-test-postgres-{}", std::process::id())).join("tls");
        tokio::task::spawn_blocking(cluster).await.unwrap();
        std::fs::create_dir_all(&root).unwrap();
        let (data, password) = (root.join("data"), root.join("password"));
        std::fs::write(&password, PASSWORD).unwrap();
        own(&root);
        let bin = binaries();
        run(as_postgres(&bin.join("initdb"))
            .args(["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync", "-U", USER])
            .arg("-D")
            .arg(&data)
            .arg("--pwfile")
            .arg(&password));
        std::fs::write(
            data.join("pg_hba.conf"),
            "local all all scram-sha-256\nhostssl all certuser 127.0.0.1/32 cert\n\
             hostssl all all 127.0.0.1/32 scram-sha-256\n",
        )
        .unwrap();
        std::fs::write(data.join("root.crt"), &authority.pem).unwrap();
        let cluster = TlsCluster { port: free_port(), root };
        cluster.install(authority.sign(&["localhost"], "server"));
        let mut server = as_postgres(&bin.join("postgres"));
        server
            .arg("-D")
            .arg(&data)
            .args(["-p", &cluster.port.to_string(), "-k", &cluster.root.to_string_lossy()])
            .args(["-c", "fsync=off", "-c", "listen_addresses=127.0.0.1", "-c", "ssl=on"])
            .args(["-c", "ssl_ca_file=root.crt"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        std::thread::spawn(move || server.spawn().unwrap().wait().unwrap());
        for _ in 0..500 {
            if let Ok(client) = cluster.admin().await {
                client.batch_execute("CREATE ROLE certuser LOGIN").await.unwrap();
                return cluster;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("the cluster with TLS did not start");
    }

    fn install(&self, (certificate, key): (String, String)) {
        let data = self.root.join("data");
        std::fs::write(data.join("server.crt"), certificate).unwrap();
        std::fs::write(data.join("server.key"), key).unwrap();
        run(Command::new("chmod").arg("600").arg(data.join("server.key")));
        own(&data);
    }

    /// Takes over a new server certificate.
    async fn reload(&self) {
        self.admin().await.unwrap().batch_execute("SELECT pg_reload_conf()").await.unwrap();
        tokio::time::sleep(Duration::from_millis(500)).await;
    }

    /// Through the Unix socket, which never has TLS.
    async fn admin(&self) -> Result<tokio_postgres::Client, tokio_postgres::Error> {
        let mut config = tokio_postgres::Config::new();
        config.host_path(&self.root).port(self.port).user(USER).password(PASSWORD).dbname("postgres");
        let (client, connection) = config.connect(tokio_postgres::NoTls).await?;
        tokio::spawn(connection);
        Ok(client)
    }

    async fn whoami(&self, host: &str, further: Value) -> Result<String, Error> {
        let mut settings = json!({"host": host, "port": self.port, "database": "postgres", "user": USER, "connect_timeout_secs": 5});
        settings.as_object_mut().unwrap().extend(further.as_object().unwrap().clone());
        let secrets = HashMap::from([("password".to_string(), PASSWORD.to_string())]);
        Ok(connectors().open("postgresql", &settings, &secrets, None)?.whoami().await?.user)
    }

    async fn refusal(&self, host: &str, further: Value) -> Error {
        self.whoami(host, further).await.unwrap_err()
    }
}

fn own(path: &Path) {
    if is_root() {
        run(Command::new("chown").args(["-R", "postgres"]).arg(path));
    }
}

#[tokio::test]
async fn each_mode_verifies_what_it_says() {
    let (authority, stranger) = (Authority::new("authority"), Authority::new("stranger"));
    let cluster = TlsCluster::start(&authority).await;
    let mode = |mode: &str| json!({ "sslmode": mode });
    let trusting = |mode: &str, root: &str| json!({ "sslmode": mode, "sslrootcert": root });

    let error = cluster.refusal("127.0.0.1", mode("disable")).await;
    assert_eq!(error.kind(), Kind::Unauthenticated);
    assert!(error.what().contains("no pg_hba.conf entry"), "{error}");
    for verified in ["prefer", "require"] {
        assert_eq!(cluster.whoami("127.0.0.1", mode(verified)).await.unwrap(), USER);
    }
    assert_eq!(cluster.whoami("localhost", trusting("verify-full", &authority.pem)).await.unwrap(), USER);
    assert_eq!(cluster.whoami("127.0.0.1", trusting("verify-ca", &authority.pem)).await.unwrap(), USER);

    let error = cluster.refusal("127.0.0.1", trusting("verify-full", &authority.pem)).await;
    assert_eq!(error.kind(), Kind::Unauthenticated);
    assert!(error.what().contains("is refused by sslmode `verify-full`"), "{error}");
    assert!(error.hint().unwrap().contains("the certificate names another host"), "{error:?}");
    for mode in ["require", "verify-ca", "verify-full"] {
        let error = cluster.refusal("localhost", trusting(mode, &stranger.pem)).await;
        assert!(error.hint().unwrap().contains("sslrootcert"), "{mode}: {error:?}");
    }
    assert!(cluster.whoami("localhost", mode("verify-full")).await.is_err(), "unknown to this machine");

    // As a file, and what is no certificate.
    let file = cluster.root.join("authority.pem");
    std::fs::write(&file, &authority.pem).unwrap();
    let file = file.to_string_lossy();
    assert_eq!(cluster.whoami("localhost", trusting("verify-full", &file)).await.unwrap(), USER);
    for nonsense in ["/no/such/file", "-----BEGIN CERTIFICATE-----\nAAAA"] {
        let error = cluster.refusal("localhost", trusting("verify-full", nonsense)).await;
        assert!(error.what().contains("setting `sslrootcert`"), "{error}");
    }

    // A user that logs in by certificate.
    let (certificate, key) = authority.sign(&[], "certuser");
    let key_file = cluster.root.join("certuser.key");
    std::fs::write(&key_file, key).unwrap();
    let login = |certificate: &str| json!({"user": "certuser", "sslmode": "require", "sslcert": certificate, "sslkey": key_file});
    assert_eq!(cluster.whoami("localhost", login(&certificate)).await.unwrap(), "certuser");
    let (other, _) = authority.sign(&[], "certuser");
    let error = cluster.refusal("localhost", login(&other)).await;
    assert!(error.what().contains("do not fit together"), "{error}");

    // A self-signed authority as server certificate, as PostgreSQL's own instructions make it.
    let mut params = CertificateParams::new(vec!["localhost".into()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let own = params.self_signed(&key).unwrap().pem();
    cluster.install((own.clone(), key.serialize_pem()));
    cluster.reload().await;
    assert_eq!(cluster.whoami("localhost", trusting("verify-full", &own)).await.unwrap(), USER);
    assert!(cluster.whoami("127.0.0.1", trusting("verify-full", &own)).await.is_err());
    assert!(cluster.whoami("localhost", trusting("verify-full", &authority.pem)).await.is_err());

    // A whole read, encrypted and in parallel.
    let admin = cluster.admin().await.unwrap();
    admin
        .batch_execute(
            "CREATE TABLE t AS SELECT i AS id, repeat('x', 250) AS s FROM generate_series(1, 300000) i",
        )
        .await
        .unwrap();
    let settings = json!({"host": "localhost", "port": cluster.port, "database": "postgres", "user": USER,
        "sslmode": "verify-full", "sslrootcert": own, "parallel": 2});
    let secrets = HashMap::from([("password".to_string(), PASSWORD.to_string())]);
    let source = connectors().open("postgresql", &settings, &secrets, None).unwrap();
    let pages = pages(&*source, full("t", &[("id", "integer"), ("s", "text")])).await.unwrap();
    assert_eq!(pages.iter().map(|page| page.rows.num_rows()).sum::<usize>(), 300_000);
}

#[tokio::test]
async fn a_server_without_tls_is_refused_from_require_on() {
    let database = database().await;
    for mode in ["require", "verify-ca", "verify-full"] {
        let error = source_with(&database, json!({ "sslmode": mode })).whoami().await.unwrap_err();
        assert_eq!(error.kind(), Kind::Invalid);
        assert!(
            error.what().contains(&format!("does not offer TLS, but sslmode `{mode}` demands it")),
            "{error}"
        );
    }
    for mode in ["disable", "prefer"] {
        source_with(&database, json!({ "sslmode": mode })).whoami().await.unwrap();
    }
}

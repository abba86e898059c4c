//! Where requests may go: only to the hosts that a manifest pins, and never into the operator's own network.
//!
//! A host is checked twice: its name against the manifest's list before a request is made, and its addresses when it
//! is resolved, because a name that is allowed may point anywhere. Connections go to the address that was checked.
//! Only the operator can lead a connector elsewhere, in the server's configuration.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

use crate::catalog::{Manifest, host_fits, manifest_hosts};
use crate::error::{Error, Kind, Result};

/// The hosts of one connector.
#[derive(Debug, Clone)]
pub(crate) struct Guard {
    connector: String,
    patterns: Vec<String>,
    /// Scheme, host and port that the operator put in the place of all of them.
    moved_to: Option<Url>,
}

impl Guard {
    /// The hosts of `manifest`, or the one address that the operator named instead.
    pub(crate) fn new(manifest: &Manifest, moved_to: Option<&str>) -> Result<Self> {
        let moved_to = moved_to.map(|text| {
            Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https")).ok_or_else(|| {
                Error::new(
                    Kind::Invalid,
                    format!("`{text}` is no base URL of connector `{}`", manifest.name.value),
                )
                .with_hint("write scheme, host and port, for example http://127.0.0.1:8090")
            })
        });
        Ok(Guard {
            connector: manifest.name.value.to_string(),
            patterns: manifest_hosts(manifest),
            moved_to: moved_to.transpose()?,
        })
    }

    /// The URL to request, on an allowed host.
    ///
    /// # Errors
    /// `Denied` for another host, another port, another scheme than https, or a user name in the URL.
    pub(crate) fn admit(&self, text: &str) -> Result<Url> {
        let refused = |why: &str| {
            let shown: String = text.split(['?', '#']).next().unwrap_or_default().chars().take(200).collect();
            Error::new(
                Kind::Denied,
                format!("connector `{}` may not send requests to `{shown}`: {why}", self.connector),
            )
            .with_hint("requests and their tokens go only to the hosts of the connector's manifest")
        };
        let mut url = Url::parse(text).map_err(|error| refused(&error.to_string()))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(refused("it names a user"));
        }
        if let Some(moved) = &self.moved_to {
            // Where a login leads to another port of the same machine, that is the operator's too.
            if url.host() == moved.host() && matches!(url.scheme(), "http" | "https") {
                return Ok(url);
            }
            if !self.is_pinned(&url) {
                return Err(refused("its host is not pinned"));
            }
            let moved = url.set_scheme(moved.scheme()).is_ok()
                && url.set_host(moved.host_str()).is_ok()
                && url.set_port(moved.port()).is_ok();
            return if moved { Ok(url) } else { Err(refused("it cannot be moved")) };
        }
        if url.scheme() != "https" {
            return Err(refused("it is not https"));
        }
        if !matches!(url.port_or_known_default(), Some(443)) {
            return Err(refused("it has a port of its own"));
        }
        match self.is_pinned(&url) {
            true => Ok(url),
            false => Err(refused("its host is not pinned")),
        }
    }

    fn is_pinned(&self, url: &Url) -> bool {
        match url.host() {
            // A number is never a name, whatever it is written like.
            Some(Host::Domain(host)) => self.patterns.iter().any(|pattern| host_fits(pattern, host)),
            _ => false,
        }
    }

    /// Whether addresses are checked when names are resolved.
    pub(crate) fn resolver(&self) -> Option<Arc<PublicOnly>> {
        self.moved_to.is_none().then(|| Arc::new(PublicOnly))
    }
}

/// Resolves names to public addresses only.
#[derive(Debug)]
pub(crate) struct PublicOnly;

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        let host = name.as_str().to_string();
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((host.as_str(), 0)).await?.collect();
            let public: Vec<_> = found.into_iter().filter(|address| is_public(address.ip())).collect();
            if public.is_empty() {
                return Err(format!("`{host}` has no public address").into());
            }
            Ok(Box::new(public.into_iter()) as Addrs)
        })
    }
}

/// Whether an address is one of the public internet: not of this machine, of a private network or of a provider's
/// metadata service (IANA's special-purpose registries).
pub(crate) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    !(a == 0
        || address.is_loopback()
        || address.is_private()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_documentation()
        || a >= 240
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 192 && b == 88 && c == 99)
        || (a == 198 && (18..20).contains(&b)))
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    if let Some(mapped) = address.to_ipv4_mapped() {
        return is_public_v4(mapped);
    }
    let segments = address.segments();
    let embedded = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        is_public_v4(Ipv4Addr::new(a, b, c, d))
    };
    match segments {
        // NAT64 and 6to4 hold an address of the old kind.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => embedded(high, low),
        [0x2002, high, low, ..] => embedded(high, low),
        // Teredo, documentation.
        [0x2001, second, ..] if second == 0 || second == 0xdb8 => false,
        // Only 2000::/3 is given out.
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Catalog;

    fn guard(connector: &str, moved_to: Option<&str>) -> Guard {
        Guard::new(Catalog::embedded().unwrap().get(connector).unwrap(), moved_to).unwrap()
    }

    #[test]
    fn requests_go_to_pinned_hosts_only() {
        let salesforce = guard("salesforce", None);
        assert!(salesforce.admit("https://acme.my.salesforce.com/services/data").is_ok());
        for bad in [
            "http://acme.my.salesforce.com/",
            "https://acme.my.salesforce.com:8443/",
            "https://acme.my.salesforce.com@evil.example/",
            "https://user@acme.my.salesforce.com/",
            "https://evil.example/.salesforce.com",
            "https://salesforce.com.evil.example/",
            "https://evilsalesforce.com/",
            "https://127.0.0.1/",
            "https://2130706433/",
            "https://0x7f.1/",
            "https://0177.0.0.1/",
            "https://[::1]/",
            "https://[::ffff:169.254.169.254]/",
            "https://localhost/",
            "https://169.254.169.254/latest/meta-data",
            "ftp://acme.my.salesforce.com/",
            "file:///etc/passwd",
            "/relative",
        ] {
            let error = salesforce.admit(bad).unwrap_err();
            assert_eq!(error.kind(), Kind::Denied, "{bad}");
        }
        let hubspot = guard("hubspot", None);
        assert!(hubspot.admit("https://API.hubapi.com/crm/v3/objects/deals?after=1").is_ok());
        assert!(hubspot.admit("https://evil.hubapi.com/").is_err());
    }

    #[test]
    fn the_operator_can_move_a_connector() {
        let moved = guard("hubspot", Some("http://127.0.0.1:8090"));
        let url = moved.admit("https://api.hubapi.com/crm/v3/objects/deals?after=1").unwrap();
        assert_eq!(url.as_str(), "http://127.0.0.1:8090/crm/v3/objects/deals?after=1");
        assert!(moved.admit("http://127.0.0.1:8090/next").is_ok());
        assert!(moved.admit("http://127.0.0.1:9999/next").is_ok());
        assert!(moved.admit("http://127.0.0.2:8090/next").is_err());
        assert!(moved.admit("https://evil.example/").is_err());
        let manifest = Catalog::embedded().unwrap().get("hubspot").unwrap().clone();
        assert!(Guard::new(&manifest, Some("127.0.0.1:8090")).is_err());
    }

    #[test]
    fn addresses_of_networks_of_ones_own_are_refused() {
        for bad in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "127.255.1.1",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.1",
            "192.168.1.1",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:10.0.0.1",
            "::ffff:127.0.0.1",
            "64:ff9b::a9fe:a9fe",
            "2002:7f00:1::",
            "2001:db8::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "ff02::1",
            "::127.0.0.1",
        ] {
            assert!(!is_public(bad.parse().unwrap()), "{bad}");
        }
        for good in ["1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "64:ff9b::101:101"] {
            assert!(is_public(good.parse().unwrap()), "{good}");
        }
    }
}

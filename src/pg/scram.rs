//! The server's side of a SCRAM-SHA-256 login (RFC 5802, 7677), without the network.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::error::{Error, Kind, Result};
use crate::password::Verifier;

pub(crate) const MECHANISM: &str = "SCRAM-SHA-256";
/// With the login bound to the TLS connection it goes through.
pub(crate) const MECHANISM_PLUS: &str = "SCRAM-SHA-256-PLUS";

/// A login after the client's first message.
pub(crate) struct Exchange {
    client_first_bare: String,
    server_first: String,
    nonce: String,
    /// What the client has to repeat: its header and, with binding, the hash of our certificate.
    binding: Vec<u8>,
}

impl Exchange {
    /// Reads the client's first message. `end_point` is what a login over this connection can be bound to; with
    /// it both mechanisms were offered.
    pub(crate) fn begin(
        mechanism: &str,
        message: &[u8],
        end_point: Option<&[u8]>,
        verifier: &Verifier,
    ) -> Result<Self> {
        let random: [u8; 18] = rand::random();
        Self::begin_with(mechanism, message, end_point, verifier, &BASE64.encode(random))
    }

    fn begin_with(
        mechanism: &str,
        message: &[u8],
        end_point: Option<&[u8]>,
        verifier: &Verifier,
        own_nonce: &str,
    ) -> Result<Self> {
        let message = std::str::from_utf8(message).map_err(|_| malformed())?;
        let (flag, rest) = message.split_once(',').ok_or_else(malformed)?;
        let (identity, bare) = rest.split_once(',').ok_or_else(malformed)?;
        if !identity.is_empty() {
            return Err(Error::new(
                Kind::Unsupported,
                "logging in on behalf of somebody else is not supported",
            ));
        }
        let mut binding = format!("{flag},,").into_bytes();
        match (mechanism, flag, end_point) {
            (MECHANISM, "n", _) | (MECHANISM, "y", None) => {}
            // The client could bind and was told that we cannot: somebody stands between us.
            (MECHANISM, "y", Some(_)) => {
                return Err(Error::new(Kind::Unauthenticated, "SCRAM channel binding negotiation error")
                    .with_detail("the client was not told that this server supports channel binding"));
            }
            (MECHANISM_PLUS, "p=tls-server-end-point", Some(hash)) => binding.extend_from_slice(hash),
            (MECHANISM_PLUS, _, Some(_)) => {
                return Err(Error::new(Kind::Unsupported, "unsupported SCRAM channel-binding type"));
            }
            (MECHANISM, ..) => return Err(malformed()),
            _ => return Err(violation("client selected an invalid SASL authentication mechanism")),
        }
        let mut attributes = bare.split(',');
        // The name in `n=` is that of the startup message, and read over as PostgreSQL does.
        attributes.next().filter(|name| name.starts_with("n=")).ok_or_else(malformed)?;
        let client_nonce =
            attributes.next().and_then(|nonce| nonce.strip_prefix("r=")).ok_or_else(malformed)?;
        if client_nonce.is_empty() || !client_nonce.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(malformed());
        }
        let nonce = format!("{client_nonce}{own_nonce}");
        let salt = BASE64.encode(verifier.salt());
        let server_first = format!("r={nonce},s={salt},i={}", verifier.iterations());
        Ok(Exchange { client_first_bare: bare.to_owned(), server_first, nonce, binding })
    }

    /// The server's first message.
    pub(crate) fn server_first(&self) -> &str {
        &self.server_first
    }

    /// Reads the client's last message: what the client proves, to be checked against the verifier.
    pub(crate) fn finish(self, message: &[u8]) -> Result<Proof> {
        let message = std::str::from_utf8(message).map_err(|_| malformed())?;
        let (without_proof, proof) = message.rsplit_once(",p=").ok_or_else(malformed)?;
        let mut attributes = without_proof.split(',');
        let binding = attributes.next().and_then(|c| c.strip_prefix("c=")).ok_or_else(malformed)?;
        let nonce = attributes.next().and_then(|r| r.strip_prefix("r=")).ok_or_else(malformed)?;
        let proof = BASE64.decode(proof).map_err(|_| malformed())?;
        if BASE64.decode(binding).map_err(|_| malformed())? != self.binding {
            return Err(Error::new(Kind::Unauthenticated, "SCRAM channel binding check failed"));
        }
        if nonce != self.nonce || proof.len() != 32 {
            return Err(malformed());
        }
        let message = format!("{},{},{without_proof}", self.client_first_bare, self.server_first);
        Ok(Proof { message, proof })
    }
}

/// What a client says it can prove.
pub(crate) struct Proof {
    message: String,
    proof: Vec<u8>,
}

impl Proof {
    /// The server's last message if the proof is right.
    pub(crate) fn check(&self, verifier: &Verifier) -> Option<String> {
        let signature = verifier.check(self.message.as_bytes(), &self.proof)?;
        Some(format!("v={}", BASE64.encode(signature)))
    }
}

fn violation(what: &str) -> Error {
    Error::new(Kind::Invalid, what).with_sqlstate("08P01")
}

fn malformed() -> Error {
    violation("malformed SCRAM message")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verifier() -> Verifier {
        // RFC 7677: password `pencil`, salt W22ZaJ0SNY7soEsUEjb6gQ==, 4096 iterations.
        Verifier::parse(
            "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=",
        )
        .unwrap()
    }

    #[test]
    fn the_exchange_of_the_rfc_succeeds() {
        let verifier = verifier();
        let first = b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
        let nonce = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        let exchange = Exchange::begin_with(MECHANISM, first, None, &verifier, nonce).unwrap();
        assert_eq!(
            exchange.server_first(),
            "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
        );
        let last = b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
        let proof = exchange.finish(last).unwrap();
        assert_eq!(proof.check(&verifier).unwrap(), "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
        assert!(proof.check(&Verifier::mock(&[0; 32], "user")).is_none());
    }

    #[test]
    fn what_the_protocol_does_not_allow_is_refused() {
        let verifier = verifier();
        let end_point = Some(&b"hash"[..]);
        let begin = |mechanism, message: &str, end_point| {
            Exchange::begin(mechanism, message.as_bytes(), end_point, &verifier)
                .map(|_| ())
                .map_err(|error| error.sqlstate())
        };
        assert_eq!(begin(MECHANISM, "n,,n=,r=abc", None), Ok(()));
        assert_eq!(begin(MECHANISM, "y,,n=,r=abc", None), Ok(()));
        assert_eq!(begin(MECHANISM, "n,,n=,r=abc", end_point), Ok(()));
        assert_eq!(begin(MECHANISM_PLUS, "p=tls-server-end-point,,n=,r=abc", end_point), Ok(()));
        assert_eq!(begin(MECHANISM, "y,,n=,r=abc", end_point), Err("28000"), "a downgrade");
        assert_eq!(begin(MECHANISM_PLUS, "p=tls-unique,,n=,r=abc", end_point), Err("0A000"));
        assert_eq!(begin(MECHANISM_PLUS, "p=tls-server-end-point,,n=,r=abc", None), Err("08P01"));
        assert_eq!(begin("PLAIN", "n,,n=,r=abc", None), Err("08P01"));
        assert_eq!(begin(MECHANISM, "n,a=other,n=,r=abc", None), Err("0A000"));
        for message in ["", "n", "n,,", "n,,n=", "n,,n=,r=", "n,,m=x,n=,r=abc", "n,,n=,r=a b", "p=x,,n=,r=a"]
        {
            assert_eq!(begin(MECHANISM, message, None), Err("08P01"), "{message}");
        }
        let finish = |last: &dyn Fn(&str) -> String| {
            let exchange = Exchange::begin(MECHANISM, b"n,,n=,r=abc", None, &verifier).unwrap();
            let last = last(&exchange.nonce);
            exchange.finish(last.as_bytes()).map(|_| ()).map_err(|error| error.sqlstate())
        };
        let proof = BASE64.encode([0; 32]);
        assert_eq!(finish(&|nonce| format!("c=biws,r={nonce},p={proof}")), Ok(()));
        assert_eq!(finish(&|nonce| format!("c=biws,r={nonce}x,p={proof}")), Err("08P01"));
        assert_eq!(finish(&|nonce| format!("c=eSws,r={nonce},p={proof}")), Err("28000"));
        assert_eq!(finish(&|nonce| format!("c=biws,r={nonce},p=AAAA")), Err("08P01"));
        assert_eq!(finish(&|nonce| format!("c=biws,r={nonce}")), Err("08P01"));
    }
}

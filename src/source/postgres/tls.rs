//! TLS to a PostgreSQL server, by rustls: what each mode verifies, and the glue to the protocol crate.
//!
//! | mode | encrypted | chain verified | name verified |
//! | --- | --- | --- | --- |
//! | prefer | when the server can | with `sslrootcert` | no |
//! | require | yes | with `sslrootcert` | no |
//! | verify-ca | yes | yes | no |
//! | verify-full | yes | yes | yes |

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};

use super::settings::{Settings, SslMode};
use crate::error::{Error, Kind, Result};

/// Makes TLS sessions for one connection's settings.
#[derive(Clone)]
pub(crate) struct Tls {
    config: Arc<ClientConfig>,
}

impl Tls {
    /// Reads the certificates of `settings`. Blocking, but small.
    pub(crate) fn new(settings: &Settings) -> Result<Self> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut verify = match settings.sslmode {
            SslMode::Disable | SslMode::Prefer | SslMode::Require => Verify::Nothing,
            SslMode::VerifyCa => Verify::Chain,
            SslMode::VerifyFull => Verify::ChainAndName,
        };
        if verify == Verify::Nothing && settings.root_cert.is_some() {
            verify = Verify::Chain;
        }
        let pinned = match &settings.root_cert {
            Some(given) => certificates("sslrootcert", given)?,
            None => Vec::new(),
        };
        let mut roots = RootCertStore::empty();
        if verify != Verify::Nothing {
            if settings.root_cert.is_some() {
                roots.add_parsable_certificates(pinned.iter().cloned());
            } else {
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            }
            if roots.is_empty() && pinned.is_empty() {
                return Err(Error::new(Kind::Invalid, "this machine has no trusted certificates")
                    .with_hint("give the server's certificate authority as setting `sslrootcert`"));
            }
        }
        let verifier = Arc::new(Verifier { verify, roots, pinned, provider: Arc::clone(&provider) });
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|e| Error::internal("TLS cannot be set up").with_source(e))?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let config = match (&settings.client_cert, &settings.client_key) {
            (Some(cert), Some(key)) => {
                let key = PrivateKeyDer::from_pem_file(key).map_err(|e| {
                    Error::new(Kind::Invalid, format!("setting `sslkey`: `{key}` is no readable private key"))
                        .with_hint(
                            "the file must exist, be readable by the server, and be an unencrypted PEM key",
                        )
                        .with_source(e)
                })?;
                builder.with_client_auth_cert(certificates("sslcert", cert)?, key).map_err(|e| {
                    Error::new(Kind::Invalid, "settings `sslcert` and `sslkey` do not fit together")
                        .with_source(e)
                })?
            }
            _ => builder.with_no_client_auth(),
        };
        Ok(Tls { config: Arc::new(config) })
    }
}

/// Certificates given as PEM text or as the path of a PEM file.
fn certificates(setting: &str, given: &str) -> Result<Vec<CertificateDer<'static>>> {
    let parsed: Result<Vec<_>, _> = if given.contains("-----BEGIN") {
        CertificateDer::pem_slice_iter(given.as_bytes()).collect()
    } else {
        CertificateDer::pem_file_iter(given).and_then(Iterator::collect)
    };
    let shown = if given.contains("-----BEGIN") { "the given text" } else { given };
    match parsed {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) => Err(Error::new(
            Kind::Invalid,
            format!("setting `{setting}`: `{shown}` holds no certificate in PEM form"),
        )),
        Err(error) => Err(Error::new(
            Kind::Invalid,
            format!("setting `{setting}`: `{shown}` is no readable PEM certificate"),
        )
        .with_hint("give the text itself (-----BEGIN CERTIFICATE-----) or a file the server may read")
        .with_source(error)),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verify {
    Nothing,
    Chain,
    ChainAndName,
}

#[derive(Debug)]
struct Verifier {
    verify: Verify,
    roots: RootCertStore,
    /// Certificates given by the administrator. A server that presents one of them is trusted even when it is a
    /// self-signed authority, as PostgreSQL's own set-up instructions make them; webpki alone refuses those.
    pinned: Vec<CertificateDer<'static>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if self.verify == Verify::Nothing {
            return Ok(ServerCertVerified::assertion());
        }
        let certificate = ParsedCertificate::try_from(end_entity)?;
        if !self.pinned.iter().any(|pinned| pinned.as_ref() == end_entity.as_ref()) {
            verify_server_cert_signed_by_trust_anchor(
                &certificate,
                &self.roots,
                intermediates,
                now,
                self.provider.signature_verification_algorithms.all,
            )?;
        }
        if self.verify == Verify::ChainAndName {
            verify_server_name(&certificate, server_name)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

impl<S> MakeTlsConnect<S> for Tls
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Stream = Encrypted<S>;
    type TlsConnect = Connect;
    type Error = io::Error;

    fn make_tls_connect(&mut self, host: &str) -> io::Result<Connect> {
        Ok(Connect { config: Arc::clone(&self.config), host: host.to_string() })
    }
}

/// One handshake to come.
pub(crate) struct Connect {
    config: Arc<ClientConfig>,
    host: String,
}

impl<S> TlsConnect<S> for Connect
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Stream = Encrypted<S>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Encrypted<S>>> + Send>>;

    fn connect(self, stream: S) -> Self::Future {
        Box::pin(async move {
            let name = ServerName::try_from(self.host)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
            Ok(Encrypted(tokio_rustls::TlsConnector::from(self.config).connect(name, stream).await?))
        })
    }
}

/// A stream under TLS.
pub(crate) struct Encrypted<S>(tokio_rustls::client::TlsStream<S>);

impl<S: AsyncRead + AsyncWrite + Unpin> TlsStream for Encrypted<S> {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Encrypted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Encrypted<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

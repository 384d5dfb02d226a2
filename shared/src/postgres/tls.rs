//! How a server's certificate is judged, from what the connection says.

use std::path::Path;

use native_tls::{Certificate, Protocol, TlsConnector};

use super::dsn::{Dsn, Roots, SslMode};
use crate::error::{Error, Result};

/// As in libpq, certificates are verified from `verify-ca` on, or when issuers to trust were given; their name for
/// `verify-full`.
pub(super) async fn tls_connector(dsn: &Dsn, mode: SslMode) -> Result<TlsConnector> {
    let verify_chain = mode >= SslMode::VerifyCa || *dsn.roots() != Roots::Unsaid;
    let mut builder = TlsConnector::builder();
    builder
        .min_protocol_version(Some(Protocol::Tlsv12))
        .danger_accept_invalid_certs(!verify_chain)
        .danger_accept_invalid_hostnames(mode < SslMode::VerifyFull);
    if let Roots::File(path) = dsn.roots() {
        builder.disable_built_in_roots(true);
        for certificate in certificates(path).await? {
            builder.add_root_certificate(certificate);
        }
    }
    if let Some(files) = dsn.client_certificate() {
        let certificate = read("sslcert", &files.certificate).await?;
        let key = read("sslkey", &files.key).await?;
        let identity = native_tls::Identity::from_pkcs8(&certificate, &key).map_err(|_| {
            Error::configuration("`sslcert` and `sslkey` do not hold a certificate and its key")
                .hint("both must be PEM, the key in PKCS #8 without a password (openssl pkcs8 -topk8 -nocrypt)")
        })?;
        builder.identity(identity);
    }
    builder.build().map_err(|e| Error::configuration("cannot set up TLS").because(e))
}

async fn certificates(path: &Path) -> Result<Vec<Certificate>> {
    let pem = read("sslrootcert", path).await?;
    match Certificate::stack_from_pem(&pem) {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err(Error::configuration(format!("`sslrootcert` {} holds no PEM certificate", path.display()))),
    }
}

async fn read(parameter: &str, path: &Path) -> Result<Vec<u8>> {
    tokio::fs::read(path)
        .await
        .map_err(|e| Error::configuration(format!("cannot read `{parameter}` {}", path.display())).because(e))
}

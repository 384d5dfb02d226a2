//! How a server's certificate is judged, from what the connection says.

use std::path::Path;

use jiff::Timestamp;
use native_tls::{Certificate, Protocol, TlsConnector};
use x509_cert::der::Decode;

use super::dsn::{Dsn, Roots, SslMode};
use crate::error::{Error, Result};

/// As in libpq, certificates are verified from `verify-ca` on, or when issuers to trust were given; their name for
/// `verify-full`.
pub(super) async fn tls_connector(dsn: &Dsn, mode: SslMode) -> Result<TlsConnector> {
    let verify_chain = is_checked(dsn, mode);
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

/// Whether the server's certificate has to be in order.
pub(super) fn is_checked(dsn: &Dsn, mode: SslMode) -> bool {
    mode >= SslMode::VerifyCa || *dsn.roots() != Roots::Unsaid
}

/// When a certificate (DER) ends. `None` for what is none.
pub(super) fn ends(certificate: &[u8]) -> Option<Timestamp> {
    let certificate = x509_cert::Certificate::from_der(certificate).ok()?;
    let end = certificate.tbs_certificate.validity.not_after.to_unix_duration();
    Timestamp::from_second(i64::try_from(end.as_secs()).ok()?).ok()
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

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::prelude::BASE64_STANDARD;

    use super::*;

    /// Self-signed; until 2050 certificates spell their times in one way, and later ones in another.
    const UNTIL_2030: &str = "MIH/MIGmAgEBMAoGCCqGSM49BAMCMAwxCjAIBgNVBAMMAWEwHhcNMjYwMTAxMDAwMDAwWhcNMzAwMTAyMDMwNDA1WjAMMQowCAYD\
         VQQDDAFhMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEs4xpqFim5GByTyFwWmVF27FO2KyTRqnlQhUf9HO5YTF5Kwcx7TrPOaie\
         sGhaDvOcPUyyDBAM1bWpFQLG/LAiXTAKBggqhkjOPQQDAgNIADBFAiEA338PO1QI2RKRAMiroCYxQBaFLjciu9slhK08BdQBV3oC\
         IFWz7ifoQmiTE/KgqJcH5b443RFf6bi4kPzDsmJJYss6";
    const UNTIL_2061: &str = "MIIBATCBqAIBAjAKBggqhkjOPQQDAjAMMQowCAYDVQQDDAFhMCAXDTI2MDEwMTAwMDAwMFoYDzIwNjEwMTAyMDMwNDA1WjAMMQow\
         CAYDVQQDDAFhMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEs4xpqFim5GByTyFwWmVF27FO2KyTRqnlQhUf9HO5YTF5Kwcx7TrP\
         OaiesGhaDvOcPUyyDBAM1bWpFQLG/LAiXTAKBggqhkjOPQQDAgNIADBFAiEAyaUJGmyaOM2FzF0LbW7x6bsa2xDG8vCoBxSXBfkT\
         O58CIBPKOevK5Mj9m/C9aQVRHX/u6SfFtD7achkgXrjsT5xr";

    #[test]
    fn the_end_of_a_certificate_is_read() {
        let ends_at = |der: &[u8]| ends(der).map(|end| end.to_string());
        for (text, end) in [(UNTIL_2030, "2030-01-02T03:04:05Z"), (UNTIL_2061, "2061-01-02T03:04:05Z")] {
            let der = BASE64_STANDARD.decode(text).unwrap();
            assert_eq!(ends_at(&der).as_deref(), Some(end));
            assert_eq!(ends_at(&der[..der.len() - 1]), None);
        }
        assert_eq!(ends_at(b"no certificate"), None);
    }
}

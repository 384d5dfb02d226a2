//! A KMS key that wraps small secrets, bound to a context.

use std::collections::BTreeMap;
use std::collections::HashMap;

use aws_sdk_kms::Client;
use aws_sdk_kms::primitives::Blob;
use zeroize::Zeroizing;

use super::{Aws, Failure, require_region};
use crate::error::{Error, Result};

/// What the ciphertext is bound to. Not secret: KMS writes it into CloudTrail.
pub type EncryptionContext = BTreeMap<String, String>;

/// One symmetric key in KMS, which never leaves it.
#[derive(Debug, Clone)]
pub struct KmsKey {
    client: Client,
    id: String,
}

impl Aws {
    /// The key of this id, ARN or alias (`alias/…`). Asks nobody yet.
    pub async fn kms_key(&self, id: &str) -> Result<KmsKey> {
        let config = self.sdk_config().await;
        require_region(config)?;
        Ok(KmsKey { client: Client::new(config), id: id.to_owned() })
    }
}

impl KmsKey {
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Encrypts at most 4,096 bytes. Only [`decrypt`](Self::decrypt) with the same key and context reverses it.
    pub async fn encrypt(&self, plaintext: &[u8], context: &EncryptionContext) -> Result<Vec<u8>> {
        let request = self.client.encrypt().key_id(&self.id).plaintext(Blob::new(plaintext));
        let answer = request.set_encryption_context(Some(owned(context))).send().await;
        let answer = answer.map_err(|e| self.explain("kms:Encrypt", &Failure::of(&e)))?;
        let ciphertext = answer.ciphertext_blob.map(Blob::into_inner);
        ciphertext.ok_or_else(|| Error::vault(format!("KMS answered without a ciphertext for {}", self.id)))
    }

    /// The plaintext. A ciphertext or context that is not what this key encrypted is an error of kind `Verification`.
    pub async fn decrypt(&self, ciphertext: &[u8], context: &EncryptionContext) -> Result<Zeroizing<Vec<u8>>> {
        let request = self.client.decrypt().key_id(&self.id).ciphertext_blob(Blob::new(ciphertext));
        let answer = request.set_encryption_context(Some(owned(context))).send().await;
        let answer = answer.map_err(|e| self.explain("kms:Decrypt", &Failure::of(&e)))?;
        let plaintext = answer.plaintext.map(|blob| Zeroizing::new(blob.into_inner()));
        plaintext.ok_or_else(|| Error::vault(format!("KMS answered without a plaintext for {}", self.id)))
    }

    fn explain(&self, action: &str, failure: &Failure) -> Error {
        let doing = format!("cannot use the KMS key {} ({action})", self.id);
        if failure.is("InvalidCiphertextException") {
            return Error::verification(format!("{doing}: {}", failure.text()))
                .hint("what it should decrypt was damaged, or moved here from another vault or database");
        }
        failure.explain(&doing, "KMS", |failure| {
            let hint = if failure.is_denied() {
                return Some(format!("grant {action} on the key, in its key policy or to this role"));
            } else if failure.is("IncorrectKeyException") {
                "it was encrypted with another key: name that one (an alias may have moved)"
            } else if failure.is("NotFoundException") {
                "check the key's id and AWS_REGION"
            } else if failure.is("DisabledException") || failure.is("KMSInvalidStateException") {
                "enable the key, or cancel its deletion, in KMS"
            } else {
                return None;
            };
            Some(hint.to_owned())
        })
    }
}

fn owned(context: &EncryptionContext) -> HashMap<String, String> {
    context.iter().map(|(name, value)| (name.clone(), value.clone())).collect()
}

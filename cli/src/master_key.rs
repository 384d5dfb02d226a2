//! Master keys as verbs are given them: read from where they are kept, or made there.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use lifeboat::aws::SecretReference;
use lifeboat::config::MasterKeySource;
use lifeboat::vault::keys::MasterKey;
use lifeboat::{Error, Result};
use secrecy::ExposeSecret;

use crate::context::Context;

/// The master key, and where it is.
pub struct Key {
    pub master: MasterKey,
    pub place: String,
    /// The file that was written just now.
    pub made: Option<PathBuf>,
}

impl Key {
    /// The key that is configured, or a new one in a file: the one that is named, or the default one. A configured file
    /// that does not exist yet is made, too.
    pub async fn find_or_make(named: Option<&Path>, context: &Context) -> Result<Self> {
        let configured = match (named, &context.config.master_key) {
            (Some(path), _) => MasterKeySource::Reference(SecretReference::File(path.to_owned())),
            (None, Some(source)) => source.clone(),
            (None, None) => {
                let path = context.default_key_file.clone().ok_or_else(|| {
                    Error::usage("there is no home directory to keep the master key in")
                        .hint("say --master-key-file FILE")
                })?;
                MasterKeySource::Reference(SecretReference::File(path))
            }
        };
        Self::open_or_make(configured, context).await
    }

    /// The key that `source` names. A file that does not exist yet is made.
    pub async fn open_or_make(source: MasterKeySource, context: &Context) -> Result<Self> {
        if let MasterKeySource::Reference(SecretReference::File(path)) = &source
            && !path.exists()
        {
            let master = MasterKey::random();
            write_key(path, &master)?;
            return Ok(Self { master, place: path.display().to_string(), made: Some(path.clone()) });
        }
        Ok(Self { master: source.open(&context.aws).await?, place: source.to_string(), made: None })
    }
}

/// Durably, for the owner's eyes only, never over another file.
fn write_key(path: &Path, master: &MasterKey) -> Result<()> {
    let text = master.to_base64().expect("a random key is a local one");
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|e| cannot("create", folder, e))?;
    let write = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(text.expose_secret().as_bytes())?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        fs::File::open(folder)?.sync_all()
    };
    write().map_err(|e| cannot("write the master key to", path, e))
}

pub fn cannot(doing: &str, path: &Path, error: std::io::Error) -> Error {
    Error::configuration(format!("cannot {doing} {}", path.display())).because(error)
}

//! Reports of drills, kept for whoever asks for proof later.

use futures::stream::{self, StreamExt, TryStreamExt};
use jiff::ToSpan;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::database::{DatabaseVault, READS_AT_ONCE};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Drill, Finding};
use crate::store::{self, Put};

/// A report with what proves that it was not changed since.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeptDrill {
    #[serde(flatten)]
    pub drill: Drill,
    pub record: RecordProof,
}

/// Where a record is kept. It carries a code that only the database's key makes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RecordProof {
    pub object: String,
    /// Of the object's bytes, in hex.
    pub sha256: String,
}

impl DatabaseVault {
    /// Of two in the same moment the second is dated a microsecond later.
    pub async fn keep_drill(&self, mut drill: Drill) -> Result<KeptDrill> {
        let object = loop {
            let key = self.layout.drill(&drill.backup, drill.at);
            match self.write_record("drill", &key, &drill).await? {
                Put::Created => break key,
                Put::Exists => drill.at += 1.microsecond(),
            }
        };
        self.kept_drill(&object).await
    }

    /// All that were kept, newest first, and the records that are damaged.
    pub async fn drills(&self) -> Result<(Vec<KeptDrill>, Vec<Finding>)> {
        let objects = store::list_all(self.store(), &self.layout.drills()).await?;
        let read = async |key: String| match self.kept_drill(&key).await {
            Ok(kept) => Ok(Ok(kept)),
            Err(error) if error.kind() == ErrorKind::Verification => {
                Ok(Err(Finding { object: key, problem: error.message(), pack: None }))
            }
            Err(error) => Err(error),
        };
        let keys = objects.into_iter().rev().map(|object| object.key);
        let read: Vec<Result<KeptDrill, Finding>> =
            stream::iter(keys).map(read).buffered(READS_AT_ONCE).try_collect().await?;
        let (mut kept, mut damaged) = (Vec::new(), Vec::new());
        for read in read {
            match read {
                Ok(drill) => kept.push(drill),
                Err(finding) => damaged.push(finding),
            }
        }
        Ok((kept, damaged))
    }

    async fn kept_drill(&self, key: &str) -> Result<KeptDrill> {
        let bytes = self.store().get(key).await?;
        let drill: Drill = self.verified_record("drill", key, &bytes).await?;
        if self.layout.drill(&drill.backup, drill.at) != key || drill.database != self.name {
            return Err(Error::verification(format!("{key} is the report of another drill")));
        }
        let record = RecordProof { object: key.to_owned(), sha256: hex::encode(Sha256::digest(&bytes)) };
        Ok(KeptDrill { drill, record })
    }
}

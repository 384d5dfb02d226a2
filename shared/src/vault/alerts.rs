//! What people were told of findings, so that they are told once, and again only by schedule. The vault's own key signs it: a
//! database that was never backed up has none, and that is worth telling, too.
//!
//! `alerts/{database}/{finding}/{n}.json` (`alerts/_vault/…` of what is no database's) says that somebody set out to tell something, `….sent.json` that it arrived. Both are
//! written once: of two who look at the same time one gets the number, and the other has nothing to tell.

use std::collections::BTreeMap;

use futures::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use jiff::civil::Date;

use super::database::READS_AT_ONCE;
use super::{Vault, layout, numbered_pair};
use crate::error::{ErrorKind, Result};
use crate::model::{AlertRecord, AlertSent, DatabaseName, DigestRecord};
use crate::store::{self, Put, Tries};

/// The last that is known of one finding.
#[derive(Debug, Clone, PartialEq)]
pub struct LastAlert {
    pub finding: String,
    pub number: u32,
    /// `None` for one that is damaged: as if nothing had been told.
    pub record: Option<AlertRecord>,
    pub is_sent: bool,
}

impl Vault {
    /// Of every finding of the database, or of none, that people were ever told of, the last.
    pub async fn last_alerts(&self, database: Option<&DatabaseName>) -> Result<Vec<LastAlert>> {
        let root = layout::alerts(database);
        let mut last: BTreeMap<String, (u32, bool)> = BTreeMap::new();
        for object in store::list_all(&*self.store, &root).await? {
            let Some((finding, file)) = object.key[root.len()..].split_once('/') else { continue };
            let Some((number, is_sent)) = numbered_pair(file, ".sent.json") else { continue };
            let known = last.entry(finding.to_owned()).or_insert((number, is_sent));
            match number.cmp(&known.0) {
                std::cmp::Ordering::Greater => *known = (number, is_sent),
                std::cmp::Ordering::Equal => known.1 |= is_sent,
                std::cmp::Ordering::Less => {}
            }
        }
        let read = async |(finding, (number, is_sent)): (String, (u32, bool))| {
            let key = layout::alert(database, &finding, number);
            let record = match self.read::<AlertRecord>(&self.keys, "alert", &key).await {
                Ok(record)
                    if (record.database.as_ref(), record.finding.as_str(), record.number)
                        == (database, &finding, number) =>
                {
                    Some(record)
                }
                Ok(_) => None,
                Err(error) if matches!(error.kind(), ErrorKind::Verification | ErrorKind::NotFound) => {
                    tracing::warn!(%error, "what was told last of a finding cannot be read");
                    None
                }
                Err(error) => return Err(error),
            };
            Ok(LastAlert { finding, number, record, is_sent })
        };
        stream::iter(last).map(read).buffered(READS_AT_ONCE).try_collect().await
    }

    /// Notes that somebody sets out to tell it. Says whether the number was free: who finds it taken leaves the telling to
    /// whoever took it.
    pub async fn note_alert(&self, record: &AlertRecord) -> Result<bool> {
        let key = layout::alert(record.database.as_ref(), &record.finding, record.number);
        let put = self.write(&self.keys, "alert", &key, record, Tries::Many).await?;
        Ok(put == Put::Created)
    }

    /// The last digest that somebody set out to send, if any, and whether it arrived. One that is damaged was not sent.
    pub async fn last_digest(&self) -> Result<Option<(DigestRecord, bool)>> {
        let days = self.store.list_names(layout::DIGESTS).await?;
        let Some(day) = days.iter().filter_map(|name| name.parse::<Date>().ok()).max() else { return Ok(None) };
        let root = layout::digests(day);
        let objects = store::list_all(&*self.store, &root).await?;
        let numbers = objects.iter().filter_map(|object| numbered_pair(&object.key[root.len()..], ".sent.json"));
        let (mut last, mut is_sent) = (0, false);
        for (number, sent) in numbers {
            last = last.max(number);
            is_sent |= sent;
        }
        let key = layout::digest(day, last);
        match self.read::<DigestRecord>(&self.keys, "digest", &key).await {
            Ok(record) if (record.day, record.number) == (day, last) => Ok(Some((record, is_sent))),
            Ok(_) => Ok(Some((self.unknown_digest(day, last), is_sent))),
            Err(error) if matches!(error.kind(), ErrorKind::Verification | ErrorKind::NotFound) => {
                tracing::warn!(%error, "the note of the last digest cannot be read");
                Ok(Some((self.unknown_digest(day, last), is_sent)))
            }
            Err(error) => Err(error),
        }
    }

    fn unknown_digest(&self, day: Date, number: u32) -> DigestRecord {
        DigestRecord { vault: self.id(), day, number, by: String::new(), at: Timestamp::UNIX_EPOCH }
    }

    /// Notes that somebody sets out to send it. Says whether the number was free, as of alerts.
    pub async fn note_digest(&self, record: &DigestRecord) -> Result<bool> {
        let key = layout::digest(record.day, record.number);
        Ok(self.write(&self.keys, "digest", &key, record, Tries::Many).await? == Put::Created)
    }

    /// Notes that it arrived.
    pub async fn note_digest_sent(&self, record: &DigestRecord) -> Result<()> {
        let key = layout::digest_sent(record.day, record.number);
        self.write(&self.keys, "digest sent", &key, record, Tries::Many).await.map(drop)
    }

    /// Notes that it arrived.
    pub async fn note_alert_sent(&self, sent: &AlertSent) -> Result<()> {
        let key = layout::alert_sent(sent.database.as_ref(), &sent.finding, sent.number);
        self.write(&self.keys, "alert sent", &key, sent, Tries::Many).await.map(drop)
    }
}

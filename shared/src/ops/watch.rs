//! Tells people what the health report found: once when it comes, by schedule while it stays, once when it is over
//! ([`crate::plan::alerts`]). What was told is noted in the vault before it is sent, and that it arrived after that. Killed in
//! between, it is told again a while later: rather twice than never.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::Time;
use jiff::tz::TimeZone;
use serde::Serialize;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::{Run, Status};
use crate::error::{Error, Result};
use crate::model::{AlertRecord, AlertSent, DatabaseName, DigestRecord, Occasion, Severity};
use crate::notify::{Alert, Channels, Delivery};
use crate::plan::alerts::{LastTold, Repeats, decide};
use crate::plan::digest::{LastDigest, due, text};
use crate::plan::health::HealthFinding;
use crate::vault::{LastAlert, Vault};

/// What people were told, or should have been.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Told {
    pub database: DatabaseName,
    pub rule: String,
    /// Which table, tier or record, where there are several.
    pub about: String,
    pub occasion: Occasion,
    pub severity: Severity,
    pub title: String,
    /// Channels that took it.
    pub sent: Vec<String>,
    /// Those that did not, each with why.
    pub failed: Vec<String>,
}

/// How to tell.
pub struct Telling<'a> {
    /// Which installation speaks.
    pub source: &'a str,
    pub repeats: Repeats,
    pub channels: &'a Channels,
}

/// Tells what is to be told of this status. Errors: `Vault`; a channel that fails is in the answer.
pub async fn tell(vault: &Vault, status: &Status, telling: &Telling<'_>, run: &Run) -> Result<Vec<Told>> {
    let mut told = Vec::new();
    for health in &status.databases {
        let mut last: BTreeMap<String, LastAlert> =
            vault.last_alerts(&health.database).await?.into_iter().map(|last| (last.finding.clone(), last)).collect();
        for finding in &health.findings {
            let name = name_of(finding);
            let news = News { database: &health.database, finding: Some(finding), last: last.remove(&name), name };
            told.extend(news.tell(vault, telling, status.at, run).await?);
        }
        for (name, last) in last {
            let news = News { database: &health.database, finding: None, last: Some(last), name };
            told.extend(news.tell(vault, telling, status.at, run).await?);
        }
    }
    Ok(told)
}

/// When and where the daily digest is sent.
#[derive(Debug, Clone)]
pub struct Digesting<'a> {
    /// Which installation speaks.
    pub source: &'a str,
    pub hour: Time,
    pub zone: TimeZone,
    pub channels: &'a Channels,
    /// Which of them gets it.
    pub channel: &'a str,
}

/// Sends the digest of the day, if it is due. `None` when it is not.
///
/// Errors: `Vault`; a channel that fails is in the answer.
pub async fn digest(vault: &Vault, status: &Status, digesting: &Digesting<'_>, run: &Run) -> Result<Option<Delivery>> {
    let last = vault.last_digest().await?;
    let known = last.as_ref().map(|(last, is_sent)| LastDigest { day: last.day, at: last.at, is_sent: *is_sent });
    let Some(day) = due(digesting.hour, &digesting.zone, known, status.at) else { return Ok(None) };
    run.check("sending the digest")?;
    let number = last.filter(|(last, _)| last.day == day).map_or(1, |(last, _)| last.number.saturating_add(1));
    let record = DigestRecord { vault: vault.id(), day, number, by: run.actor.clone(), at: status.at };
    if !vault.note_digest(&record).await? {
        // Somebody else looked at the same time, and sends it.
        return Ok(None);
    }
    let (title, text) = text(&status.databases);
    let alert = Alert {
        kind: "digest".to_owned(),
        severity: Severity::Info,
        occasion: None,
        source: digesting.source.to_owned(),
        database: None,
        backup: None,
        title,
        text,
        facts: json!({ "day": day, "state": status.state }),
    };
    let delivery = digesting.channels.tell_on(digesting.channel, &alert).await;
    if !delivery.sent.is_empty() {
        vault.note_digest_sent(&record).await?;
    }
    Ok(Some(delivery))
}

/// A finding's own folder: its rule, and what it is about.
fn name_of(finding: &HealthFinding) -> String {
    match finding.about.as_str() {
        "" => finding.rule.to_string(),
        about => format!("{}-{}", finding.rule, &hex::encode(Sha256::digest(about))[..12]),
    }
}

/// A finding that is there, or was.
struct News<'a> {
    database: &'a DatabaseName,
    name: String,
    finding: Option<&'a HealthFinding>,
    last: Option<LastAlert>,
}

impl News<'_> {
    async fn tell(self, vault: &Vault, telling: &Telling<'_>, now: Timestamp, run: &Run) -> Result<Option<Told>> {
        let known = self.last.as_ref().and_then(|last| Some((last, last.record.as_ref()?)));
        let last_told = known.map(|(last, record)| LastTold {
            occasion: record.occasion,
            severity: record.severity,
            at: record.at,
            is_sent: last.is_sent,
        });
        let there = self.finding.map(|finding| finding.severity);
        let Some(occasion) = decide(last_told, there, telling.repeats, now) else { return Ok(None) };
        run.check("telling people")?;
        let number = self.last.as_ref().map_or(1, |last| last.number.saturating_add(1));
        let Some(record) = self.record(vault, occasion, number, now, known.map(|(_, record)| record), run) else {
            return Ok(None);
        };
        if !vault.note_alert(&record).await? {
            // Somebody else looked at the same time, and tells it.
            return Ok(None);
        }
        let delivery = telling.channels.tell(&self.alert(&record, telling.source)).await;
        if delivery.has_arrived() {
            let AlertRecord { vault: id, database, finding, number, .. } = record.clone();
            let sent = AlertSent { vault: id, database, finding, number, channels: delivery.sent.clone(), at: now };
            vault.note_alert_sent(&sent).await?;
        }
        let failed = delivery.failed.iter().map(|(name, error)| format!("{name}: {}", Error::message(error)));
        Ok(Some(Told {
            database: record.database,
            rule: record.rule,
            about: record.about,
            occasion,
            severity: record.severity,
            title: record.title,
            failed: failed.collect(),
            sent: delivery.sent,
        }))
    }

    /// What is noted. `None` for what is over and of which nothing is known.
    fn record(
        &self,
        vault: &Vault,
        occasion: Occasion,
        number: u32,
        now: Timestamp,
        last: Option<&AlertRecord>,
        run: &Run,
    ) -> Option<AlertRecord> {
        let base = AlertRecord {
            vault: vault.id(),
            database: self.database.clone(),
            finding: self.name.clone(),
            number,
            occasion,
            severity: Severity::Info,
            rule: String::new(),
            about: String::new(),
            title: String::new(),
            text: String::new(),
            by: run.actor.clone(),
            at: now,
        };
        Some(match (self.finding, last) {
            (Some(finding), _) => AlertRecord {
                severity: finding.severity,
                rule: finding.rule.to_string(),
                about: finding.about.clone(),
                title: format!("{}: {}", self.database, finding.problem),
                text: format!("What to do: {}.", finding.advice),
                ..base
            },
            (None, Some(last)) => {
                let AlertRecord { severity, rule, about, title, .. } = last.clone();
                AlertRecord { severity, rule, about, title, text: "It is over.".to_owned(), ..base }
            }
            (None, None) => return None,
        })
    }

    fn alert(&self, record: &AlertRecord, source: &str) -> Alert {
        let facts = self.finding.map_or_else(|| json!({}), |finding| finding.facts.clone());
        Alert {
            kind: record.rule.clone(),
            severity: record.severity,
            occasion: Some(record.occasion),
            source: source.to_owned(),
            database: Some(record.database.clone()),
            backup: None,
            title: record.title.clone(),
            text: record.text.clone(),
            facts,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use async_trait::async_trait;
    use jiff::SignedDuration;

    use super::*;
    use crate::notify::Channel;
    use crate::ops::fixture::{self, Backup};
    use crate::ops::status;
    use crate::plan::health::HealthPolicy;
    use crate::store::memory::MemoryStore;
    use crate::store::{ObjectStore, Tries};

    #[derive(Debug, Clone, Default)]
    struct Notebook(Arc<Mutex<(Vec<String>, bool)>>);

    #[async_trait]
    impl Channel for Notebook {
        fn name(&self) -> &str {
            "notebook"
        }

        async fn send(&self, alert: &Alert) -> Result<()> {
            let mut notes = self.0.lock().unwrap();
            if notes.1 {
                return Err(Error::vault("it is out"));
            }
            let occasion = alert.occasion.map_or("once", Occasion::as_str);
            notes.0.push(format!("{} {} {occasion}", alert.severity, alert.kind));
            Ok(())
        }
    }

    impl Notebook {
        fn read(&self) -> Vec<String> {
            std::mem::take(&mut self.0.lock().unwrap().0)
        }

        fn is_out(&self, is_out: bool) {
            self.0.lock().unwrap().1 = is_out;
        }
    }

    struct Rig {
        store: Arc<MemoryStore>,
        vault: Arc<Vault>,
        notebook: Notebook,
    }

    impl Rig {
        async fn new() -> Self {
            let store = Arc::new(MemoryStore::new());
            let vault = fixture::vault_in(Arc::clone(&store)).await;
            Self { store, vault, notebook: Notebook::default() }
        }

        async fn look(&self) -> Vec<Told> {
            let mut channels = Channels::default();
            channels.add(Severity::Info, self.notebook.clone());
            let run = fixture::run("watch");
            let telling = Telling { source: "test", repeats: Repeats::default(), channels: &channels };
            let status = status(&self.vault, None, &[], |_| HealthPolicy::default()).await.unwrap();
            tell(&self.vault, &status, &telling, &run).await.unwrap()
        }
    }

    #[tokio::test]
    async fn each_incident_is_told_once_then_by_schedule_and_when_it_is_over() {
        let rig = Rig::new().await;
        let db = fixture::another_database(&rig.vault, "shop").await;
        let now = rig.vault.now().await.unwrap();
        let id = Backup::new(&now.to_string(), "daily").publish(&db).await;
        db.write_verdict(&fixture::verdict(&db, &id, crate::model::Depth::Restore)).await.unwrap();
        assert_eq!(rig.look().await, [], "all is well");
        // A night without a backup, looked at every hour.
        let mut heard = Vec::new();
        for hour in 1..=56 {
            rig.store.advance(SignedDuration::from_hours(1));
            rig.look().await;
            heard.extend(rig.notebook.read().into_iter().map(|note| format!("{hour}: {note}")));
        }
        let expected = [
            "25: warning backup_age opened",
            "26: warning verified_age opened",
            "49: warning backup_age repeated",
            "50: critical backup_age worsened",
            "50: critical verified_age worsened",
            "54: critical backup_age repeated",
            "54: critical verified_age repeated",
        ];
        assert_eq!(heard, expected);
        let now = rig.vault.now().await.unwrap();
        let id = Backup::new(&now.to_string(), "daily").publish(&db).await;
        db.write_verdict(&fixture::verdict(&db, &id, crate::model::Depth::Full)).await.unwrap();
        rig.look().await;
        assert_eq!(rig.notebook.read(), ["critical backup_age resolved", "critical verified_age resolved"]);
        assert_eq!(rig.look().await, []);
    }

    #[tokio::test]
    async fn two_who_look_at_the_same_time_tell_it_once() {
        let rig = Rig::new().await;
        let db = fixture::another_database(&rig.vault, "shop").await;
        rig.store.advance(SignedDuration::from_hours(30));
        let (one, other) = tokio::join!(rig.look(), rig.look());
        assert_eq!((one.len() + other.len(), rig.notebook.read().len()), (1, 1));
        drop(db);
    }

    #[tokio::test]
    async fn what_reached_nobody_is_told_again_and_a_damaged_note_silences_nothing() {
        let rig = Rig::new().await;
        fixture::another_database(&rig.vault, "shop").await;
        rig.store.advance(SignedDuration::from_hours(30));
        rig.notebook.is_out(true);
        let told = rig.look().await;
        assert_eq!((told.len(), told[0].failed.len()), (1, 1));
        rig.notebook.is_out(false);
        assert_eq!(rig.look().await, [], "somebody may be at it");
        rig.store.advance(SignedDuration::from_mins(11));
        rig.look().await;
        assert_eq!(rig.notebook.read(), ["warning backup_age opened"]);
        let key = "alerts/shop/backup_age/2.json";
        rig.store.delete(key).await.unwrap();
        rig.store.put_new(key, "{}".into(), Tries::Many).await.unwrap();
        rig.look().await;
        assert_eq!(rig.notebook.read(), ["warning backup_age opened"]);
        assert_eq!(rig.look().await, []);
    }

    impl Rig {
        /// Looks whether the digest is due; gives on how many channels it arrived and failed.
        async fn digest(&self) -> Option<(usize, usize)> {
            let mut channels = Channels::default();
            channels.add(Severity::Critical, self.notebook.clone());
            let (hour, zone) = (Time::midnight(), TimeZone::UTC);
            let digesting = Digesting { source: "test", hour, zone, channels: &channels, channel: "notebook" };
            let status = status(&self.vault, None, &[], |_| HealthPolicy::default()).await.unwrap();
            let sent = digest(&self.vault, &status, &digesting, &fixture::run("watch")).await.unwrap();
            sent.map(|delivery| (delivery.sent.len(), delivery.failed.len()))
        }
    }

    #[tokio::test]
    async fn the_digest_is_sent_once_a_day_whatever_the_channel_wants_to_hear() {
        let rig = Rig::new().await;
        fixture::another_database(&rig.vault, "shop").await;
        assert_eq!(rig.digest().await, Some((1, 0)));
        assert_eq!(rig.notebook.read(), ["info digest once"]);
        assert_eq!(rig.digest().await, None);
        rig.store.advance(SignedDuration::from_hours(24));
        let (one, other) = tokio::join!(rig.digest(), rig.digest());
        assert_eq!([one, other].into_iter().flatten().count(), 1, "two who look at the same time send one");
        rig.store.advance(SignedDuration::from_hours(24));
        rig.notebook.is_out(true);
        assert_eq!(rig.digest().await, Some((0, 1)));
        rig.notebook.is_out(false);
        rig.store.advance(SignedDuration::from_mins(11));
        assert_eq!(rig.digest().await, Some((1, 0)), "what did not arrive is sent again");
        assert_eq!(rig.digest().await, None);
        rig.notebook.read();
        // A note that is damaged silences no later day.
        let noted = crate::store::list_all(&*rig.vault.store, "digests/").await.unwrap();
        let last = &noted.last().unwrap().key;
        rig.store.delete(last).await.unwrap();
        rig.store.put_new(last, "{}".into(), Tries::Many).await.unwrap();
        rig.store.advance(SignedDuration::from_hours(24));
        assert_eq!(rig.digest().await, Some((1, 0)));
    }
}

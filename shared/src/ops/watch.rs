//! Tells people what the health report found: once when it comes, by schedule while it stays, once when it is over
//! ([`crate::plan::alerts`]). What was told is noted in the vault before it is sent, and that it arrived after that. Killed in
//! between, it is told again a while later: rather twice than never.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::Time;
use jiff::tz::TimeZone;
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{Run, Status};
use crate::error::{Error, Result};
use crate::model::{AlertRecord, AlertSent, DatabaseName, DigestRecord, Occasion, Severity};
use crate::notify::{Alert, CHANNEL_FAILED, Channels, Delivery, channel_failed};
use crate::plan::alerts::{LastTold, Repeats, decide};
use crate::plan::digest::{LastDigest, due, text};
use crate::plan::health::HealthFinding;
use crate::vault::{LastAlert, Vault};

/// What people were told, or should have been.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Told {
    /// `None` for a channel that fails: it is no database's.
    pub database: Option<DatabaseName>,
    pub rule: String,
    /// Which table, tier, record or channel, where there are several.
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
    pub digest: Option<Digesting>,
}

/// When and where the daily digest is sent.
#[derive(Debug, Clone)]
pub struct Digesting {
    pub hour: Time,
    pub zone: TimeZone,
    /// The channel that gets it.
    pub channel: &'static str,
}

/// What was told in one look.
#[derive(Debug, Default)]
pub struct Heard {
    pub told: Vec<Told>,
    /// Whom the digest reached, if it was due.
    pub digest: Option<Delivery>,
}

impl Heard {
    /// How often a channel did not take something.
    pub fn lost(&self) -> usize {
        let digests = self.digest.as_ref().map_or(0, |digest| digest.failed.len());
        digests + self.told.iter().map(|told| told.failed.len()).sum::<usize>()
    }
}

/// Tells what is to be told of this status, the digest if it is due, and which channels fail. Errors: `Vault`; a channel that
/// fails is in the answer.
pub async fn tell(vault: &Vault, status: &Status, telling: &Telling<'_>, run: &Run) -> Result<Heard> {
    let look = Look { vault, telling, now: status.at, run };
    let (mut heard, mut channels) = (Heard::default(), BTreeMap::new());
    for health in &status.databases {
        let database = Some(&health.database);
        let there = health.findings.iter().map(|finding| Subject::found(&health.database, finding));
        heard.told.extend(look.tell_all(database, there.collect(), &mut channels).await?);
    }
    if let Some(digesting) = &telling.digest {
        heard.digest = look.digest(status, digesting).await?;
        heard.digest.iter().for_each(|delivery| note(&mut channels, delivery));
    }
    heard.told.extend(look.tell_of_channels(channels).await?);
    Ok(heard)
}

/// What became of each channel that was tried: what is wrong with it, if anything. Once failed is failed.
type Tried = BTreeMap<String, Option<Subject>>;

fn note(channels: &mut Tried, delivery: &Delivery) {
    for name in &delivery.sent {
        channels.entry(name.clone()).or_insert(None);
    }
    for (name, error) in &delivery.failed {
        channels.insert(name.clone(), Some(Subject::failed_channel(name, error)));
    }
}

/// What there may be to tell of.
struct Subject {
    rule: String,
    about: String,
    severity: Severity,
    title: String,
    text: String,
    facts: Value,
}

impl Subject {
    fn found(database: &DatabaseName, finding: &HealthFinding) -> Self {
        Self {
            rule: finding.rule.to_string(),
            about: finding.about.clone(),
            severity: finding.severity,
            title: format!("{database}: {}", finding.problem),
            text: format!("What to do: {}.", finding.advice),
            facts: finding.facts.clone(),
        }
    }

    fn failed_channel(name: &str, error: &Error) -> Self {
        let Alert { kind, severity, title, text, facts, .. } = channel_failed(name, error, "");
        Self { rule: kind, about: name.to_owned(), severity, title, text, facts }
    }
}

/// The folder of a finding: its rule, and what it is about.
fn name_of(rule: &str, about: &str) -> String {
    match about {
        "" => rule.to_owned(),
        about => format!("{rule}-{}", &hex::encode(Sha256::digest(about))[..12]),
    }
}

/// One look at how things are.
struct Look<'a> {
    vault: &'a Vault,
    telling: &'a Telling<'a>,
    now: Timestamp,
    run: &'a Run,
}

impl Look<'_> {
    /// Tells of everything that is there, and of what was and is no more.
    async fn tell_all(
        &self,
        database: Option<&DatabaseName>,
        there: Vec<Subject>,
        channels: &mut Tried,
    ) -> Result<Vec<Told>> {
        let (mut told, mut last) = (Vec::new(), self.last(database).await?);
        for subject in there {
            let name = name_of(&subject.rule, &subject.about);
            let news = News { database, last: last.remove(&name), name, subject: Some(subject) };
            told.extend(self.tell(news, channels).await?);
        }
        for (name, last) in last {
            let news = News { database, name, subject: None, last: Some(last) };
            told.extend(self.tell(news, channels).await?);
        }
        Ok(told)
    }

    /// Tells of channels that fail, on the others if there are any, and of those that work again. Of one that nobody tried
    /// nothing is known.
    async fn tell_of_channels(&self, channels: Tried) -> Result<Vec<Told>> {
        if channels.is_empty() || self.telling.channels.len() < 2 {
            return Ok(Vec::new());
        }
        let (mut told, mut last) = (Vec::new(), self.last(None).await?);
        for (channel, subject) in channels {
            let name = name_of(CHANNEL_FAILED, &channel);
            let news = News { database: None, last: last.remove(&name), name, subject };
            // What becomes of this alert is no news: its channels were just tried.
            told.extend(self.tell(news, &mut Tried::new()).await?);
        }
        Ok(told)
    }

    async fn last(&self, database: Option<&DatabaseName>) -> Result<BTreeMap<String, LastAlert>> {
        let last = self.vault.last_alerts(database).await?;
        Ok(last.into_iter().map(|last| (last.finding.clone(), last)).collect())
    }

    async fn tell(&self, news: News<'_>, channels: &mut Tried) -> Result<Option<Told>> {
        let known = news.last.as_ref().and_then(|last| Some((last, last.record.as_ref()?)));
        let last_told = known.map(|(last, record)| LastTold {
            occasion: record.occasion,
            severity: record.severity,
            at: record.at,
            is_sent: last.is_sent,
        });
        let there = news.subject.as_ref().map(|subject| subject.severity);
        let Some(occasion) = decide(last_told, there, self.telling.repeats, self.now) else { return Ok(None) };
        self.run.check("telling people")?;
        let Some(record) = self.record(&news, occasion, known.map(|(_, record)| record)) else { return Ok(None) };
        if !self.vault.note_alert(&record).await? {
            // Somebody else looked at the same time, and tells it.
            return Ok(None);
        }
        let facts = news.subject.map_or_else(|| json!({}), |subject| subject.facts);
        let delivery = self.send(&record, facts).await;
        note(channels, &delivery);
        if delivery.has_arrived() {
            let AlertRecord { vault, database, finding, number, .. } = record.clone();
            let sent = AlertSent { vault, database, finding, number, channels: delivery.sent.clone(), at: self.now };
            self.vault.note_alert_sent(&sent).await?;
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

    /// On every channel, but that a channel fails not on itself.
    async fn send(&self, record: &AlertRecord, facts: Value) -> Delivery {
        let alert = Alert {
            kind: record.rule.clone(),
            severity: record.severity,
            occasion: Some(record.occasion),
            source: self.telling.source.to_owned(),
            database: record.database.clone(),
            backup: None,
            title: record.title.clone(),
            text: record.text.clone(),
            facts,
        };
        match (&record.database, record.occasion) {
            (Some(_), _) | (None, Occasion::Resolved) => self.telling.channels.send(&alert).await,
            (None, _) => self.telling.channels.send_elsewhere(&record.about, &alert).await,
        }
    }

    /// What is noted. `None` for what is over and of which nothing is known.
    fn record(&self, news: &News<'_>, occasion: Occasion, last: Option<&AlertRecord>) -> Option<AlertRecord> {
        let base = AlertRecord {
            vault: self.vault.id(),
            database: news.database.cloned(),
            finding: news.name.clone(),
            number: news.last.as_ref().map_or(1, |last| last.number.saturating_add(1)),
            occasion,
            severity: Severity::Info,
            rule: String::new(),
            about: String::new(),
            title: String::new(),
            text: String::new(),
            by: self.run.actor.clone(),
            at: self.now,
        };
        Some(match (&news.subject, last) {
            (Some(subject), _) => AlertRecord {
                severity: subject.severity,
                rule: subject.rule.clone(),
                about: subject.about.clone(),
                title: subject.title.clone(),
                text: subject.text.clone(),
                ..base
            },
            (None, Some(last)) => {
                let AlertRecord { severity, rule, about, title, .. } = last.clone();
                AlertRecord { severity, rule, about, title, text: "It is over.".to_owned(), ..base }
            }
            (None, None) => return None,
        })
    }

    /// Sends the digest of the day, if it is due. `None` when it is not.
    async fn digest(&self, status: &Status, digesting: &Digesting) -> Result<Option<Delivery>> {
        let last = self.vault.last_digest().await?;
        let known = last.as_ref().map(|(last, is_sent)| LastDigest { day: last.day, at: last.at, is_sent: *is_sent });
        let Some(day) = due(digesting.hour, &digesting.zone, known, self.now) else { return Ok(None) };
        self.run.check("sending the digest")?;
        let number = last.filter(|(last, _)| last.day == day).map_or(1, |(last, _)| last.number.saturating_add(1));
        let record = DigestRecord { vault: self.vault.id(), day, number, by: self.run.actor.clone(), at: self.now };
        if !self.vault.note_digest(&record).await? {
            // Somebody else looked at the same time, and sends it.
            return Ok(None);
        }
        let (title, text) = text(&status.databases);
        let alert = Alert {
            kind: "digest".to_owned(),
            severity: Severity::Info,
            occasion: None,
            source: self.telling.source.to_owned(),
            database: None,
            backup: None,
            title,
            text,
            facts: json!({ "day": day, "state": status.state }),
        };
        let delivery = self.telling.channels.send_on(digesting.channel, &alert).await;
        if !delivery.sent.is_empty() {
            self.vault.note_digest_sent(&record).await?;
        }
        Ok(Some(delivery))
    }
}

/// What is there, or was: of a database, or (a channel that fails) of none.
struct News<'a> {
    database: Option<&'a DatabaseName>,
    name: String,
    subject: Option<Subject>,
    last: Option<LastAlert>,
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
            let telling = Telling { source: "test", repeats: Repeats::default(), channels: &channels, digest: None };
            let status = status(&self.vault, None, &[], |_| HealthPolicy::default()).await.unwrap();
            tell(&self.vault, &status, &telling, &run).await.unwrap().told
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

    /// Two channels over a vault in which all is late.
    struct Two {
        rig: Rig,
        other: Notebook,
    }

    impl Two {
        async fn look(&self) -> (Vec<String>, Vec<String>) {
            let mut channels = Channels::default();
            channels.add(Severity::Info, self.rig.notebook.clone());
            channels.add(Severity::Info, Named("other", self.other.clone()));
            let run = fixture::run("watch");
            let telling = Telling { source: "test", repeats: Repeats::default(), channels: &channels, digest: None };
            let status = status(&self.rig.vault, None, &[], |_| HealthPolicy::default()).await.unwrap();
            tell(&self.rig.vault, &status, &telling, &run).await.unwrap();
            (self.rig.notebook.read(), self.other.read())
        }
    }

    #[derive(Debug)]
    struct Named(&'static str, Notebook);

    #[async_trait]
    impl Channel for Named {
        fn name(&self) -> &str {
            self.0
        }

        async fn send(&self, alert: &Alert) -> Result<()> {
            self.1.send(alert).await
        }
    }

    #[tokio::test]
    async fn a_channel_that_fails_is_told_on_the_others_once_by_schedule_and_when_it_works_again() {
        let two = Two { rig: Rig::new().await, other: Notebook::default() };
        // Two databases: two alerts at a time.
        fixture::another_database(&two.rig.vault, "shop").await;
        fixture::another_database(&two.rig.vault, "crm").await;
        two.other.is_out(true);
        let mut told = Vec::new();
        for hour in 1..=56 {
            two.rig.store.advance(SignedDuration::from_hours(1));
            let (heard, _) = two.look().await;
            told.extend(
                heard.into_iter().filter(|note| note.contains("channel")).map(|note| format!("{hour}: {note}")),
            );
        }
        let expected = [
            "25: critical channel_failed opened",
            // Nothing was sent in between, so nobody knew.
            "49: critical channel_failed repeated",
            "54: critical channel_failed repeated",
        ];
        assert_eq!(told, expected);
        two.other.is_out(false);
        two.rig.store.advance(SignedDuration::from_hours(4));
        let (heard, other) = two.look().await;
        assert_eq!(heard.last().unwrap(), "critical channel_failed resolved");
        assert_eq!(heard, other, "it hears of that itself");
        assert!(two.look().await.0.is_empty());
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
            let digest = Some(Digesting { hour: Time::midnight(), zone: TimeZone::UTC, channel: "notebook" });
            let telling = Telling { source: "test", repeats: Repeats::default(), channels: &channels, digest };
            let status = status(&self.vault, None, &[], |_| HealthPolicy::default()).await.unwrap();
            let heard = tell(&self.vault, &status, &telling, &fixture::run("watch")).await.unwrap();
            heard.digest.map(|delivery| (delivery.sent.len(), delivery.failed.len()))
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

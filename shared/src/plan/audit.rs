//! Whether an audit trail is whole: what is in it, in which order, and what the vault has that it does not tell of. Values in,
//! findings out.

use std::collections::{BTreeSet, HashSet};

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::model::{AuditEntry, BackupId, DeedStatus, Operation};

/// How far clocks may be apart: an entry may seem so much older than the one before it.
const SKEW: SignedDuration = SignedDuration::from_mins(5);

/// One link of the chain.
#[derive(Debug, Clone, PartialEq)]
pub struct Link {
    /// As its name in the store says.
    pub number: u64,
    /// SHA-256 of its bytes, in hex.
    pub sha256: String,
    /// Or why it cannot be believed.
    pub entry: Result<AuditEntry, String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AuditFinding {
    pub kind: AuditFindingKind,
    /// The entry that it is about.
    pub number: Option<u64>,
    pub problem: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AuditFindingKind {
    /// Numbers that are not there.
    Missing,
    /// Something that this vault's key did not write, or not there.
    Forged,
    /// The bytes of the entry before it are not those that it was written after.
    Broken,
    /// It is older than the one before it.
    OutOfOrder,
    /// The vault has a backup of which the trail does not tell.
    Untold,
}

impl AuditFindingKind {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Forged => "forged",
            Self::Broken => "broken",
            Self::OutOfOrder => "out of order",
            Self::Untold => "untold",
        }
    }
}

/// `links` in the order of their numbers; `backups` that the vault has, each with when it was published.
pub fn examine(links: &[Link], backups: &[(BackupId, Timestamp)], now: Timestamp) -> Vec<AuditFinding> {
    let mut findings = Vec::new();
    let mut expected = 1;
    let mut before: Option<&Link> = None;
    for link in links {
        if link.number > expected {
            let gap = match link.number - 1 {
                last if last == expected => format!("entry {expected} of the trail is not there"),
                last => format!("entries {expected} to {last} of the trail are not there"),
            };
            findings.push(finding(AuditFindingKind::Missing, link.number, gap));
        }
        match &link.entry {
            Err(why) => findings.push(finding(AuditFindingKind::Forged, link.number, why.clone())),
            Ok(entry) => {
                let adjacent = before.filter(|before| before.number + 1 == link.number);
                findings.extend(broken(link.number, entry, adjacent));
                findings.extend(disordered(link.number, entry, before));
            }
        }
        before = Some(link);
        expected = link.number + 1;
    }
    findings.extend(untold(links, backups, now));
    findings
}

fn finding(kind: AuditFindingKind, number: u64, problem: String) -> AuditFinding {
    AuditFinding { kind, number: Some(number), problem }
}

fn broken(number: u64, entry: &AuditEntry, before: Option<&Link>) -> Option<AuditFinding> {
    let fits = match (before, number) {
        (Some(before), _) => entry.previous.as_ref() == Some(&before.sha256),
        (None, 1) => entry.previous.is_none(),
        // What was before it is missing, and told.
        (None, _) => true,
    };
    let problem = || format!("entry {} is not the one that entry {number} was written after", number.saturating_sub(1));
    (!fits).then(|| finding(AuditFindingKind::Broken, number, problem()))
}

fn disordered(number: u64, entry: &AuditEntry, before: Option<&Link>) -> Option<AuditFinding> {
    let before = before?.entry.as_ref().ok()?;
    let problem = || format!("entry {number} is of {}, and the one before it of {}", entry.at, before.at);
    (entry.at + SKEW < before.at).then(|| finding(AuditFindingKind::OutOfOrder, number, problem()))
}

/// Taking away the end of a chain leaves a shorter chain that is whole, but not the backups that it told of. Whoever was killed
/// right after publishing left a backup untold, too: somebody has to look.
fn untold(links: &[Link], backups: &[(BackupId, Timestamp)], now: Timestamp) -> Vec<AuditFinding> {
    /// So long a job may take from publishing to telling.
    const TELLING: SignedDuration = SignedDuration::from_hours(1);
    let entries = || links.iter().filter_map(|link| link.entry.as_ref().ok());
    let told: HashSet<&BackupId> = entries()
        .filter(|entry| entry.deed.status != DeedStatus::Announced)
        .filter_map(|entry| entry.deed.backup.as_ref())
        .collect();
    // A vault may be older than its trail.
    let Some(since) = entries().map(|entry| entry.at).min() else {
        let problem = "there is no audit trail, and the vault has backups".to_owned();
        let is_gone = !backups.is_empty() && links.is_empty();
        let finding = AuditFinding { kind: AuditFindingKind::Missing, number: None, problem };
        return Vec::from_iter(is_gone.then_some(finding));
    };
    let is_due = |at: Timestamp| at > since && now.duration_since(at) > TELLING;
    let untold = backups.iter().filter(|(id, at)| is_due(*at) && !told.contains(id));
    untold
        .map(|(id, _)| AuditFinding {
            kind: AuditFindingKind::Untold,
            number: None,
            problem: format!("the vault has backup {id}, and the trail does not tell who made it"),
        })
        .collect()
}

/// Announced, and no word of how it ended.
pub fn unended(entries: &[AuditEntry]) -> BTreeSet<u64> {
    let ended: HashSet<&str> = entries
        .iter()
        .filter(|entry| entry.deed.status != DeedStatus::Announced)
        .map(|entry| entry.deed.run.as_str())
        .collect();
    let announced = entries.iter().filter(|entry| entry.deed.status == DeedStatus::Announced);
    announced.filter(|entry| !ended.contains(entry.deed.run.as_str())).map(|entry| entry.number).collect()
}

/// Which entries somebody wants to see.
#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    pub since: Option<Timestamp>,
    /// Empty: all.
    pub operations: BTreeSet<Operation>,
}

impl AuditFilter {
    pub fn admits(&self, entry: &AuditEntry) -> bool {
        self.since.is_none_or(|since| entry.at >= since)
            && (self.operations.is_empty() || self.operations.contains(&entry.deed.operation))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::Deed;

    fn at(minute: i64) -> Timestamp {
        Timestamp::from_second(1_795_000_000 + minute * 60).unwrap()
    }

    fn deed(operation: Operation, status: DeedStatus, run: &str, backup: Option<&str>) -> Deed {
        Deed {
            operation,
            status,
            run: run.to_owned(),
            actor: "ann@host".to_owned(),
            database: Some("shop".parse().unwrap()),
            backup: backup.map(|id| id.parse().unwrap()),
            target: None,
            error: None,
            stored_bytes: None,
            verified: None,
            duration_ms: None,
            lifeboat: "0".to_owned(),
        }
    }

    fn id(number: u64) -> String {
        format!("20261120T02{:02}00Z-daily-aaaa", number % 60)
    }

    /// A trail of so many backups; entry n is of minute n.
    fn trail(count: u64) -> Vec<Link> {
        let mut previous = None;
        (1..=count)
            .map(|number| {
                let sha256 = format!("sha256 of {number}");
                let entry = AuditEntry {
                    vault: "00000000000000000000000000000001".parse().unwrap(),
                    number,
                    previous: previous.replace(sha256.clone()),
                    at: at(number as i64),
                    deed: deed(Operation::Backup, DeedStatus::Done, &number.to_string(), Some(&id(number))),
                };
                Link { number, sha256, entry: Ok(entry) }
            })
            .collect()
    }

    fn kinds(links: &[Link]) -> Vec<AuditFindingKind> {
        examine(links, &[], at(10_000)).into_iter().map(|finding| finding.kind).collect()
    }

    #[test]
    fn a_trail_as_it_was_written_is_whole() {
        for count in [0, 1, 2, 10] {
            assert_eq!(kinds(&trail(count)), []);
        }
    }

    #[test]
    fn what_the_vaults_key_did_not_write_is_found() {
        let mut links = trail(5);
        links[2].entry = Err("it does not verify".to_owned());
        assert_eq!(kinds(&links), [AuditFindingKind::Forged], "its bytes are those that the next was written after");
        links[2].sha256 = "of other bytes".to_owned();
        assert_eq!(kinds(&links), [AuditFindingKind::Forged, AuditFindingKind::Broken]);
    }

    #[test]
    fn an_entry_in_the_place_of_another_is_found() {
        let mut links = trail(5);
        // By somebody who has the vault's key.
        links[2].sha256 = "of other bytes".to_owned();
        assert_eq!(kinds(&links), [AuditFindingKind::Broken]);
        let mut links = trail(5);
        let Ok(first) = &mut links[0].entry else { unreachable!() };
        first.previous = Some("something before the first".to_owned());
        assert_eq!(kinds(&links), [AuditFindingKind::Broken]);
    }

    #[test]
    fn clocks_may_differ_a_little_and_not_much() {
        for (minutes_back, expected) in [(4, vec![]), (7, vec![AuditFindingKind::OutOfOrder])] {
            let mut links = trail(5);
            let Ok(last) = &mut links[4].entry else { unreachable!() };
            last.at = at(4 - minutes_back);
            assert_eq!(kinds(&links), expected);
        }
    }

    #[test]
    fn a_backup_that_the_trail_does_not_tell_of_is_found() {
        let backup = |number: u64, minute: i64| -> (BackupId, Timestamp) { (id(number).parse().unwrap(), at(minute)) };
        let links = trail(5);
        let untold = |backups: &[(BackupId, Timestamp)], now| -> usize { examine(&links, backups, now).len() };
        assert_eq!(untold(&[backup(1, 1), backup(5, 5)], at(600)), 0);
        assert_eq!(untold(&[backup(5, 5), backup(6, 6)], at(600)), 1, "its entry was cut off the end");
        assert_eq!(untold(&[backup(6, 6)], at(30)), 0, "it may still be told");
        assert_eq!(untold(&[backup(9, 0)], at(600)), 0, "it is older than the trail");
        let gone = examine(&[], &[backup(1, 1)], at(600));
        assert_eq!(gone.len(), 1);
        assert_eq!(gone[0].problem, "there is no audit trail, and the vault has backups");
    }

    #[test]
    fn what_was_announced_and_never_ended_is_told() {
        let of = |number: u64, status, run: &str| AuditEntry {
            number,
            deed: deed(Operation::Delete, status, run, None),
            ..trail(1)[0].entry.clone().unwrap()
        };
        let entries = [
            of(1, DeedStatus::Announced, "a"),
            of(2, DeedStatus::Announced, "b"),
            of(3, DeedStatus::Failed, "b"),
            of(4, DeedStatus::Announced, "c"),
            of(5, DeedStatus::Done, "a"),
        ];
        assert_eq!(unended(&entries), [4].into());
    }

    proptest! {
        #[test]
        fn whatever_is_taken_out_moved_or_changed_before_the_end_is_found(
            count in 2..30_u64,
            first in any::<prop::sample::Index>(),
            second in any::<prop::sample::Index>(),
            how in 0..3,
        ) {
            let mut links = trail(count);
            // The last entry is what backups are compared with for.
            let (one, other) = (first.index(count as usize - 1), second.index(count as usize - 1));
            match how {
                0 => drop(links.remove(one)),
                1 => links[one].sha256 = "of other bytes".to_owned(),
                _ => {
                    prop_assume!(one != other);
                    let (a, b) = (links[one].clone(), links[other].clone());
                    (links[one].sha256, links[one].entry) = (b.sha256, b.entry);
                    (links[other].sha256, links[other].entry) = (a.sha256, a.entry);
                }
            }
            prop_assert!(!examine(&links, &[], at(10_000)).is_empty());
        }
    }
}

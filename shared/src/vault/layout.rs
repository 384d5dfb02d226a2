//! Keys of a vault: one function per kind of object, see `docs/format.md`, "Layout".

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::model::{BackupId, DatabaseName, Depth, EraId, KeyId, PackId, Shelf};

pub const FORMATS: &str = "format/";
pub const DATABASES: &str = "databases/";
pub const AUDIT: &str = "audit/";
/// As many as one listing shows.
const AUDIT_BLOCK_ENTRIES: u64 = 1000;

pub fn format(number: u32) -> String {
    format!("{FORMATS}{number}.json")
}

/// What people were told of a database's findings, or of what is no database's (`_vault`, which cannot be the name of one).
pub fn alerts(database: Option<&DatabaseName>) -> String {
    format!("alerts/{}/", database.map_or("_vault", DatabaseName::as_str))
}

pub fn alert(database: Option<&DatabaseName>, finding: &str, number: u32) -> String {
    format!("{}{finding}/{number}.json", alerts(database))
}

pub fn alert_sent(database: Option<&DatabaseName>, finding: &str, number: u32) -> String {
    format!("{}{finding}/{number}.sent.json", alerts(database))
}

/// An entry of the audit trail, numbered from 1 on.
pub fn audit_entry(number: u64) -> String {
    format!("{}{number:012}.json", audit_entries(number.saturating_sub(1) / AUDIT_BLOCK_ENTRIES))
}

/// The entries of one block.
pub fn audit_entries(block: u64) -> String {
    format!("{AUDIT}{block:09}/")
}

/// Which block a folder of the trail is.
pub fn audit_block(name: &str) -> Option<u64> {
    name.parse().ok().filter(|block: &u64| format!("{block:09}") == name)
}

/// Which entry a key is of; `None` for what is no entry of the trail.
pub fn audit_number(key: &str) -> Option<u64> {
    let number = key.rsplit('/').next()?.strip_suffix(".json")?.parse().ok()?;
    (audit_entry(number) == key && number > 0).then_some(number)
}

/// Digests by the day that they are of.
pub const DIGESTS: &str = "digests/";

pub fn digests(day: Date) -> String {
    format!("{DIGESTS}{day}/")
}

pub fn digest(day: Date, number: u32) -> String {
    format!("{}{number}.json", digests(day))
}

pub fn digest_sent(day: Date, number: u32) -> String {
    format!("{}{number}.sent.json", digests(day))
}

/// One of the names that a pack can have.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PackName {
    pub shelf: Shelf,
    pub pack: PackId,
    /// `None` for the plain name, else that which a copy gave it.
    pub era: Option<EraId>,
}

impl PackName {
    /// Where a backup puts a pack of its own.
    pub fn plain(shelf: Shelf, pack: PackId) -> Self {
        Self { shelf, pack, era: None }
    }
}

/// The keys below one database's folder.
#[derive(Debug, Clone)]
pub struct Layout {
    root: String,
}

impl Layout {
    pub fn new(database: &DatabaseName) -> Self {
        Self { root: format!("{DATABASES}{database}/") }
    }

    /// Everything of the database is below it.
    pub fn root(&self) -> &str {
        &self.root
    }

    pub fn identities(&self) -> String {
        format!("{}identity/", self.root)
    }

    pub fn identity(&self, number: u32) -> String {
        format!("{}identity/{number}.json", self.root)
    }

    pub fn keyring(&self) -> String {
        format!("{}keyring/", self.root)
    }

    pub fn keyring_entry(&self, key: KeyId, number: u32) -> String {
        format!("{}keyring/{key}/{number}.json", self.root)
    }

    pub fn pool(&self) -> String {
        format!("{}pool/", self.root)
    }

    pub fn archives(&self) -> String {
        format!("{}archive/", self.root)
    }

    /// Below this, all packs of the shelf are.
    pub fn shelf(&self, shelf: &Shelf) -> String {
        match shelf {
            Shelf::Pool => self.pool(),
            Shelf::Archive(backup) => format!("{}{backup}/", self.archives()),
        }
    }

    /// A pack of the pool, under its plain name.
    pub fn pack(&self, pack: &PackId) -> String {
        self.pack_key(&PackName::plain(Shelf::Pool, *pack))
    }

    pub fn pack_key(&self, name: &PackName) -> String {
        let (shelf, pack) = (self.shelf(&name.shelf), name.pack.to_string());
        let folder = &pack[..2];
        match name.era {
            None => format!("{shelf}{folder}/{pack}"),
            Some(era) => format!("{shelf}{folder}/{pack}-{era}"),
        }
    }

    pub fn backups(&self) -> String {
        format!("{}backups/", self.root)
    }

    pub fn manifest(&self, backup: &BackupId) -> String {
        format!("{}backups/{backup}/manifest.json", self.root)
    }

    /// The backup that is published by an object of this key; `None` for any other object.
    pub fn published(&self, key: &str) -> Option<BackupId> {
        key.strip_prefix(&self.backups())?.strip_suffix("/manifest.json")?.parse().ok()
    }

    pub fn all_verdicts(&self) -> String {
        format!("{}verdicts/", self.root)
    }

    pub fn verdicts(&self, backup: &BackupId) -> String {
        format!("{}verdicts/{backup}/", self.root)
    }

    /// The outcome is part of the name, so that a listing alone finds the failures.
    pub fn verdict(&self, backup: &BackupId, at: Timestamp, depth: Depth, ok: bool) -> String {
        let time = to_the_microsecond(at);
        let outcome = if ok { "ok" } else { "failed" };
        format!("{}{time}-{depth}-{outcome}.json", self.verdicts(backup))
    }

    pub fn all_holds(&self) -> String {
        format!("{}holds/", self.root)
    }

    pub fn holds(&self, backup: &BackupId) -> String {
        format!("{}holds/{backup}/", self.root)
    }

    pub fn hold(&self, backup: &BackupId, hold: &str) -> String {
        format!("{}{hold}.json", self.holds(backup))
    }

    pub fn hold_release(&self, backup: &BackupId, hold: &str) -> String {
        format!("{}{hold}.released.json", self.holds(backup))
    }

    pub fn all_tombstones(&self) -> String {
        format!("{}tombstones/", self.root)
    }

    pub fn tombstones(&self, backup: &BackupId) -> String {
        format!("{}tombstones/{backup}/", self.root)
    }

    pub fn tombstone(&self, backup: &BackupId, number: u32) -> String {
        format!("{}{number}.json", self.tombstones(backup))
    }

    pub fn tombstone_outcome(&self, backup: &BackupId, number: u32) -> String {
        format!("{}{number}.outcome.json", self.tombstones(backup))
    }

    pub fn drills(&self) -> String {
        format!("{}drills/", self.root)
    }

    pub fn drill(&self, backup: &BackupId, at: Timestamp) -> String {
        format!("{}{}-{backup}.json", self.drills(), to_the_microsecond(at))
    }

    pub fn jobs(&self) -> String {
        format!("{}jobs/", self.root)
    }

    pub fn job(&self, job: &str) -> String {
        format!("{}jobs/{job}/", self.root)
    }

    pub fn claim(&self, job: &str, number: u32) -> String {
        format!("{}claim-{number}.json", self.job(job))
    }

    pub fn job_result(&self, job: &str) -> String {
        format!("{}result.json", self.job(job))
    }

    /// The pack that is behind a key; `None` for what is no pack.
    pub fn pack_name(&self, key: &str) -> Option<PackName> {
        let (shelf, rest) = match key.strip_prefix(&self.archives()) {
            Some(rest) => {
                let (backup, rest) = rest.split_once('/')?;
                (Shelf::Archive(backup.parse().ok()?), rest)
            }
            None => (Shelf::Pool, key.strip_prefix(&self.pool())?),
        };
        let file = rest.split_once('/')?.1;
        let (pack, era) = match file.split_once('-') {
            Some((pack, era)) => (pack.parse().ok()?, Some(era.parse().ok()?)),
            None => (file.parse().ok()?, None),
        };
        let name = PackName { shelf, pack, era };
        (self.pack_key(&name) == key).then_some(name)
    }

    /// A pack's id, from any of the keys that it can have.
    pub fn pack_of_key(&self, key: &str) -> Option<PackId> {
        self.pack_name(key).map(|name| name.pack)
    }
}

/// Sorts by time.
fn to_the_microsecond(at: Timestamp) -> String {
    at.to_zoned(TimeZone::UTC).strftime("%Y%m%dT%H%M%S%.6fZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_of_the_audit_trail_is_known_by_its_key_alone() {
        for (number, key) in [
            (1, "audit/000000000/000000000001.json"),
            (1000, "audit/000000000/000000001000.json"),
            (1001, "audit/000000001/000000001001.json"),
            (1_234_567, "audit/000001234/000001234567.json"),
        ] {
            assert_eq!(audit_entry(number), key);
            assert_eq!(audit_number(key), Some(number));
        }
        for odd in [
            "audit/000000001/000000000001.json",
            "audit/000000000/000000000000.json",
            "audit/000000000/1.json",
            "audit/000000000/000000000001.json.json",
            "audit/000000000/+00000000001.json",
        ] {
            assert_eq!(audit_number(odd), None, "{odd}");
        }
        assert_eq!((audit_block("000000012"), audit_block("12"), audit_block("x")), (Some(12), None, None));
    }

    #[test]
    fn a_pack_is_known_by_each_of_its_names_and_by_no_other() {
        let layout = Layout::new(&"shop".parse().unwrap());
        let (pack, era) = (PackId([0xab; 32]), EraId([0x12; 8]));
        let archive = Shelf::Archive("20261121T020000Z-monthly-k7q2".parse().unwrap());
        for shelf in [Shelf::Pool, archive] {
            for era in [None, Some(era)] {
                let name = PackName { shelf: shelf.clone(), pack, era };
                assert_eq!(layout.pack_name(&layout.pack_key(&name)), Some(name));
            }
            let plain = layout.pack_key(&PackName::plain(shelf, pack));
            for odd in
                [format!("{plain}-"), format!("{plain}-12"), format!("{plain}-{era}-{era}"), format!("{plain}.{era}")]
            {
                assert_eq!(layout.pack_of_key(&odd), None, "{odd}");
            }
            assert_eq!(layout.pack_of_key(&plain.replace("/ab/", "/ac/")), None);
        }
    }
}

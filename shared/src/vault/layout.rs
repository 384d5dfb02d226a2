//! Keys of a vault: one function per kind of object, see `docs/format.md`, "Layout".

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::model::{BackupId, DatabaseName, Depth, EraId, KeyId, PackId};

pub const FORMATS: &str = "format/";
pub const DATABASES: &str = "databases/";

pub fn format(number: u32) -> String {
    format!("{FORMATS}{number}.json")
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

    pub fn pack(&self, pack: &PackId) -> String {
        let name = pack.to_string();
        format!("{}pool/{}/{name}", self.root, &name[..2])
    }

    /// A pack under the name that a copy gives it: `None` is the plain one.
    pub fn pack_of_era(&self, pack: &PackId, era: Option<EraId>) -> String {
        match era {
            None => self.pack(pack),
            Some(era) => format!("{}-{era}", self.pack(pack)),
        }
    }

    pub fn backups(&self) -> String {
        format!("{}backups/", self.root)
    }

    pub fn manifest(&self, backup: &BackupId) -> String {
        format!("{}backups/{backup}/manifest.json", self.root)
    }

    pub fn all_verdicts(&self) -> String {
        format!("{}verdicts/", self.root)
    }

    pub fn verdicts(&self, backup: &BackupId) -> String {
        format!("{}verdicts/{backup}/", self.root)
    }

    /// The outcome is part of the name, so that a listing alone finds the failures.
    pub fn verdict(&self, backup: &BackupId, at: Timestamp, depth: Depth, ok: bool) -> String {
        let time = at.to_zoned(TimeZone::UTC).strftime("%Y%m%dT%H%M%S%.6fZ");
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

    pub fn job(&self, job: &str) -> String {
        format!("{}jobs/{job}/", self.root)
    }

    pub fn claim(&self, job: &str, number: u32) -> String {
        format!("{}claim-{number}.json", self.job(job))
    }

    pub fn job_result(&self, job: &str) -> String {
        format!("{}result.json", self.job(job))
    }

    /// A pack's id, from its key: from any of the names that a pack can have.
    pub fn pack_of_key(&self, key: &str) -> Option<PackId> {
        self.pack_and_era_of_key(key).map(|(pack, _)| pack)
    }

    pub fn pack_and_era_of_key(&self, key: &str) -> Option<(PackId, Option<EraId>)> {
        let name = key.strip_prefix(&self.pool())?.split_once('/')?.1;
        let (pack, era) = match name.split_once('-') {
            Some((pack, era)) => (pack.parse().ok()?, Some(era.parse().ok()?)),
            None => (name.parse().ok()?, None),
        };
        (self.pack_of_era(&pack, era) == key).then_some((pack, era))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pack_is_known_by_each_of_its_names_and_by_no_other() {
        let layout = Layout::new(&"shop".parse().unwrap());
        let (pack, era) = (PackId([0xab; 32]), EraId([0x12; 8]));
        for era in [None, Some(era)] {
            assert_eq!(layout.pack_and_era_of_key(&layout.pack_of_era(&pack, era)), Some((pack, era)));
        }
        let plain = layout.pack(&pack);
        for odd in
            [format!("{plain}-"), format!("{plain}-12"), format!("{plain}-{era}-{era}"), format!("{plain}.{era}")]
        {
            assert_eq!(layout.pack_of_key(&odd), None, "{odd}");
        }
        assert_eq!(layout.pack_of_key(&plain.replace("/ab/", "/ac/")), None);
    }
}

//! Every kind of object, damaged in every way: who must find it, and what it costs.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use lifeboat::model::{DatabaseIdentity, Depth};
use lifeboat::ops::{ListFilter, list};
use lifeboat::vault::Vault;
use lifeboat::vault::keys::MasterKey;
use lifeboat::{ErrorKind, Result};
use serde_json::{Value, json};

use super::forger::{Forger, altered, another, body_of, leaves, unsigned};
use super::objects::{Kind, Object, of_backup, of_stranger};
use super::{Victim, flipped, told};
use crate::rig::name;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Damage {
    /// One bit, in the middle of the piece.
    Flipped,
    /// Zeros instead, as many as there were bytes.
    Zeroed,
    /// In the middle of the piece.
    Cut,
    Longer,
    Emptied,
    Gone,
    /// Another backup's object of the kind in its place.
    AnotherBackups,
    AnotherDatabases,
    AnotherVaults,
    /// A value changed by somebody without keys, who mends the checksum.
    Edited,
    /// The line with the MAC removed.
    Unsigned,
    /// Signed with a key that is not for this: another database's, or a database's where it must be the vault's.
    SignedByAnother,
    /// Signed with the right key by a Lifeboat to come, in a format to come.
    Newer,
    /// By a Lifeboat to come that uses something we do not know.
    UnknownFeature,
}

use Damage::*;

const DAMAGES: [Damage; 14] = [
    Flipped,
    Zeroed,
    Cut,
    Longer,
    Emptied,
    Gone,
    AnotherBackups,
    AnotherDatabases,
    AnotherVaults,
    Edited,
    Unsigned,
    SignedByAnother,
    Newer,
    UnknownFeature,
];

/// Who must find it, the quickest first. A deeper verification finds what a quicker one does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Finder {
    Quick,
    Full,
    /// `list`: no verification depends on it.
    List,
    /// The next backup, of the same job.
    Backup,
    /// Nothing that is done depends on it, or nothing tells that it was ever there.
    Nobody,
}

/// Who must find damage to this kind of object, but for these exceptions.
type Promise = (Kind, Finder, &'static [(Damage, Finder)]);

/// On a store that keeps checksums; without them `quick` sees in new packs what it sees in earlier ones.
const PROMISES: [Promise; 18] = [
    (Kind::Format, Finder::Quick, &[]),
    (Kind::KeyringEntry, Finder::Quick, &[]),
    (Kind::Manifest, Finder::Quick, &[]),
    (Kind::PackList, Finder::Quick, &[]),
    (Kind::Catalogue, Finder::Quick, &[]),
    (Kind::Schema, Finder::Quick, &[]),
    (Kind::Index, Finder::Quick, &[]),
    (Kind::Rows, Finder::Quick, &[]),
    (Kind::ParentsIndex, Finder::Quick, &[(Flipped, Finder::Full), (Zeroed, Finder::Full)]),
    (Kind::ParentsRows, Finder::Quick, &[(Flipped, Finder::Full), (Zeroed, Finder::Full)]),
    (Kind::Verdict, Finder::List, &[(Gone, Finder::Nobody)]),
    (Kind::Hold, Finder::List, &[(Gone, Finder::Nobody)]),
    (Kind::Release, Finder::List, &[(Gone, Finder::Nobody)]),
    (Kind::Tombstone, Finder::List, &[(Gone, Finder::Nobody)]),
    (Kind::Outcome, Finder::List, &[(Gone, Finder::Nobody)]),
    (Kind::Identity, Finder::Backup, &[(Gone, Finder::Nobody)]),
    (Kind::Claim, Finder::Backup, &[(Gone, Finder::Nobody)]),
    (Kind::Result, Finder::Nobody, &[]),
];

fn finder(kind: Kind, damage: Damage) -> Finder {
    let (_, finder, exceptions) = PROMISES.iter().find(|(of, ..)| *of == kind).unwrap();
    exceptions.iter().find(|(of, _)| *of == damage).map_or(*finder, |(_, finder)| *finder)
}

/// Whose objects could be mistaken for the victim's, and with which keys they could be signed.
struct Strangers {
    backups: Vec<Object>,
    databases: Vec<Object>,
    vaults: Vec<Object>,
    vault_key: Forger,
    data_key: Forger,
    another_data_key: Forger,
}

impl Strangers {
    async fn of(victim: &Victim) -> Self {
        let database = victim.rig.database().await;
        let backups = of_backup(&database, &victim.first.backup.id, "first").await;
        let databases = of_stranger(&victim.rig.vault, &victim.db, "other").await;
        let key = MasterKey::from_base64(&victim.master).unwrap();
        let vault = Vault::init(Arc::new(lifeboat::store::memory::MemoryStore::new()), key, 72, 24).await.unwrap();
        let vaults = of_stranger(&Arc::new(vault), &victim.db, name().as_str()).await;
        let forger = |objects: &[Object], kind| Forger::with_key_of(&of_kind(objects, kind).bytes, &victim.master);
        Self {
            vault_key: forger(&backups, Kind::Format),
            data_key: forger(&backups, Kind::KeyringEntry),
            another_data_key: forger(&databases, Kind::KeyringEntry),
            backups,
            databases,
            vaults,
        }
    }

    /// What is put in the object's place, `None` for nothing; no answer where this cannot happen to it.
    fn damaged(&self, object: &Object, damage: Damage) -> Option<Option<Bytes>> {
        let Object { kind, bytes, at, .. } = object;
        let (middle, is_record) = (at.start.midpoint(at.end), kind.is_record());
        let stranger = |objects: &[Object]| {
            let theirs = of_kind(objects, kind.without_origin()).bytes.clone();
            (theirs != *bytes).then_some(Some(theirs))
        };
        let body = || body_of(bytes);
        let own_key = if kind.is_the_vaults() { &self.vault_key } else { &self.data_key };
        let signed = |field: &str, value: Value| {
            let mut body = body();
            body[field] = value;
            Some(Some(own_key.sign(&body)))
        };
        match damage {
            Flipped => Some(Some(flipped(bytes, middle, 3))),
            Zeroed => Some(Some(vec![0; bytes.len()].into())),
            Cut => Some(Some(bytes.slice(..middle))),
            Longer => Some(Some([&bytes[..], b"x"].concat().into())),
            Emptied => Some(Some(Bytes::new())),
            Gone => Some(None),
            AnotherBackups => stranger(&self.backups),
            AnotherDatabases => stranger(&self.databases),
            AnotherVaults => stranger(&self.vaults),
            Edited if *kind == Kind::PackList => {
                let text = String::from_utf8(bytes.to_vec()).unwrap();
                Some(Some(text.replacen("new", "earlier", 1).into()))
            }
            Edited if is_record => {
                let mut body = body();
                // A wrapped key that was changed is one that another master key wrapped, as far as anybody can tell.
                let leaf =
                    leaves(&body["content"]).into_iter().rfind(|leaf| !leaf.starts_with("/wrapped_key")).unwrap();
                let value = body["content"].pointer_mut(&leaf).unwrap();
                *value = another(value);
                Some(Some(altered(bytes, &body)))
            }
            Unsigned if is_record => Some(Some(unsigned(bytes))),
            SignedByAnother if *kind == Kind::Format => Some(Some(self.data_key.sign(&body()))),
            SignedByAnother if is_record => Some(Some(self.another_data_key.sign(&body()))),
            Newer if is_record => signed("format", json!(2)),
            UnknownFeature if is_record => signed("requires", json!(["masking"])),
            Edited | Unsigned | SignedByAnother | Newer | UnknownFeature => None,
        }
    }
}

fn of_kind(objects: &[Object], kind: Kind) -> &Object {
    objects.iter().find(|object| object.kind == kind).unwrap_or_else(|| panic!("no {kind:?}"))
}

/// What `list` says is wrong.
async fn listing(victim: &Victim) -> Result<Option<String>> {
    let listing = list(&victim.open().await?, Some(&name()), &ListFilter::default()).await?;
    let problems: String = listing.problems.iter().map(|f| format!("{}: {}\n", f.object, f.problem)).collect();
    Ok((!problems.is_empty()).then_some(problems))
}

/// What the next backup of the job that the claim is for says to it.
async fn next_backup(victim: &Victim, object: &Object) -> Result<Option<String>> {
    if object.kind == Kind::Identity {
        let identity: DatabaseIdentity = serde_json::from_value(body_of(&object.bytes)["content"].clone()).unwrap();
        return victim.open().await?.database_or_new(&identity, false).await.map(|_| None);
    }
    let mut options = victim.rig.options().await;
    options.job = Some("second".to_owned());
    victim.rig.try_backup(&victim.db, &options).await.map(|_| None)
}

/// What was told, and with which kind of error if it was one.
async fn found(victim: &Victim, object: &Object, finder: Finder) -> (Option<String>, Option<ErrorKind>) {
    let answer = match finder {
        Finder::Quick | Finder::Full => {
            let depth = if finder == Finder::Quick { Depth::Quick } else { Depth::Full };
            let outcome = victim.verify(depth).await;
            return (told(&outcome), outcome.err().map(|error| error.kind()));
        }
        Finder::List => listing(victim).await,
        Finder::Backup => next_backup(victim, object).await,
        Finder::Nobody => Ok(None),
    };
    match answer {
        Ok(told) => (told, None),
        Err(error) => (Some(error.message()), Some(error.kind())),
    }
}

/// Not verification, where the object is gone or is not for us.
fn expected_kind(damage: Damage) -> ErrorKind {
    match damage {
        Gone => ErrorKind::NotFound,
        Newer | UnknownFeature => ErrorKind::Configuration,
        _ => ErrorKind::Verification,
    }
}

/// Without its manifest a backup does not exist, and without its format a vault does not. Another vault's format opens, if
/// it has the same master key; what is found is that nothing else belongs to it.
fn is_named(kind: Kind, damage: Damage) -> bool {
    match kind {
        Kind::Format => damage != Gone && damage != AnotherVaults,
        Kind::Manifest | Kind::KeyringEntry => damage != Gone,
        _ => true,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_damage_to_every_kind_of_object_is_found_by_whom_it_is_promised() {
    let victim = Victim::new().await;
    let strangers = Strangers::of(&victim).await;
    let objects = of_backup(&victim.rig.database().await, &victim.second.backup.id, "second").await;
    let kinds: BTreeSet<Kind> = objects.iter().map(|object| object.kind).collect();
    assert_eq!(kinds.len(), PROMISES.len(), "{kinds:?}");
    let (mut cells, mut broken) = (0, Vec::new());
    for object in &objects {
        for damage in DAMAGES {
            let Some(instead) = strangers.damaged(object, damage) else { continue };
            victim.replace(&object.key, instead).await;
            broken.extend(cell(&victim, object, damage).await);
            restore_object(&victim, object).await;
            cells += 1;
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    assert!(cells > 200, "{cells}");
    assert!(victim.verify(Depth::Full).await.unwrap().ok, "all was put back");
    assert_eq!(listing(&victim).await.unwrap(), None, "all was put back");
}

async fn restore_object(victim: &Victim, object: &Object) {
    victim.put_back(&object.key, object.bytes.clone()).await;
}

/// What is not as promised.
async fn cell(victim: &Victim, object: &Object, damage: Damage) -> Vec<String> {
    let Object { kind, key, table, .. } = object;
    let (finder, keys) = (finder(*kind, damage), victim.keys().await);
    let mut broken = Vec::new();
    let mut require = |holds: bool, otherwise: &str| {
        if !holds {
            broken.push(format!("{kind:?} {damage:?}: {otherwise}"));
        }
    };
    let quicker = match finder {
        Finder::Quick => None,
        Finder::Full => Some(Finder::Quick),
        Finder::List | Finder::Backup | Finder::Nobody => Some(Finder::Full),
    };
    if let Some(quicker) = quicker {
        let (told, _) = found(victim, object, quicker).await;
        require(told.is_none(), &format!("found by {quicker:?} already, promise it: {told:?}"));
    }
    let deeper = (finder == Finder::Quick).then_some(Finder::Full);
    for finder in [Some(finder), deeper].into_iter().flatten().filter(|finder| *finder != Finder::Nobody) {
        let (told, error) = found(victim, object, finder).await;
        require(told.is_some(), &format!("{finder:?} does not notice"));
        let told = told.unwrap_or_default();
        let expected = expected_kind(damage);
        match error {
            Some(error) => require(
                [ErrorKind::Verification, expected].contains(&error),
                &format!("{finder:?} gives {error:?}: {told}"),
            ),
            None => require(expected != ErrorKind::Configuration, &format!("{finder:?} calls it damage: {told}")),
        }
        require(!is_named(*kind, damage) || told.contains(key), &format!("{finder:?} does not name {key}: {told}"));
        // What follows the piece costs no rows.
        if let Some(table) = table.as_ref().filter(|_| finder == Finder::Full && damage != Longer) {
            require(told.contains(&table.to_string()), &format!("{finder:?} does not name {table}: {told}"));
        }
    }
    let left = victim.keys().await;
    require(keys.is_subset(&left), &format!("deleted {:?}", keys.difference(&left)));
    broken
}

#[tokio::test(flavor = "multi_thread")]
async fn no_field_of_a_manifest_or_of_its_envelope_can_be_changed_or_removed() {
    let victim = Victim::new().await;
    let key = victim.rig.database().await.layout.manifest(&victim.second.backup.id);
    let bytes = victim.read(&key).await;
    let body = body_of(&bytes);
    let fields = leaves(&body);
    assert!(fields.len() > 40, "{fields:?}");
    for field in fields {
        let mut changed = body.clone();
        let value = changed.pointer_mut(&field).unwrap();
        *value = another(value);
        let mut removed = body.clone();
        let (parent, last) = field.rsplit_once('/').unwrap();
        removed.pointer_mut(parent).and_then(Value::as_object_mut).unwrap().remove(last);
        for forged in [changed, removed] {
            victim.replace(&key, Some(altered(&bytes, &forged))).await;
            let told = told(&victim.verify(Depth::Quick).await).unwrap_or_else(|| panic!("{field} can be changed"));
            assert!(told.contains(&key), "{field}: {told}");
            victim.put_back(&key, bytes.clone()).await;
        }
    }
}

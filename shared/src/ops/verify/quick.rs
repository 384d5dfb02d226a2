//! Quick: every pack is there, with its size; the new ones have, by the store's own checksum, the bytes of their name.

use std::collections::HashMap;

use futures::{StreamExt, TryStreamExt, stream};

use super::Findings;
use crate::error::Result;
use crate::model::{Manifest, PackEntry, PackId, PackList, Shelf};
use crate::ops::{Event, Run};
use crate::store::list_all;
use crate::vault::DatabaseVault;

const HEADS_AT_ONCE: usize = 16;

pub async fn look(
    database: &DatabaseVault,
    manifest: &Manifest,
    packs: &PackList,
    run: &Run,
    findings: &mut Findings,
) -> Result<()> {
    run.check("listing the vault")?;
    run.observer.on(&Event::Step { name: "packs" });
    let mut objects = Vec::new();
    for shelf in manifest.shelves() {
        objects.append(&mut list_all(database.store(), &database.layout.shelf(&shelf)).await?);
    }
    // A pack that copies brought may be there under several names: each is read by somebody.
    let mut there: HashMap<(Shelf, PackId), Vec<u64>> = HashMap::new();
    for object in &objects {
        if let Some(name) = database.layout.pack_name(&object.key) {
            there.entry((name.shelf, name.pack)).or_default().push(object.size_bytes);
        }
    }
    for entry in &packs.packs {
        let (shelf, size_bytes) = (manifest.shelf_of(entry), entry.size_bytes);
        let place = database.pack_place(&shelf, &entry.pack);
        let found = there.get(&(shelf, entry.pack)).map_or(&[][..], Vec::as_slice);
        let problem = match found.iter().find(|found| **found != size_bytes) {
            None if found.is_empty() => "it is missing".to_owned(),
            None => continue,
            Some(found) => format!("it has {found} bytes instead of {size_bytes}"),
        };
        findings.add(place, problem, Some(entry.pack));
    }
    let bad = findings.packs();
    let new = packs.packs.iter().filter(|entry| entry.origin.is_new() && !bad.contains(&entry.pack));
    let checksums: Vec<(&PackEntry, Option<[u8; 32]>)> = stream::iter(new)
        .map(async |entry| {
            run.check("comparing checksums")?;
            let head = database.pack_head(&manifest.shelf_of(entry), &entry.pack).await?;
            Ok((entry, head.sha256))
        })
        .buffered(HEADS_AT_ONCE)
        .try_collect()
        .await?;
    for (entry, checksum) in checksums {
        if checksum.is_some_and(|checksum| checksum != entry.pack.0) {
            let problem = "the store's checksum is not its name: it was replaced".to_owned();
            findings.add(database.pack_place(&manifest.shelf_of(entry), &entry.pack), problem, Some(entry.pack));
        }
    }
    Ok(())
}

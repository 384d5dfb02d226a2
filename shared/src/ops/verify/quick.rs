//! Quick: every pack is there, with its size; the new ones have, by the store's own checksum, the bytes of their name.

use std::collections::HashMap;

use futures::{StreamExt, TryStreamExt, stream};

use super::Findings;
use crate::error::Result;
use crate::model::{PackEntry, PackId, PackList, PackOrigin};
use crate::ops::{Event, Run};
use crate::store::list_all;
use crate::vault::DatabaseVault;

const HEADS_AT_ONCE: usize = 16;

pub async fn look(database: &DatabaseVault, packs: &PackList, run: &Run, findings: &mut Findings) -> Result<()> {
    run.check("listing the vault")?;
    run.observer.on(&Event::Step { name: "packs" });
    let objects = list_all(database.store(), &database.layout.pool()).await?;
    // A pack that copies brought may be there under several names: each is read by somebody.
    let mut there: HashMap<PackId, Vec<u64>> = HashMap::new();
    for object in &objects {
        if let Some(pack) = database.layout.pack_of_key(&object.key) {
            there.entry(pack).or_default().push(object.size_bytes);
        }
    }
    for PackEntry { pack, size_bytes, .. } in &packs.0 {
        let found = there.get(pack).map_or(&[][..], Vec::as_slice);
        let problem = match found.iter().find(|found| *found != size_bytes) {
            None if found.is_empty() => "it is missing".to_owned(),
            None => continue,
            Some(found) => format!("it has {found} bytes instead of {size_bytes}"),
        };
        findings.add(database.layout.pack(pack), problem, Some(*pack));
    }
    let bad = findings.packs();
    let new = packs.0.iter().filter(|entry| entry.origin == PackOrigin::New && !bad.contains(&entry.pack));
    let checksums: Vec<(PackId, Option<[u8; 32]>)> = stream::iter(new)
        .map(async |entry| {
            run.check("comparing checksums")?;
            let head = database.pack_head(&entry.pack).await?;
            Ok((entry.pack, head.sha256))
        })
        .buffered(HEADS_AT_ONCE)
        .try_collect()
        .await?;
    for (pack, checksum) in checksums {
        if checksum.is_some_and(|checksum| checksum != pack.0) {
            let problem = "the store's checksum is not its name: it was replaced".to_owned();
            findings.add(database.layout.pack(&pack), problem, Some(pack));
        }
    }
    Ok(())
}

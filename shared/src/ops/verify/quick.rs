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
    let there: HashMap<PackId, u64> =
        objects.iter().filter_map(|o| Some((database.layout.pack_of_key(&o.key)?, o.size_bytes))).collect();
    for PackEntry { pack, size_bytes, .. } in &packs.0 {
        let problem = match there.get(pack) {
            None => "it is missing".to_owned(),
            Some(found) if found != size_bytes => format!("it has {found} bytes instead of {size_bytes}"),
            Some(_) => continue,
        };
        findings.add(database.layout.pack(pack), problem, Some(*pack));
    }
    let bad = findings.packs();
    let new = packs.0.iter().filter(|entry| entry.origin == PackOrigin::New && !bad.contains(&entry.pack));
    let checksums: Vec<(PackId, Option<[u8; 32]>)> = stream::iter(new)
        .map(async |entry| {
            run.check("comparing checksums")?;
            let head = database.store().head(&database.layout.pack(&entry.pack)).await?;
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

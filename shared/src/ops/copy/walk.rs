//! Copies for the random walk of [`crate::ops::cleanup`]: a place that backups come from, and what can be done wrong when they are
//! copied.

use bytes::Bytes;
use jiff::Timestamp;

use super::*;
use crate::model::{PackEntry, Storage};
use crate::ops::fixture::{self, Backup};
use crate::vault::layout::PackName;
use crate::vault::pack::pack_id;

/// How a copy decides what it need not bring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// As the engine does.
    Proven,
    /// Whatever is there counts.
    Anything,
    /// What a live backup names counts; all else is stored under its plain name, which may have been there before.
    NamesReturn,
}

/// A new backup at the source, which has some of the packs of all that were there before. Nothing is ever deleted there.
pub async fn back_up(source: &DatabaseVault, at: Timestamp, mut happens: impl FnMut(u32) -> bool) -> Result<BackupId> {
    let mut backup = Backup::new(&at.to_string(), "daily");
    let storage = if happens(20) { Storage::Archive } else { Storage::Pool };
    if storage == Storage::Archive {
        backup = backup.archived();
    }
    for id in source.published().await? {
        let manifest = source.manifest(&id).await?;
        if [manifest.storage, storage].contains(&Storage::Archive) {
            continue;
        }
        let list = source.pack_list(&manifest).await?;
        for PackEntry { pack, size_bytes, .. } in list.packs.into_iter().filter(|_| happens(25)) {
            backup = backup.sized_pack(pack, size_bytes);
        }
    }
    let bytes = Bytes::from(rand::random::<[u8; 24]>().to_vec());
    let name = PackName::plain(storage.row_shelf(backup.id()), pack_id(&bytes));
    source.put_pack_as(&name, bytes.clone()).await?;
    Ok(backup.sized_pack(pack_id(&bytes), 24).publish(source).await)
}

pub async fn copy_one(source: &DatabaseVault, target: &DatabaseVault, id: &BackupId, trust: Trust) -> Result<()> {
    let run = fixture::run("somebody");
    match trust {
        Trust::Proven => copy(source, target, id, CopyOptions { verify: None }, &run).await.map(drop),
        mistaken => copy_mistaken(source, target, id, mistaken, &run).await,
    }
}

async fn copy_mistaken(
    source: &DatabaseVault,
    target: &DatabaseVault,
    id: &BackupId,
    trust: Trust,
    run: &Run,
) -> Result<()> {
    require_welcome(target, id).await?;
    let (manifest, bytes) = source.manifest_and_bytes(id).await?;
    let ground = era::ground(target, id, run).await?;
    let needed = needed(&manifest, &source.pack_list(&manifest).await?);
    let named = named(target, &needed).await?;
    let there = there(target, &manifest, &needed).await?;
    for Needed { shelf, pack, .. } in needed {
        let counts = trust == Trust::Anything || named.contains(&pack);
        if !counts || there[&pack].is_empty() {
            let bytes = source.pack(&shelf, &pack).await?;
            target.put_pack_as(&PackName::plain(shelf, pack), bytes).await?;
        }
    }
    publish(target, id, bytes, &ground, "somebody").await
}

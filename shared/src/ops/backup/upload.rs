//! Packs on their way into the vault: a few at a time, so that memory stays bounded.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use crate::error::{Error, Result};
use crate::model::{PackId, PieceRef, Shelf};
use crate::vault::DatabaseVault;
use crate::vault::keys::Keys;
use crate::vault::layout::PackName;
use crate::vault::pack::{ClosedPack, PackBuffer};
use crate::vault::piece::{PieceKind, Sealer, content_id};

/// Packs that may be in flight at once; each holds its bytes in memory.
const IN_FLIGHT: usize = 3;

/// zstd's level for metadata, which is small and read often.
const LEVEL: i32 = 3;

/// Stores packs from any thread.
#[derive(Clone)]
pub struct Uploader {
    database: DatabaseVault,
    shelf: Shelf,
    runtime: Handle,
    slots: Arc<Semaphore>,
    stored: Arc<Mutex<BTreeMap<PackId, u64>>>,
}

impl Uploader {
    /// Stores into the pool. Must be made on the runtime that does the uploads.
    pub fn new(database: DatabaseVault) -> Self {
        Self {
            database,
            shelf: Shelf::Pool,
            runtime: Handle::current(),
            slots: Arc::new(Semaphore::new(IN_FLIGHT)),
            stored: Arc::default(),
        }
    }

    /// The same, which stores onto another shelf.
    pub fn onto(&self, shelf: Shelf) -> Self {
        Self { shelf, ..self.clone() }
    }

    /// Stores a pack, then tells `done` where its pieces are, or why not. Blocks the calling thread, which must not be one
    /// of the runtime's, until a slot is free; returns while the upload is under way.
    pub fn store<T: Send + 'static>(
        &self,
        pack: ClosedPack<T>,
        done: impl FnOnce(Result<Vec<(T, PieceRef)>>) + Send + 'static,
    ) {
        let id = pack.id();
        let slot = self.runtime.block_on(Arc::clone(&self.slots).acquire_owned()).expect("never closed");
        let this = self.clone();
        self.runtime.spawn(async move {
            let put = this.put(id, &pack.bytes).await;
            done(put.map(|()| pack.into_refs(id).collect()));
            drop(slot);
        });
    }

    /// Stores a pack and waits for it.
    pub async fn store_now<T>(&self, pack: ClosedPack<T>) -> Result<Vec<(T, PieceRef)>> {
        let id = pack.id();
        self.put(id, &pack.bytes).await?;
        Ok(pack.into_refs(id).collect())
    }

    /// Stores bytes under their hash.
    pub async fn put(&self, id: PackId, bytes: &Bytes) -> Result<()> {
        self.database.put_pack_as(&PackName::plain(self.shelf.clone(), id), bytes.clone()).await?;
        self.stored.lock().expect("no panic while held").insert(id, bytes.len() as u64);
        Ok(())
    }

    /// Every pack stored so far, with its size.
    pub fn stored(&self) -> BTreeMap<PackId, u64> {
        self.stored.lock().expect("no panic while held").clone()
    }
}

/// Where a piece of metadata is, or which piece of the packs that are being filled it will be.
#[derive(Debug, Clone, Copy)]
pub enum Place {
    InParent(PieceRef),
    New(usize),
}

/// Packs of what describes the rows: index parts, schema, catalogue. Apart from the rows' packs, so that looking at a
/// backup reads little.
pub struct MetaPacks {
    keys: Arc<Keys>,
    uploads: Uploader,
    buffer: PackBuffer<usize>,
    placed: Vec<Option<PieceRef>>,
}

impl MetaPacks {
    pub fn new(keys: Arc<Keys>, uploads: Uploader) -> Self {
        Self { keys, uploads, buffer: PackBuffer::default(), placed: Vec::new() }
    }

    /// Adds a piece, unless it is the one that is `known` already.
    pub async fn add(&mut self, kind: PieceKind, plaintext: Vec<u8>, known: Option<PieceRef>) -> Result<Place> {
        let keys = Arc::clone(&self.keys);
        let seal = move || {
            let id = content_id(&keys, kind, &plaintext);
            match known {
                Some(at) if at.id == id => Ok((Some(at), None)),
                _ => Sealer::new(&keys, LEVEL)?.seal(kind, id, &plaintext).map(|piece| (None, Some(piece))),
            }
        };
        let sealed = tokio::task::spawn_blocking(seal).await.map_err(|e| Error::bug("sealing failed").because(e))?;
        let piece = match sealed? {
            (Some(at), _) => return Ok(Place::InParent(at)),
            (None, piece) => piece.expect("sealed when not known"),
        };
        let number = self.placed.len();
        self.placed.push(None);
        if let Some(full) = self.buffer.push(number, &piece) {
            self.store(full).await?;
        }
        Ok(Place::New(number))
    }

    /// Stores what was added so far.
    pub async fn flush(&mut self) -> Result<()> {
        match self.buffer.close() {
            Some(pack) => self.store(pack).await,
            None => Ok(()),
        }
    }

    async fn store(&mut self, pack: ClosedPack<usize>) -> Result<()> {
        for (number, piece) in self.uploads.store_now(pack).await? {
            self.placed[number] = Some(piece);
        }
        Ok(())
    }

    /// Where a piece is, once flushed.
    pub fn at(&self, place: Place) -> PieceRef {
        match place {
            Place::InParent(at) => at,
            Place::New(number) => self.placed[number].expect("flushed before anybody asks"),
        }
    }
}

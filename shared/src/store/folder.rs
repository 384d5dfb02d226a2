//! A store in a folder. Each object is a file whose path is its key.
//!
//! A put writes a file in `.tmp/`, flushes it, and gives it its name by a step that fails where the name is taken (rename
//! without replacing; hard link where a filesystem knows only that). Then it flushes the folders. So a reader, or the next
//! start after a power cut, finds the whole object or none, and of any number of writers, on any number of hosts that mount
//! the filesystem, one wins. A killed writer leaves a file in `.tmp/`, which no key can name; whoever writes next removes it
//! once it is a day old.
//!
//! An object's time is its `mtime`, set again right after it got its name: a writer that was stopped for hours between
//! writing and naming must not publish something that looks old. Copies that keep times (`rsync -a`) stay valid vaults.
//!
//! All file work is on blocking threads. Files are made with mode 0600, folders with 0700.

use std::collections::HashMap;
use std::fs::{self, DirBuilder, File, Metadata};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use rustix::fs::{Timespec, Timestamps, UTIME_NOW, futimens};
use rustix::io::Errno;
use tempfile::{NamedTempFile, PersistError};

use super::key::{check_folder_prefix, check_key, check_prefix};
use super::{
    Deletion, ObjectHead, ObjectInfo, ObjectStore, Put, StorageClass, Thaw, Tries, beyond_the_end, check_arrival,
    is_key, no_such_object,
};
use crate::error::{Error, Result};

/// Where files wait for their names. Begins with a dot, so it is no key.
const PARTS: &str = ".tmp";
/// No put takes this long: a part so old has lost its writer.
const PART_LIFETIME: Duration = Duration::from_secs(24 * 3600);
/// How often a put finds its folder removed, or an object that is gone when looked at, before it gives up.
const NAMING_ATTEMPTS: u32 = 1000;

/// Objects as files below one folder, which the first put creates.
#[derive(Clone)]
pub struct FolderStore(Arc<Folder>);

struct Folder {
    root: PathBuf,
    /// Folders whose own names are known to be on disk.
    durable: Mutex<HashMap<PathBuf, FolderIdentity>>,
    old_parts_removed: AtomicBool,
}

/// Tells a folder from another one made later under the same name.
#[derive(PartialEq, Eq)]
struct FolderIdentity {
    device: u64,
    inode: u64,
    created: SystemTime,
}

impl FolderStore {
    /// The store in `root`, an absolute path or one below the current folder. Touches nothing.
    pub fn new(root: impl AsRef<Path>) -> Result<Self> {
        let root = std::path::absolute(root.as_ref())
            .map_err(|e| Error::configuration(format!("{:?} is no folder's path", root.as_ref())).because(e))?;
        Ok(Self(Arc::new(Folder { root, durable: Mutex::default(), old_parts_removed: AtomicBool::new(false) })))
    }

    /// The object's file, and its size in bytes.
    async fn open(&self, key: &str) -> Result<(File, u64)> {
        check_key(key)?;
        let key = key.to_owned();
        let (file, metadata) = self.run(move |folder| folder.open(&key)).await?;
        Ok((file, metadata.len()))
    }

    async fn read(&self, key: &str, file: File, range: Range<u64>) -> Result<Bytes> {
        // Memory is taken here and not where it is filled: the allocator keeps for each thread what that has had, and there are
        // many blocking threads. It halves what a verification takes.
        let body = Vec::with_capacity((range.end - range.start) as usize);
        let key = key.to_owned();
        self.run(move |folder| folder.read(&key, file, range, body)).await
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce(&Folder) -> Result<T> + Send + 'static) -> Result<T> {
        let folder = Arc::clone(&self.0);
        tokio::task::spawn_blocking(move || work(&folder))
            .await
            .map_err(|e| Error::bug("file work was cut off").because(e))?
    }
}

impl std::fmt::Debug for FolderStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "FolderStore({})", self.location())
    }
}

#[async_trait]
impl ObjectStore for FolderStore {
    fn location(&self) -> String {
        self.0.root.display().to_string()
    }

    async fn put_new_hashed(&self, key: &str, body: Bytes, sha256: [u8; 32], tries: Tries) -> Result<Put> {
        check_key(key)?;
        let key = key.to_owned();
        self.run(move |folder| {
            check_arrival(&key, &body, sha256)?;
            folder.put_new(&key, &body, tries)
        })
        .await
    }

    async fn get(&self, key: &str) -> Result<Bytes> {
        let (file, size_bytes) = self.open(key).await?;
        self.read(key, file, 0..size_bytes).await
    }

    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes> {
        let (file, size_bytes) = self.open(key).await?;
        if range.start > range.end || range.end > size_bytes {
            return Err(beyond_the_end(key, &range, Some(size_bytes)));
        }
        self.read(key, file, range).await
    }

    async fn head(&self, key: &str) -> Result<ObjectHead> {
        check_key(key)?;
        let key = key.to_owned();
        self.run(move |folder| match folder.info(&key)? {
            Some(info) => Ok(ObjectHead { info, sha256: None, thaw: Thaw::NotNeeded, locked_until: None }),
            None => Err(folder.missing(&key)),
        })
        .await
    }

    async fn list_page(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<ObjectInfo>> {
        check_prefix(prefix)?;
        let page = Page { prefix: prefix.to_owned(), after: after.unwrap_or_default().to_owned(), limit };
        self.run(move |folder| folder.list_page(&page)).await
    }

    async fn list_names(&self, prefix: &str) -> Result<Vec<String>> {
        check_folder_prefix(prefix)?;
        let prefix = prefix.to_owned();
        self.run(move |folder| folder.list_names(&prefix)).await
    }

    async fn delete(&self, key: &str) -> Result<Deletion> {
        check_key(key)?;
        let key = key.to_owned();
        self.run(move |folder| folder.delete(&key)).await?;
        Ok(Deletion::Done)
    }

    async fn now(&self) -> Result<Timestamp> {
        self.run(Folder::now).await
    }
}

/// Writing.
impl Folder {
    fn put_new(&self, key: &str, body: &[u8], tries: Tries) -> Result<Put> {
        let path = self.root.join(key);
        if let Some(put) = self.compare(&path, body)? {
            return Ok(put);
        }
        let mut part = self.part()?;
        part.write_all(body).and_then(|()| part.as_file().sync_all()).map_err(|e| failed("write", &path, e))?;
        for _ in 0..NAMING_ATTEMPTS {
            tries.check_time(key, Timestamp::now())?;
            match name(part, &path) {
                Ok(file) => {
                    stamp(&file);
                    self.flush_folders(&path)?;
                    return Ok(Put::Created);
                }
                Err(e) => match e.error.kind() {
                    ErrorKind::AlreadyExists => {
                        if let Some(put) = self.compare(&path, body)? {
                            return Ok(put);
                        }
                        part = e.file;
                    }
                    ErrorKind::NotFound => part = e.file,
                    _ => return Err(failed("create", &path, e.error)),
                },
            }
        }
        Err(Error::vault(format!("cannot create {}: it or its folder keeps appearing and vanishing", path.display())))
    }

    /// What a put of `body` finds under its key: `None` is nothing.
    fn compare(&self, path: &Path, body: &[u8]) -> Result<Option<Put>> {
        let equal = open(path).and_then(|file| match file {
            None => Ok(None),
            Some((file, metadata)) if metadata.len() == body.len() as u64 => same_bytes(file, body).map(Some),
            Some(_) => Ok(Some(false)),
        });
        match equal.map_err(|e| failed("read", path, e))? {
            None if path.is_dir() => Err(failed("create", path, ErrorKind::IsADirectory.into())),
            None => Ok(None),
            Some(false) => Ok(Some(Put::Exists)),
            Some(true) => {
                // Its writer may not have come this far.
                self.flush_folders(path)?;
                Ok(Some(Put::Created))
            }
        }
    }

    /// A fresh file that will either get a name or vanish.
    fn part(&self) -> Result<NamedTempFile> {
        let parts = self.root.join(PARTS);
        make_folders(&parts).map_err(|e| failed("create", &parts, e))?;
        let part = tempfile::Builder::new()
            .prefix("")
            .suffix(".part")
            .rand_bytes(16)
            .tempfile_in(&parts)
            .map_err(|e| failed("create a file in", &parts, e))?;
        if !self.old_parts_removed.swap(true, Ordering::Relaxed) {
            remove_old_parts(&parts, &part);
        }
        Ok(part)
    }

    fn now(&self) -> Result<Timestamp> {
        let part = self.part()?;
        let metadata = part.as_file().metadata();
        let modified = metadata.and_then(|metadata| timestamp(&metadata));
        modified.map_err(|e| failed("read the time of", part.path(), e))
    }

    /// Flushes the object's name and, unless known to be on disk, those of the folders above it.
    fn flush_folders(&self, path: &Path) -> Result<()> {
        let folder = parent(path);
        let Some(metadata) = flush_folder(folder)? else {
            return Ok(());
        };
        let identity = identity(&metadata);
        if identity.is_some() && self.durable().get(folder) == identity.as_ref() {
            return Ok(());
        }
        let above = folder.ancestors().skip(1);
        for folder in above.take_while(|folder| folder.starts_with(&self.root)) {
            flush_folder(folder)?;
        }
        if let Some(identity) = identity {
            self.durable().insert(folder.to_owned(), identity);
        }
        Ok(())
    }

    fn durable(&self) -> MutexGuard<'_, HashMap<PathBuf, FolderIdentity>> {
        self.durable.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn delete(&self, key: &str) -> Result<()> {
        let path = self.root.join(key);
        match fs::remove_file(&path) {
            Err(e) if is_absent(&e) || path.is_dir() => return Ok(()),
            done => done.map_err(|e| failed("delete", &path, e))?,
        }
        let folder = parent(&path);
        flush_folder(folder)?;
        let above = folder.ancestors();
        for folder in above.take_while(|folder| *folder != self.root) {
            if fs::remove_dir(folder).is_err() {
                break;
            }
        }
        Ok(())
    }
}

/// Reading.
impl Folder {
    fn missing(&self, key: &str) -> Error {
        no_such_object(&self.root.display().to_string(), key)
    }

    fn open(&self, key: &str) -> Result<(File, Metadata)> {
        let path = self.root.join(key);
        let opened = open(&path).map_err(|e| failed("read", &path, e))?;
        opened.ok_or_else(|| self.missing(key))
    }

    fn read(&self, key: &str, mut file: File, range: Range<u64>, mut body: Vec<u8>) -> Result<Bytes> {
        let size_bytes = range.end - range.start;
        file.seek(SeekFrom::Start(range.start))
            .and_then(|_| file.take(size_bytes).read_to_end(&mut body))
            .map_err(|e| failed("read", &self.root.join(key), e))?;
        match body.len() as u64 == size_bytes {
            true => Ok(body.into()),
            false => Err(beyond_the_end(key, &range, None)),
        }
    }

    fn info(&self, key: &str) -> Result<Option<ObjectInfo>> {
        let path = self.root.join(key);
        let info = match fs::metadata(&path) {
            Err(e) if is_absent(&e) => return Ok(None),
            Ok(metadata) if metadata.is_dir() => return Ok(None),
            metadata => metadata.and_then(|metadata| {
                let (size_bytes, modified) = (metadata.len(), timestamp(&metadata)?);
                Ok(ObjectInfo { key: key.to_owned(), size_bytes, modified, storage_class: StorageClass::Local })
            }),
        };
        info.map(Some).map_err(|e| failed("look at", &path, e))
    }

    fn list_page(&self, page: &Page) -> Result<Vec<ObjectInfo>> {
        let mut found = Vec::new();
        let folder = page.prefix.rfind('/').map_or(0, |slash| slash + 1);
        self.walk(&page.prefix[..folder], page, &mut found)?;
        Ok(found)
    }

    fn walk(&self, folder: &str, page: &Page, found: &mut Vec<ObjectInfo>) -> Result<()> {
        for name in self.names(folder)? {
            if found.len() >= page.limit {
                break;
            }
            let key = format!("{folder}{name}");
            if !page.may_hold(&key) {
                continue;
            }
            if key.ends_with('/') {
                self.walk(&key, page, found)?;
            } else {
                found.extend(self.info(&key)?);
            }
        }
        Ok(())
    }

    fn list_names(&self, prefix: &str) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for name in self.names(prefix)? {
            let Some(folder) = name.strip_suffix('/') else {
                continue;
            };
            let any = Page { prefix: format!("{prefix}{name}"), after: String::new(), limit: 1 };
            if !self.list_page(&any)?.is_empty() {
                names.push(folder.to_owned());
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// What lies directly in a folder, in the order of the keys: a folder's name counts with its slash.
    fn names(&self, folder: &str) -> Result<Vec<String>> {
        let path = self.root.join(folder);
        let mut names = match names_in(&path, folder) {
            Err(e) if is_absent(&e) => Vec::new(),
            names => names.map_err(|e| failed("list", &path, e))?,
        };
        names.sort_unstable();
        Ok(names)
    }
}

/// One page of a listing.
struct Page {
    prefix: String,
    after: String,
    limit: usize,
}

impl Page {
    /// Whether this key, or any key below this folder, belongs to the page.
    fn may_hold(&self, key: &str) -> bool {
        if key.ends_with('/') {
            (key.starts_with(&self.prefix) || self.prefix.starts_with(key))
                && (key > self.after.as_str() || self.after.starts_with(key))
        } else {
            key.starts_with(&self.prefix) && key > self.after.as_str()
        }
    }
}

fn names_in(path: &Path, folder: &str) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let Ok(mut name) = entry.file_name().into_string() else {
            continue;
        };
        if !is_key(&format!("{folder}{name}")) {
            continue;
        }
        if is_folder(&entry)? {
            name.push('/');
        }
        names.push(name);
    }
    Ok(names)
}

fn is_folder(entry: &fs::DirEntry) -> io::Result<bool> {
    let file_type = match entry.file_type() {
        Err(e) if is_absent(&e) => return Ok(false),
        file_type => file_type?,
    };
    Ok(file_type.is_dir() || (file_type.is_symlink() && entry.path().is_dir()))
}

/// Opens an object; `None` if there is none.
fn open(path: &Path) -> io::Result<Option<(File, Metadata)>> {
    let file = match File::open(path) {
        Err(e) if is_absent(&e) => return Ok(None),
        file => file?,
    };
    let metadata = file.metadata()?;
    Ok((!metadata.is_dir()).then_some((file, metadata)))
}

fn same_bytes(mut file: File, body: &[u8]) -> io::Result<bool> {
    let mut piece = vec![0; body.len().min(256 * 1024)];
    for expected in body.chunks(piece.len().max(1)) {
        let piece = &mut piece[..expected.len()];
        match file.read_exact(piece) {
            Err(e) if e.kind() == ErrorKind::UnexpectedEof => return Ok(false),
            done => done?,
        }
        if piece != expected {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Gives the part its name, in a folder that a sweep may remove for being empty until the name is there.
fn name(part: NamedTempFile, path: &Path) -> Result<File, PersistError> {
    match make_folders(parent(path)) {
        Ok(()) => part.persist_noclobber(path),
        // Not the object, but a file where its folder should be.
        Err(e) if e.kind() == ErrorKind::AlreadyExists => {
            Err(PersistError { error: ErrorKind::NotADirectory.into(), file: part })
        }
        Err(error) => Err(PersistError { error, file: part }),
    }
}

/// Makes a folder and those above it, durably.
fn make_folders(path: &Path) -> io::Result<()> {
    let Some(above) = path.parent().filter(|_| !path.is_dir()) else {
        return Ok(());
    };
    make_folders(above)?;
    match DirBuilder::new().mode(0o700).create(path) {
        Err(e) if e.kind() == ErrorKind::AlreadyExists && path.is_dir() => {}
        made => made?,
    }
    File::open(above)?.sync_all().or_else(tolerate_no_flush)
}

/// Sets the time of the write to the filesystem's present.
fn stamp(file: &File) {
    let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
    let times = Timestamps { last_access: now, last_modification: now };
    if let Err(e) = futimens(file, &times) {
        // The object is there, and whole; its time is that of the write to its part.
        tracing::debug!(error = %e, "cannot set an object's time");
    }
}

/// Flushes the names in a folder. `None`: it is gone, and with it all that was to be flushed.
fn flush_folder(path: &Path) -> Result<Option<Metadata>> {
    let flushed = File::open(path).and_then(|folder| {
        folder.sync_all().or_else(tolerate_no_flush)?;
        folder.metadata().map(Some)
    });
    match flushed {
        Err(e) if is_absent(&e) => Ok(None),
        flushed => flushed.map_err(|e| failed("flush", path, e)),
    }
}

/// Some network filesystems write names through and refuse to flush a folder.
fn tolerate_no_flush(e: io::Error) -> io::Result<()> {
    match Errno::from_io_error(&e) {
        Some(Errno::INVAL | Errno::NOTSUP) => Ok(()),
        _ => Err(e),
    }
}

fn identity(metadata: &Metadata) -> Option<FolderIdentity> {
    Some(FolderIdentity { device: metadata.dev(), inode: metadata.ino(), created: metadata.created().ok()? })
}

/// Removes what killed writers left. Failing is harmless: the next writer tries again.
fn remove_old_parts(parts: &Path, fresh: &NamedTempFile) {
    let Ok(now) = fresh.as_file().metadata().and_then(|m| m.modified()) else {
        return;
    };
    for entry in fs::read_dir(parts).into_iter().flatten().flatten() {
        let modified = entry.metadata().and_then(|m| m.modified());
        let age = modified.map(|modified| now.duration_since(modified).unwrap_or_default());
        if age.is_ok_and(|age| age > PART_LIFETIME) && fs::remove_file(entry.path()).is_ok() {
            tracing::debug!(part = %entry.path().display(), "removed what a killed writer left");
        }
    }
}

fn timestamp(metadata: &Metadata) -> io::Result<Timestamp> {
    Timestamp::try_from(metadata.modified()?).map_err(io::Error::other)
}

fn parent(path: &Path) -> &Path {
    path.parent().expect("an object lies below the root")
}

fn is_absent(e: &io::Error) -> bool {
    matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

fn failed(doing: &str, path: &Path, e: io::Error) -> Error {
    let hint = hint(&e);
    let error = Error::vault(format!("cannot {doing} {}", path.display())).because(e);
    match hint {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

fn hint(e: &io::Error) -> Option<&'static str> {
    Some(match e.kind() {
        ErrorKind::StorageFull => "the disk of the vault is full: free some space, or move the vault",
        ErrorKind::QuotaExceeded => "the quota on the vault's filesystem is used up",
        ErrorKind::ReadOnlyFilesystem => "the vault's filesystem is mounted read-only",
        ErrorKind::PermissionDenied => "the vault must belong to the user that Lifeboat runs as",
        ErrorKind::IsADirectory => "a folder has the name of an object: something else writes here",
        ErrorKind::NotADirectory | ErrorKind::AlreadyExists => {
            "a file has the name of a folder: something else writes here"
        }
        ErrorKind::Unsupported => {
            "the filesystem can neither rename without replacing nor make hard links: use another"
        }
        ErrorKind::CrossesDevices => "the folders of a vault must all lie on one filesystem",
        _ => return errno_hint(Errno::from_io_error(e)?),
    })
}

fn errno_hint(errno: Errno) -> Option<&'static str> {
    match errno {
        Errno::MFILE | Errno::NFILE => Some("too many files are open: raise the limit (ulimit -n)"),
        Errno::IO => Some("the disk reports a failure: look into the kernel's log"),
        Errno::STALE => Some("the network filesystem was unmounted or replaced on its server"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::error::ErrorKind as Kind;

    fn store() -> (tempfile::TempDir, FolderStore) {
        let dir = tempfile::tempdir().unwrap();
        let store = FolderStore::new(dir.path().join("vault")).unwrap();
        (dir, store)
    }

    async fn put(store: &FolderStore, key: &str) -> Result<Put> {
        let body = Bytes::from_static(b"bytes");
        store.put_new(key, body, Tries::Many).await
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[tokio::test]
    async fn a_vault_is_its_owners_alone() {
        let (dir, store) = store();
        put(&store, "a/b").await.unwrap();
        let root = dir.path().join("vault");
        assert_eq!(mode(&root), 0o700);
        assert_eq!(mode(&root.join("a")), 0o700);
        assert_eq!(mode(&root.join(PARTS)), 0o700);
        assert_eq!(mode(&root.join("a/b")), 0o600);
    }

    #[tokio::test]
    async fn a_finished_put_leaves_nothing_but_the_object() {
        let (dir, store) = store();
        put(&store, "a/b").await.unwrap();
        put(&store, "a/b").await.unwrap();
        store.now().await.unwrap();
        let parts = fs::read_dir(dir.path().join("vault").join(PARTS)).unwrap();
        assert_eq!(parts.count(), 0);
    }

    #[tokio::test]
    async fn what_killed_writers_left_is_invisible_and_removed_after_a_day() {
        let (dir, store) = store();
        let parts = dir.path().join("vault").join(PARTS);
        fs::create_dir_all(&parts).unwrap();
        let old = File::create(parts.join("old.part")).unwrap();
        let days_ago = SystemTime::now() - PART_LIFETIME - Duration::from_secs(60);
        old.set_modified(days_ago).unwrap();
        File::create(parts.join("young.part")).unwrap();

        assert_eq!(store.list_page("", None, 10).await.unwrap(), []);
        assert_eq!(store.list_names("").await.unwrap(), [""; 0]);
        put(&store, "a").await.unwrap();
        assert!(!parts.join("old.part").exists());
        assert!(parts.join("young.part").exists());
    }

    #[tokio::test]
    async fn what_is_not_the_vaults_is_not_listed() {
        let (dir, store) = store();
        put(&store, "a/b").await.unwrap();
        let root = dir.path().join("vault");
        fs::create_dir(root.join("lost+found")).unwrap();
        fs::create_dir(root.join("empty")).unwrap();
        fs::write(root.join(".DS_Store"), "").unwrap();
        fs::write(root.join("a/notes of mine.txt"), "").unwrap();

        let listed = store.list_page("", None, 10).await.unwrap();
        let keys: Vec<&str> = listed.iter().map(|o| o.key.as_str()).collect();
        assert_eq!(keys, ["a/b"]);
        assert_eq!(store.list_names("").await.unwrap(), ["a"]);
    }

    #[tokio::test]
    async fn a_vault_in_a_missing_folder_is_empty() {
        let (_dir, store) = store();
        assert_eq!(store.list_page("", None, 10).await.unwrap(), []);
        assert_eq!(store.get("a").await.unwrap_err().kind(), Kind::NotFound);
        store.delete("a").await.unwrap();
    }

    #[tokio::test]
    async fn the_last_delete_takes_the_empty_folders_along() {
        let (dir, store) = store();
        put(&store, "a/b/c/d").await.unwrap();
        put(&store, "a/e").await.unwrap();
        store.delete("a/b/c/d").await.unwrap();
        let root = dir.path().join("vault");
        assert!(!root.join("a/b").exists());
        assert!(root.join("a/e").exists());
        put(&store, "a/b/c/d").await.unwrap();
        assert_eq!(store.get("a/b/c/d").await.unwrap(), "bytes");
    }

    #[tokio::test]
    async fn puts_survive_a_sweep_that_removes_their_folders() {
        let (_dir, store) = store();
        let sweep = async {
            for _ in 0..300 {
                store.delete("a/b/other").await.unwrap();
                put(&store, "a/b/other").await.unwrap();
            }
        };
        let puts = async {
            for _ in 0..300 {
                put(&store, "a/b/c").await.unwrap();
                store.delete("a/b/c").await.unwrap();
            }
        };
        tokio::join!(sweep, puts);
    }

    #[tokio::test]
    async fn a_full_disk_says_what_to_do() {
        let error = failed("write", Path::new("/v/a"), ErrorKind::StorageFull.into());
        assert_eq!(error.kind(), Kind::Vault);
        assert!(error.hint_text().unwrap().contains("free some space"));
    }

    #[tokio::test]
    async fn a_file_in_the_way_is_named() {
        let (dir, _) = store();
        fs::write(dir.path().join("file"), "").unwrap();
        let store = FolderStore::new(dir.path().join("file")).unwrap();
        let error = put(&store, "a").await.unwrap_err();
        assert_eq!(error.kind(), Kind::Vault);
        assert!(error.message().contains("file"), "{error}");
        assert!(error.hint_text().is_some());
    }
}

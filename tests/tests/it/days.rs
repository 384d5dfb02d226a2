//! A store in which days pass between two requests.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use lifeboat::Result;
use lifeboat::store::{Deletion, ObjectHead, ObjectInfo, ObjectStore, Put, Tries};

/// What is made after a day has passed is a day younger.
#[derive(Debug)]
pub struct Days {
    inner: Arc<dyn ObjectStore>,
    /// How far its clock is ahead, in minutes.
    ahead: AtomicI64,
    /// By how much it was, when an object was made.
    made: Mutex<BTreeMap<String, SignedDuration>>,
}

impl Days {
    pub fn over(inner: Arc<dyn ObjectStore>) -> Arc<Self> {
        Arc::new(Self { inner, ahead: AtomicI64::new(0), made: Mutex::default() })
    }

    pub fn ahead(&self) -> SignedDuration {
        SignedDuration::from_mins(self.ahead.load(Ordering::SeqCst))
    }

    pub fn pass(&self, by: SignedDuration) {
        self.ahead.fetch_add(by.as_secs() / 60, Ordering::SeqCst);
    }

    fn dated(&self, info: ObjectInfo) -> ObjectInfo {
        let ahead = self.made.lock().unwrap().get(&info.key).copied().unwrap_or_default();
        ObjectInfo { modified: info.modified + ahead, ..info }
    }
}

#[async_trait]
impl ObjectStore for Days {
    fn location(&self) -> String {
        self.inner.location()
    }

    async fn put_new_hashed(&self, key: &str, body: Bytes, sha256: [u8; 32], tries: Tries) -> Result<Put> {
        self.made.lock().unwrap().entry(key.to_owned()).or_insert_with(|| self.ahead());
        self.inner.put_new_hashed(key, body, sha256, tries).await
    }

    async fn put_archived(&self, key: &str, body: Bytes, sha256: [u8; 32]) -> Result<Put> {
        self.made.lock().unwrap().entry(key.to_owned()).or_insert_with(|| self.ahead());
        self.inner.put_archived(key, body, sha256).await
    }

    async fn get(&self, key: &str) -> Result<Bytes> {
        self.inner.get(key).await
    }

    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes> {
        self.inner.get_range(key, range).await
    }

    async fn head(&self, key: &str) -> Result<ObjectHead> {
        let head = self.inner.head(key).await?;
        Ok(ObjectHead { info: self.dated(head.info), ..head })
    }

    async fn list_page(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<ObjectInfo>> {
        let page = self.inner.list_page(prefix, after, limit).await?;
        Ok(page.into_iter().map(|info| self.dated(info)).collect())
    }

    async fn list_names(&self, prefix: &str) -> Result<Vec<String>> {
        self.inner.list_names(prefix).await
    }

    async fn delete(&self, key: &str) -> Result<Deletion> {
        self.inner.delete(key).await
    }

    fn host_time(&self) -> Timestamp {
        self.inner.host_time() + self.ahead()
    }

    async fn now(&self) -> Result<Timestamp> {
        Ok(self.inner.now().await? + self.ahead())
    }
}

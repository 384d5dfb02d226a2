//! Secrets that were fetched a short while ago, so that a function that is invoked often does not ask each time.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use secrecy::SecretString;

/// Whole secrets by their ids; nothing unless a time to live was given.
#[derive(Default)]
pub struct Remembered {
    ttl: Duration,
    /// By the time of day: the monotonic clock may stand still while a function is frozen.
    secrets: Mutex<HashMap<String, (SystemTime, SecretString)>>,
}

impl Remembered {
    pub fn new(ttl: Duration) -> Self {
        Self { ttl, secrets: Mutex::default() }
    }

    /// The secret, unless it is older than the time to live at `now`, or comes from the future.
    pub fn get(&self, id: &str, now: SystemTime) -> Option<SecretString> {
        let secrets = self.lock();
        let (at, secret) = secrets.get(id)?;
        let age = now.duration_since(*at).ok()?;
        (age < self.ttl).then(|| secret.clone())
    }

    pub fn put(&self, id: &str, secret: &SecretString, now: SystemTime) {
        if !self.ttl.is_zero() {
            self.lock().insert(id.to_owned(), (now, secret.clone()));
        }
    }

    pub fn forget(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, (SystemTime, SecretString)>> {
        self.secrets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn a_secret_is_remembered_for_its_time_and_forgotten_on_demand() {
        let remembered = Remembered::new(Duration::from_secs(60));
        let begin = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000);
        let known = |after: u64| {
            let found = remembered.get("a", begin + Duration::from_secs(after));
            found.map(|secret| secret.expose_secret().to_owned())
        };
        remembered.put("a", &"hunter2".into(), begin);
        assert_eq!(known(59).as_deref(), Some("hunter2"));
        assert_eq!(known(60), None);
        assert!(remembered.get("a", begin - Duration::from_secs(1)).is_none(), "the clock was set back");
        assert!(remembered.get("b", begin).is_none());
        remembered.forget();
        assert_eq!(known(0), None);
    }

    #[test]
    fn without_a_time_to_live_nothing_is_kept() {
        let remembered = Remembered::default();
        let now = SystemTime::now();
        remembered.put("a", &"hunter2".into(), now);
        assert!(remembered.get("a", now).is_none() && remembered.lock().is_empty());
    }
}

//! A speed limit that all readers share.

use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

/// Lets bytes pass at a steady rate, or at once when there is no limit.
pub struct Pace(Option<Limit>);

struct Limit {
    bytes_per_s: f64,
    /// When everything that was let pass so far is paid for.
    free_at: Mutex<Instant>,
}

impl Pace {
    pub fn new(bytes_per_s: Option<u64>) -> Self {
        Self(bytes_per_s.map(|rate| Limit { bytes_per_s: rate.max(1) as f64, free_at: Mutex::new(Instant::now()) }))
    }

    /// Returns once `bytes` may pass.
    pub async fn wait(&self, bytes: u64) {
        if let Some(limit) = &self.0 {
            let until = limit.book(bytes, Instant::now());
            tokio::time::sleep_until(until).await;
        }
    }
}

impl Limit {
    /// Books the time that `bytes` take; gives when they may pass. Time that nobody used is not saved up.
    fn book(&self, bytes: u64, now: Instant) -> Instant {
        let mut free_at = self.free_at.lock().expect("no panic while held");
        let begin = (*free_at).max(now);
        *free_at = begin + Duration::from_secs_f64(bytes as f64 / self.bytes_per_s);
        begin
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_pass_at_the_rate_and_idle_time_is_not_saved_up() {
        let start = Instant::now();
        let limit = Limit { bytes_per_s: 100.0, free_at: Mutex::new(start) };
        let after = |s| start + Duration::from_secs(s);
        assert_eq!(limit.book(200, start), start);
        assert_eq!(limit.book(100, start), after(2));
        assert_eq!(limit.book(100, after(10)), after(10));
        assert_eq!(limit.book(1, after(10)), after(11));
    }
}

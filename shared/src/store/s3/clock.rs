//! The store's clock, read off the `Date` of its answers.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use aws_sdk_s3::config::interceptors::BeforeDeserializationInterceptorContextRef;
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;
use aws_sdk_s3::primitives::{DateTime, DateTimeFormat};
use jiff::{SignedDuration, Timestamp};

/// How long an answer's date counts.
const FRESH: Duration = Duration::from_secs(30);

/// The time of the newest answer, with this host's clocks at its arrival. `Date` has whole seconds, so the reading is late by
/// less than a second and the way here.
#[derive(Debug, Clone, Default)]
pub(super) struct StoreClock(Arc<Mutex<Option<Reading>>>);

#[derive(Debug, Clone, Copy)]
struct Reading {
    date: Timestamp,
    monotonic: Instant,
    wall: SystemTime,
}

impl StoreClock {
    /// The store's time; `None` if no recent answer tells.
    pub fn now(&self) -> Option<Timestamp> {
        let reading = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        reading.and_then(|reading| reading.continued(Instant::now(), SystemTime::now()))
    }

    fn record(&self, date: &str) {
        let Some(date) = DateTime::from_str(date, DateTimeFormat::HttpDate).ok().and_then(|date| timestamp(&date))
        else {
            return;
        };
        let reading = Reading { date, monotonic: Instant::now(), wall: SystemTime::now() };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(reading);
    }
}

impl Reading {
    /// A machine that slept (a Lambda between invocations, a closed laptop) stops the one clock and not the other: then, as
    /// after [`FRESH`], the reading says nothing any more.
    fn continued(&self, monotonic: Instant, wall: SystemTime) -> Option<Timestamp> {
        let elapsed = monotonic.duration_since(self.monotonic);
        let by_wall = wall.duration_since(self.wall).unwrap_or(Duration::MAX);
        let usable = elapsed < FRESH && by_wall.abs_diff(elapsed) < Duration::from_secs(1);
        usable.then(|| self.date + SignedDuration::try_from(elapsed).unwrap_or_default())
    }
}

impl Intercept for StoreClock {
    fn name(&self) -> &'static str {
        "StoreClock"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(date) = context.response().headers().get("date") {
            self.record(date);
        }
        Ok(())
    }
}

pub(super) fn timestamp(time: &DateTime) -> Option<Timestamp> {
    Timestamp::new(time.secs(), time.subsec_nanos().try_into().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(monotonic_ms: u64, wall_ms: u64) -> Option<SignedDuration> {
        let reading = Reading { date: Timestamp::UNIX_EPOCH, monotonic: Instant::now(), wall: SystemTime::now() };
        let monotonic = reading.monotonic + Duration::from_millis(monotonic_ms);
        let wall = reading.wall + Duration::from_millis(wall_ms);
        reading.continued(monotonic, wall).map(|now| now.duration_since(Timestamp::UNIX_EPOCH))
    }

    #[test]
    fn the_clock_runs_on_from_the_last_answer() {
        assert_eq!(after(1500, 1400), Some(SignedDuration::from_millis(1500)));
    }

    #[test]
    fn an_old_answer_or_a_sleep_since_makes_the_clock_ask_again() {
        assert_eq!(after(30_000, 30_000), None);
        assert_eq!(after(100, 600_000), None);
        assert_eq!(after(20_000, 10_000), None);
    }

    #[test]
    fn dates_of_answers_are_understood() {
        let clock = StoreClock::default();
        clock.record("gibberish");
        assert_eq!(clock.now(), None);
        clock.record("Sat, 21 Nov 2026 02:00:00 GMT");
        let now = clock.now().unwrap();
        assert!(now.to_string().starts_with("2026-11-21T02:00:0"), "{now}");
    }
}

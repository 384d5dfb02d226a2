//! Which backups of a database stay, and which go.
//!
//! [`retention_plan`] is a pure function from what is known about each backup, the policy, the time and the time zone to one
//! [`Decision`] per backup, with every reason. `cleanup --dry-run` prints that value, and `cleanup` acts on it after
//! [`guard::check`] had nothing against it. Before the sweep makes an expiry final it asks [`reconsider`].
//!
//! # What counts
//!
//! A backup *fills a quota*, which is to say that older ones may go because it is there, if it is complete (of purpose
//! `backup`), live, [verified](Proof), and not dated in the future. Nothing else ever makes another backup expire.
//!
//! # Rules of a tier
//!
//! A backup stays as long as any rule wants it; rules know nothing of each other, so that a number means the same whatever
//! stands beside it, more of anything never deletes more, and one backup may be the newest of its day, week and month at
//! once, as in restic. (In borg a backup that one rule keeps does not count for the next.)
//!
//! - `keep_last` counts backups, not days: when backups stop coming, nothing goes.
//! - `keep_hourly` … `keep_yearly` keep the **newest** backup of each of the last so many hours, …, years *that have one*, as
//!   restic and borg do. Periods are those of the calendar in the configured time zone; weeks are ISO weeks, of ISO years. The
//!   newest shows the period as it ended, which is what people look for ("the books at the end of March"), and it settles
//!   down by itself: a period that is over never gets a newer backup, so its keeper stays until the whole period is too old.
//!   The oldest would do so too, but would show March as it began, and for today a state that is nearly a day old.
//! - While there are fewer periods than the rule asks for, the oldest backup stays as well, again as restic and borg: who
//!   asks for seven years can go back as far as possible also in the first.
//! - `keep_for` is a time, not a quota: it holds for unverified and partial backups, too.
//! - `keep_at_least` is the number of newest verified backups that stay however old they are.
//!
//! A tier without rules keeps everything.
//!
//! `docs/pictures/retention-gfs.svg` shows what that leaves of hourly backups over ten years.
//!
//! # Whatever the rules say
//!
//! - A hold in force keeps.
//! - The newest verified complete backup of the database stays.
//! - A backup that is dated in the future stays, and fills no quota: some clock was wrong, and nobody knows which.
//! - A backup that was never verified stays for `unverified_for`, and one whose verification failed for as long after the
//!   failure, so that somebody can look into it. Even then they go only after `keep_at_least` newer ones of their tier
//!   were verified: where nobody verifies, nothing is deleted.
//! - Safety backups stay for `safety_for`, whatever their tier says; partial ones for `partial_for`, and for the `keep_for` of
//!   their tier where that is longer.
//!
//! # Why it is steady
//!
//! Expiring what the plan says and planning again expires nothing more: all that a rule counts is kept by that rule. A backup
//! that expired stays so as time goes on and backups are added, for every rule looks from the newest back. What can make it
//! wanted again is a newer one that is deleted or fails its verification, or a longer policy: that is what [`reconsider`] finds.

mod calendar;
mod candidate;
pub mod guard;
mod plan;
mod policy;
mod reason;
#[cfg(test)]
mod tests;

pub use calendar::{Bucket, Period};
pub use candidate::{Candidate, Proof, Standing, StandingHold};
pub use plan::{Decision, Outcome, RetentionPlan, reconsider, retention_plan};
pub use policy::{Policy, Preset, TierRules};
pub use reason::{Expire, Keep};

//! Shows how an operation gets on: a bar with rate, time left and dedup share on a terminal, else a line now and then.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use lifeboat::ops::{Event, Observer, Progress};

use crate::human;
use crate::paint::Paint;
use crate::screen::Screen;

/// Between two lines where no terminal shows a bar.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// An [`Observer`] that writes to the screen.
pub struct Reporter {
    screen: Screen,
    paint: Paint,
    manner: Manner,
    state: Mutex<State>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    Bar,
    Lines,
    /// Warnings only.
    Quiet,
}

struct State {
    step: &'static str,
    expected_bytes: u64,
    done: Progress,
    step_began: Instant,
    last_line: Instant,
    bar: Option<ProgressBar>,
}

impl Reporter {
    pub fn new(screen: Screen, paint: Paint, manner: Manner) -> Self {
        let now = Instant::now();
        let state = State {
            step: "",
            expected_bytes: 0,
            done: Progress::default(),
            step_began: now,
            last_line: now,
            bar: None,
        };
        Self { screen, paint, manner, state: Mutex::new(state) }
    }

    fn begin(&self, state: &mut State, name: &'static str) {
        let now = Instant::now();
        state.step = name;
        (state.expected_bytes, state.done) = (0, Progress::default());
        (state.step_began, state.last_line) = (now, now);
        match self.manner {
            Manner::Bar => {
                let bar = ProgressBar::new_spinner().with_style(spinner()).with_message(name);
                bar.enable_steady_tick(Duration::from_millis(120));
                self.screen.clear();
                self.screen.show(&bar);
                state.bar = Some(bar);
            }
            Manner::Lines => self.screen.say(&format!("{name} …")),
            Manner::Quiet => {}
        }
    }

    fn expect(&self, state: &mut State, total_bytes: u64, tables: u64) {
        state.expected_bytes = total_bytes;
        let what = format!("{}, {}", human::counted(tables, "table"), human::bytes(total_bytes));
        match (self.manner, &state.bar) {
            (Manner::Bar, Some(bar)) if total_bytes > 0 => {
                bar.set_length(total_bytes);
                bar.set_style(measured());
                bar.reset_eta();
            }
            (Manner::Lines, _) => self.screen.say(&format!("{}: {what}", state.step)),
            _ => {}
        }
    }

    fn advance(&self, state: &mut State, by: &Progress) {
        let done = &mut state.done;
        done.expected_bytes += by.expected_bytes;
        done.plaintext_bytes += by.plaintext_bytes;
        done.new_bytes += by.new_bytes;
        done.reused_bytes += by.reused_bytes;
        done.rows += by.rows;
        if let Some(bar) = &state.bar {
            bar.set_position(done.expected_bytes);
            bar.set_message(said(state.step, details(done, state.step_began.elapsed())));
        }
        if self.manner == Manner::Lines && state.last_line.elapsed() >= LINE_EVERY {
            state.last_line = Instant::now();
            self.screen.say(&line(state.step, state.expected_bytes, done, state.step_began.elapsed()));
        }
    }
}

impl Observer for Reporter {
    fn on(&self, event: &Event) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Step { name } => {
                tracing::info!(step = name);
                self.begin(&mut state, name);
            }
            Event::Expect { total_bytes, tables } => self.expect(&mut state, *total_bytes, *tables),
            Event::Advance(by) => self.advance(&mut state, by),
            Event::Warning { text } | Event::Untold { text } => {
                self.screen.say(&format!("{} {text}", self.paint.warn("warning:")))
            }
        }
    }
}

fn spinner() -> ProgressStyle {
    ProgressStyle::with_template("{spinner} {msg}  {elapsed}").expect("a constant template")
}

fn measured() -> ProgressStyle {
    const TEMPLATE: &str = "{spinner} [{bar:20}] {percent:>3} %  {eta} left  {wide_msg}";
    ProgressStyle::with_template(TEMPLATE).expect("a constant template").progress_chars("=> ")
}

/// `6.0 MB/s`, `1,200 rows`, `91 % reused`
fn details(done: &Progress, elapsed: Duration) -> impl Iterator<Item = String> {
    // What --max-rate limits; steps that read no rows tell what they do read.
    let bytes = if done.plaintext_bytes > 0 { done.plaintext_bytes } else { done.expected_bytes };
    let rate = bytes as f64 / elapsed.as_secs_f64().max(0.001);
    let rate = (bytes > 0).then(|| format!("{}/s", human::bytes(rate as u64)));
    let rows = (done.rows > 0).then(|| human::counted(done.rows, "row"));
    let reused = human::share(done.reused_bytes, done.reused_bytes + done.new_bytes).filter(|_| done.reused_bytes > 0);
    rate.into_iter().chain(rows).chain(reused.map(|share| format!("{share} reused")))
}

/// `rows: 45 %, 13 s left, 12 MB/s, 1,200 rows, 91 % reused`
fn line(step: &str, expected_bytes: u64, done: &Progress, elapsed: Duration) -> String {
    let share = human::share(done.expected_bytes, expected_bytes);
    let left = expected_bytes.saturating_sub(done.expected_bytes) as f64 / done.expected_bytes.max(1) as f64;
    let left = elapsed.as_secs_f64() * left;
    let left = (done.expected_bytes > 0).then(|| format!("{} left", human::whole_seconds(left as u64)));
    said(step, share.into_iter().chain(left).chain(details(done, elapsed)))
}

fn said(step: &str, parts: impl Iterator<Item = String>) -> String {
    format!("{step}: {}", parts.collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_share_rate_time_left_and_dedup() {
        let done = Progress {
            expected_bytes: 30_000_000,
            plaintext_bytes: 60_000_000,
            new_bytes: 1_000_000,
            reused_bytes: 9_000_000,
            rows: 1234,
        };
        assert_eq!(
            line("rows", 120_000_000, &done, Duration::from_secs(10)),
            "rows: 25 %, 30 s left, 6.0 MB/s, 1,234 rows, 90 % reused"
        );
    }

    #[test]
    fn a_step_of_unknown_length_tells_what_is_known() {
        let done = Progress { rows: 7, ..Progress::default() };
        assert_eq!(line("schema", 0, &done, Duration::from_secs(1)), "schema: 7 rows");
    }

    #[test]
    fn the_bars_are_well_formed() {
        let _ = (spinner(), measured());
    }
}

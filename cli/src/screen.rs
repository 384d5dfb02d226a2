//! Standard error, shared by progress, logs and messages, so that none of them tears another.

use std::io::{IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};

use indicatif::ProgressBar;

/// Everything that is not the answer goes here. Cheap to clone.
#[derive(Clone, Default)]
pub struct Screen(Arc<Mutex<Option<ProgressBar>>>);

impl Screen {
    pub fn is_terminal() -> bool {
        std::io::stderr().is_terminal()
    }

    /// Shows `bar` below everything that is said from now on.
    pub fn show(&self, bar: &ProgressBar) {
        *self.lock() = Some(bar.clone());
    }

    /// Takes the bar away.
    pub fn clear(&self) {
        if let Some(bar) = self.lock().take() {
            bar.finish_and_clear();
        }
    }

    /// One line, or several.
    pub fn say(&self, text: &str) {
        self.write(format!("{}\n", text.trim_end()).as_bytes());
    }

    /// A question, answered on the same line.
    pub fn ask(&self, text: &str) {
        self.write(text.as_bytes());
    }

    fn write(&self, bytes: &[u8]) {
        // Who closed standard error does not want to read it.
        let write = || drop(std::io::stderr().write_all(bytes));
        match &*self.lock() {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<ProgressBar>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// For the log: an event arrives in one piece.
impl Write for Screen {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        Self::write(self, bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

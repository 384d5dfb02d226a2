//! What a verb answers, and how it is printed: the answer on standard output, everything else on standard error.

use std::io::Write;
use std::process::ExitCode;

use lifeboat::{Error, ErrorKind, Result};
use serde::Serialize;

use crate::args::Common;
use crate::paint::Paint;
use crate::screen::Screen;

/// The outcome of an operation that ran to its end.
pub struct Answer {
    json: String,
    text: String,
    /// The answer is worth printing although it is bad news: a verification that failed.
    failed: Option<Error>,
}

impl Answer {
    /// `json` is the contract with scripts, `text` the same for people.
    pub fn new(json: &impl Serialize, text: impl Into<String>) -> Self {
        Self { json: in_lines(json), text: text.into(), failed: None }
    }

    #[must_use]
    pub fn failed_with(mut self, error: Option<Error>) -> Self {
        self.failed = error;
        self
    }
}

pub struct Printer {
    json: bool,
    stdout: Paint,
    stderr: Paint,
    screen: Screen,
}

impl Printer {
    pub fn new(common: &Common, screen: Screen) -> Self {
        Self {
            json: common.json,
            stdout: Paint::for_stream(common.color, &std::io::stdout()),
            stderr: Paint::for_stream(common.color, &std::io::stderr()),
            screen,
        }
    }

    /// For the text of answers.
    pub fn paint(&self) -> Paint {
        self.stdout
    }

    /// Prints the answer or the error, and gives the exit code that says which it was.
    pub fn print(&self, answer: Result<Answer>) -> ExitCode {
        self.screen.clear();
        match answer {
            Ok(Answer { json, text, failed }) => {
                print(&if self.json { json } else { text });
                match failed {
                    None => ExitCode::SUCCESS,
                    Some(error) => self.explain(&error),
                }
            }
            Err(error) => {
                if self.json {
                    print(&in_lines(&error.to_json()));
                }
                self.explain(&error)
            }
        }
    }

    fn explain(&self, error: &Error) -> ExitCode {
        self.screen.say(&format!("{} {}", self.stderr.bad("error:"), error.message()));
        if let Some(hint) = error.hint_text() {
            self.screen.say(&format!("{} {hint}", self.stderr.good(" hint:")));
        }
        ExitCode::from(error.kind().exit_code())
    }
}

fn in_lines(json: &impl Serialize) -> String {
    serde_json::to_string_pretty(json).expect("reports are plain values") + "\n"
}

/// Who closed standard output, as `head` does, has read enough.
fn print(text: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

/// Prints why the command line was not understood, or the help that was asked for.
pub fn refuse(refused: &clap::Error) -> ExitCode {
    // A closed stream changes nothing about the answer.
    let _ = refused.print();
    if !refused.use_stderr() {
        return ExitCode::SUCCESS;
    }
    if std::env::args_os().any(|arg| arg == "--json") {
        let text = refused.to_string();
        let message = text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
        print(&in_lines(&Error::usage(message).hint("see lifeboat --help").to_json()));
    }
    ExitCode::from(ErrorKind::Usage.exit_code())
}

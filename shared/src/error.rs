//! One error for the whole engine. Its [`ErrorKind`] owns the exit code, whether a retry can
//! help and whether people are alerted; its message says what happened, to what, and what to do.

use std::fmt;

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The documented outcomes of an operation, see `docs/cli.md`, "Exit codes".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// A fault in Lifeboat itself.
    Bug,
    /// The command or event was not understood.
    Usage,
    /// Configuration or a secret is missing or wrong.
    Configuration,
    /// A preflight check refused the work before anything was changed.
    Preflight,
    /// The database could not be reached, or was lost on the way.
    Database,
    /// The vault could not be read or written.
    Vault,
    /// Somebody else holds what is needed, or won a race.
    Conflict,
    /// A backup, or a part of one, is not what it says it is.
    Verification,
    /// No such backup, database, table or vault.
    NotFound,
    /// The operation destroys something and was not confirmed.
    Confirmation,
    /// The deadline, or a request to stop, came before the end of the work.
    OutOfTime,
}

impl ErrorKind {
    /// Exit code of the command line; part of the contract with scripts.
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Bug => 1,
            Self::Usage => 2,
            Self::Configuration => 3,
            Self::Preflight => 4,
            Self::Database => 5,
            Self::Vault => 6,
            Self::Conflict => 7,
            Self::Verification => 8,
            Self::NotFound => 9,
            Self::Confirmation => 10,
            Self::OutOfTime => 11,
        }
    }

    /// Stable name: `kind` in JSON errors and `errorType` of the Lambda functions.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bug => "bug",
            Self::Usage => "usage",
            Self::Configuration => "configuration",
            Self::Preflight => "preflight_refused",
            Self::Database => "database_unreachable",
            Self::Vault => "vault_unreachable",
            Self::Conflict => "conflict",
            Self::Verification => "verification_failed",
            Self::NotFound => "not_found",
            Self::Confirmation => "confirmation_needed",
            Self::OutOfTime => "out_of_time",
        }
    }

    /// Whether the same call, repeated later unchanged, can succeed.
    pub const fn is_transient(self) -> bool {
        matches!(self, Self::Database | Self::Vault | Self::Conflict | Self::OutOfTime)
    }
}

/// What went wrong, to what, and what to do about it. Never holds a secret or a row.
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    message: String,
    hint: Option<String>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner { kind, message: message.into(), hint: None, source: None }))
    }

    /// What the reader should do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// The error underneath. Its text is shown, so it must hold neither secret nor row.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Puts what was being done in front of the message.
    #[must_use]
    pub fn context(mut self, doing: impl fmt::Display) -> Self {
        self.0.message = format!("{doing}: {}", self.0.message);
        self
    }

    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The message with its causes, on one line.
    pub fn message(&self) -> String {
        self.to_string()
    }

    pub fn hint_text(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// `{"error":{"kind","message","hint"}}`, as the command line prints it with `--json`.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({"error": {
            "kind": self.kind().name(),
            "message": self.message(),
            "hint": self.hint_text(),
        }})
    }
}

/// One constructor per kind, so that call sites read as a sentence.
macro_rules! constructors {
    ($($name:ident => $kind:ident),* $(,)?) => {
        impl Error {
            $(pub fn $name(message: impl Into<String>) -> Self {
                Self::new(ErrorKind::$kind, message)
            })*
        }
    };
}

constructors! {
    bug => Bug,
    usage => Usage,
    configuration => Configuration,
    preflight => Preflight,
    database => Database,
    vault => Vault,
    conflict => Conflict,
    verification => Verification,
    not_found => NotFound,
    confirmation => Confirmation,
    out_of_time => OutOfTime,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        let mut cause: Option<&(dyn std::error::Error + 'static)> = self.0.source.as_deref().map(|e| e as _);
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self, self.kind().name())
    }
}

impl std::error::Error for Error {}

/// For a message: the first of the names, and how many more there are than these `most`.
pub(crate) fn name_some(names: &[String], most: usize) -> String {
    let first = names[..names.len().min(most)].join(", ");
    match names.len().saturating_sub(most) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_shows_its_causes_once_and_its_hint_apart() {
        let error = Error::vault("cannot write manifest.json")
            .because(std::io::Error::other("disk full"))
            .hint("free some space")
            .context("publishing backup b1");
        assert_eq!(error.message(), "publishing backup b1: cannot write manifest.json: disk full");
        assert_eq!(
            error.to_json(),
            serde_json::json!({"error": {
                "kind": "vault_unreachable",
                "message": "publishing backup b1: cannot write manifest.json: disk full",
                "hint": "free some space",
            }})
        );
    }

    #[test]
    fn exit_codes_are_the_documented_ones() {
        use ErrorKind::*;
        let kinds = [
            Bug,
            Usage,
            Configuration,
            Preflight,
            Database,
            Vault,
            Conflict,
            Verification,
            NotFound,
            Confirmation,
            OutOfTime,
        ];
        let codes: Vec<u8> = kinds.iter().map(|k| k.exit_code()).collect();
        assert_eq!(codes, (1..=11).collect::<Vec<u8>>());
    }
}

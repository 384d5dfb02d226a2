//! What a store keeps an object as, which decides what it costs and how fast it can be read.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::Serialize;

use crate::error::{Error, Result};

/// S3's storage classes, and one for what is not S3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StorageClass {
    /// A folder, or memory: nobody sends a bill for it.
    Local,
    Standard,
    IntelligentTiering,
    StandardIa,
    OnezoneIa,
    GlacierIr,
    Glacier,
    DeepArchive,
    /// One that we do not know, such as another maker's.
    Other,
}

impl StorageClass {
    pub const ALL: [Self; 9] = [
        Self::Local,
        Self::Standard,
        Self::IntelligentTiering,
        Self::StandardIa,
        Self::OnezoneIa,
        Self::GlacierIr,
        Self::Glacier,
        Self::DeepArchive,
        Self::Other,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Standard => "standard",
            Self::IntelligentTiering => "intelligent_tiering",
            Self::StandardIa => "standard_ia",
            Self::OnezoneIa => "onezone_ia",
            Self::GlacierIr => "glacier_ir",
            Self::Glacier => "glacier",
            Self::DeepArchive => "deep_archive",
            Self::Other => "other",
        }
    }

    /// By the name that S3 gives it; where it gives none, it means its standard.
    pub fn of_s3(name: Option<&str>) -> Self {
        let Some(name) = name else { return Self::Standard };
        let known = Self::ALL.into_iter().filter(|class| !matches!(class, Self::Local | Self::Other));
        known.into_iter().find(|class| class.as_str().eq_ignore_ascii_case(name)).unwrap_or(Self::Other)
    }

    /// Whether objects have to be thawed, for hours, before they can be read.
    pub const fn is_frozen(self) -> bool {
        matches!(self, Self::Glacier | Self::DeepArchive)
    }
}

/// How fast a frozen object comes back, which decides what it costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ThawTier {
    Expedited,
    Standard,
    Bulk,
}

impl ThawTier {
    pub const ALL: [Self; 3] = [Self::Expedited, Self::Standard, Self::Bulk];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Expedited => "expedited",
            Self::Standard => "standard",
            Self::Bulk => "bulk",
        }
    }

    /// The longest that S3 says it takes, in minutes; `None` for what the class does not offer.
    pub const fn at_most_minutes(self, class: StorageClass) -> Option<u32> {
        match (class, self) {
            (StorageClass::Glacier, Self::Expedited) => Some(5),
            (StorageClass::Glacier, Self::Standard) => Some(5 * 60),
            (StorageClass::Glacier, Self::Bulk) | (StorageClass::DeepArchive, Self::Standard) => Some(12 * 60),
            (StorageClass::DeepArchive, Self::Bulk) => Some(48 * 60),
            _ => None,
        }
    }
}

impl fmt::Display for ThawTier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for ThawTier {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let unknown = || Error::usage(format!("{text:?} is no speed of thawing")).hint("expedited, standard or bulk");
        Self::ALL.into_iter().find(|tier| tier.as_str() == text).ok_or_else(unknown)
    }
}

/// Whether an object of a class that freezes can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Thaw {
    /// It is of another class.
    NotNeeded,
    /// Nobody has asked for it.
    Frozen,
    Underway,
    /// It can be read until then, if the store says until when.
    Done(Option<Timestamp>),
}

impl fmt::Display for StorageClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_go_by_the_names_of_s3() {
        for (name, class) in [
            ("STANDARD", StorageClass::Standard),
            ("GLACIER", StorageClass::Glacier),
            ("GLACIER_IR", StorageClass::GlacierIr),
            ("DEEP_ARCHIVE", StorageClass::DeepArchive),
            ("INTELLIGENT_TIERING", StorageClass::IntelligentTiering),
            ("EXPRESS_ONEZONE", StorageClass::Other),
            ("LOCAL", StorageClass::Other),
        ] {
            assert_eq!(StorageClass::of_s3(Some(name)), class, "{name}");
        }
        assert_eq!(StorageClass::of_s3(None), StorageClass::Standard);
    }

    #[test]
    fn every_class_that_freezes_thaws_in_the_usual_way() {
        for class in StorageClass::ALL {
            assert_eq!(ThawTier::Standard.at_most_minutes(class).is_some(), class.is_frozen(), "{class}");
        }
        for tier in ThawTier::ALL {
            assert_eq!(tier.to_string().parse::<ThawTier>().unwrap(), tier);
        }
        assert!("fast".parse::<ThawTier>().is_err());
    }
}

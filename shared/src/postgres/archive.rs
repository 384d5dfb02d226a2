//! Reads the header and the table of contents of a `pg_dump --format=custom` archive.
//!
//! A schema-only archive is nothing but its table of contents: one [`Entry`] per object with the SQL that makes it, in an
//! order that respects dependencies. Lifeboat reads it itself because `pg_restore` 17 and newer cannot talk to older
//! servers, and to decide entry by entry what to run, where and when.
//!
//! The layout, as PostgreSQL writes it (`pg_backup_archiver.c`):
//!
//! ```text
//! "PGDMP" | major, minor, revision | integer size | offset size | format (1 = custom) | compression
//! creation time: 7 integers | database name | server version | pg_dump version
//! number of entries, then per entry: numbers and strings, dependencies as strings up to a null one, data offset
//! integer = sign byte, magnitude little-endian | string = integer length (negative: null), bytes
//! ```
//!
//! An archive comes from a vault that others may write to: nothing here trusts a length, and memory stays proportional to
//! the bytes given.

use std::collections::BTreeSet;
use std::fmt;

use crate::error::{Error, Result};
use crate::model::TableName;

/// Oldest format understood: `pg_dump` of PostgreSQL 9.0.
const OLDEST: FormatVersion = FormatVersion { major: 1, minor: 12, revision: 0 };
/// Newest format understood: `pg_dump` of PostgreSQL 17 and 18.
const NEWEST: FormatVersion = FormatVersion { major: 1, minor: 16, revision: u8::MAX };
const WITH_ACCESS_METHOD: u8 = 14;
const WITH_COMPRESSION_NAME: u8 = 15;
const WITH_RELKIND: u8 = 16;

const MAGIC: &[u8] = b"PGDMP";
const CUSTOM_FORMAT: u8 = 1;

/// The table of contents of an archive, in the archive's order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archive {
    pub header: Header,
    pub entries: Vec<Entry>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    pub format: FormatVersion,
    /// Name of the database that was dumped.
    pub database: String,
    /// Version of the server that was dumped, as it calls itself: `18.4 (Debian 18.4-1)`.
    pub server_version: String,
    /// Version of the `pg_dump` that wrote the archive.
    pub pg_dump_version: String,
}

impl Header {
    /// Major version of the server that was dumped, when its name starts with a number.
    pub fn server_major(&self) -> Option<u32> {
        major(&self.server_version)
    }
}

/// Major version in a version of PostgreSQL's programs.
pub fn major(version: &str) -> Option<u32> {
    version.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// Version of the archive format, not of PostgreSQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct FormatVersion {
    pub major: u8,
    pub minor: u8,
    pub revision: u8,
}

impl fmt::Display for FormatVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// Number of an entry, unique in its archive; what dependencies refer to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DumpId(pub u32);

impl fmt::Display for DumpId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Part of a restore that an entry belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Section {
    /// Comments, privileges and labels: with the entries before them.
    None,
    PreData,
    Data,
    PostData,
}

/// One object, or one property of an object, with the SQL that makes it.
///
/// `Debug` leaves the SQL out: user mappings and subscriptions hold passwords.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    pub dump_id: DumpId,
    /// Oid of the catalogue that holds the object (`1259`: `pg_class`); 0 for what has no row of its own.
    pub catalog_oid: u32,
    /// Oid of the object in the server that was dumped.
    pub oid: u32,
    /// Name for people; not unique, not quoted.
    pub tag: String,
    /// Kind of object: `TABLE`, `FK CONSTRAINT`, `ACL`, …
    pub desc: String,
    pub section: Section,
    /// SQL that makes the object; may hold several statements, or none.
    pub definition: String,
    pub drop_statement: String,
    pub copy_statement: String,
    pub schema: Option<String>,
    /// `None`: has no tablespace; empty: the database's default.
    pub tablespace: Option<String>,
    pub access_method: Option<String>,
    /// `pg_class.relkind` of a table.
    pub relkind: Option<char>,
    /// Empty: has no owner.
    pub owner: String,
    pub dependencies: Vec<DumpId>,
    /// Whether the archive may hold data for it.
    pub had_dumper: bool,
}

impl Entry {
    /// Kind, schema and name, as errors and reports call the object.
    pub fn name(&self) -> String {
        match &self.schema {
            Some(schema) => format!("{} {schema}.{}", self.desc, self.tag),
            None => format!("{} {}", self.desc, self.tag),
        }
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("dump_id", &self.dump_id.0)
            .field("name", &self.name())
            .field("section", &self.section)
            .field("dependencies", &self.dependencies)
            .finish_non_exhaustive()
    }
}

/// Sets the archive's creation time to the beginning of 1970, so that the same schema gives the same bytes.
pub fn forget_creation_time(bytes: &mut [u8]) -> Result<()> {
    const DAY_OF_MONTH: usize = 3;
    const YEAR: usize = 5;
    let mut reader = Reader { bytes, at: 0, integer_bytes: 4, offset_bytes: 8 };
    reader.preamble()?;
    let begin = reader.at;
    reader.skip_creation_time()?;
    let (end, field_bytes) = (reader.at, 1 + reader.integer_bytes);
    bytes[begin..end].fill(0);
    // Each field is a sign and a little-endian number.
    bytes[begin + DAY_OF_MONTH * field_bytes + 1] = 1;
    bytes[begin + YEAR * field_bytes + 1] = 70;
    Ok(())
}

impl Archive {
    /// Parses an archive that is wholly in memory; what follows the table of contents is not looked at.
    ///
    /// Fails with [`ErrorKind::Verification`](crate::ErrorKind) when the bytes are not a whole table of contents, and with
    /// `Preflight` for a format version or an encoding that Lifeboat does not read.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let mut reader = Reader { bytes, at: 0, integer_bytes: 4, offset_bytes: 8 };
        let header = reader.header()?;
        let count = reader.count()?;
        let mut entries = Vec::new();
        let mut seen = BTreeSet::new();
        for _ in 0..count {
            let entry = reader.entry(header.format)?;
            if !seen.insert(entry.dump_id) {
                return Err(reader.damaged(&format!("entry {} occurs twice", entry.dump_id)));
            }
            entries.push(entry);
        }
        let archive = Self { header, entries };
        archive.refuse_other_encodings()?;
        Ok(archive)
    }

    /// Every table, partitioned ones and partitions too, with its entry.
    pub fn tables(&self) -> impl Iterator<Item = (TableName, &Entry)> {
        let tables = self.entries.iter().filter(|entry| entry.desc == "TABLE");
        tables.filter_map(|entry| Some((TableName::new(entry.schema.as_ref()?, &entry.tag), entry)))
    }

    /// Strings were read as UTF-8; in another encoding only ASCII means the same.
    fn refuse_other_encodings(&self) -> Result<()> {
        let Some(encoding) = self.encoding().filter(|name| !matches!(*name, "UTF8" | "SQL_ASCII")) else {
            return Ok(());
        };
        if self.entries.iter().all(Entry::is_ascii) {
            return Ok(());
        }
        Err(Error::preflight(format!("the schema archive is in encoding {encoding}")).hint("dump with --encoding=UTF8"))
    }

    /// Encoding that the archive says its strings have, as PostgreSQL spells it.
    pub fn encoding(&self) -> Option<&str> {
        let entry = self.entries.iter().find(|entry| entry.desc == "ENCODING")?;
        entry.definition.split('\'').nth(1)
    }
}

impl Entry {
    fn is_ascii(&self) -> bool {
        let schema = self.schema.as_deref().unwrap_or_default();
        [&self.tag, &self.definition, &self.drop_statement, &self.owner].iter().all(|s| s.is_ascii())
            && schema.is_ascii()
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    integer_bytes: usize,
    offset_bytes: usize,
}

impl<'a> Reader<'a> {
    fn damaged(&self, what: &str) -> Error {
        Error::verification(format!("the schema archive is damaged near byte {}: {what}", self.at))
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8]> {
        let rest = &self.bytes[self.at..];
        let taken = rest.get(..length).ok_or_else(|| self.damaged("it ends too early"))?;
        self.at += length;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8> {
        Ok(self.take(1)?[0])
    }

    fn integer(&mut self) -> Result<i32> {
        let negative = self.byte()? != 0;
        let digits = self.take(self.integer_bytes)?;
        let mut magnitude = [0; 8];
        magnitude[..digits.len()].copy_from_slice(digits);
        let magnitude =
            i32::try_from(u64::from_le_bytes(magnitude)).map_err(|_| self.damaged("a number is out of range"))?;
        Ok(if negative { -magnitude } else { magnitude })
    }

    fn count(&mut self) -> Result<u32> {
        u32::try_from(self.integer()?).map_err(|_| self.damaged("a count is negative"))
    }

    /// `None` is C's null pointer, which the archive keeps apart from the empty string.
    fn string(&mut self) -> Result<Option<String>> {
        let Ok(length) = usize::try_from(self.integer()?) else { return Ok(None) };
        let bytes = self.take(length)?;
        if bytes.contains(&0) {
            return Err(self.damaged("a string holds a null byte"));
        }
        match str::from_utf8(bytes) {
            Ok(text) => Ok(Some(text.to_owned())),
            Err(_) => Err(Error::preflight("the schema archive holds text that is not UTF-8")
                .hint("dump with --encoding=UTF8; a SQL_ASCII database may hold names in no known encoding")),
        }
    }

    fn string_or_empty(&mut self) -> Result<String> {
        Ok(self.string()?.unwrap_or_default())
    }

    /// A number that the format writes as text.
    fn number(&mut self) -> Result<u32> {
        self.string_or_empty()?.parse().map_err(|_| self.damaged("a number is not one"))
    }

    fn header(&mut self) -> Result<Header> {
        let format = self.preamble()?;
        self.skip_creation_time()?;
        Ok(Header {
            format,
            database: self.string_or_empty()?,
            server_version: self.string_or_empty()?,
            pg_dump_version: self.string_or_empty()?,
        })
    }

    /// Everything before the creation time.
    fn preamble(&mut self) -> Result<FormatVersion> {
        if self.bytes.get(..MAGIC.len()) != Some(MAGIC) {
            return Err(Error::verification("the schema archive is not one: it does not start with PGDMP"));
        }
        self.at = MAGIC.len();
        let format = self.format_version()?;
        self.integer_bytes = self.width("integers")?;
        self.offset_bytes = self.width("offsets")?;
        if self.byte()? != CUSTOM_FORMAT {
            return Err(
                Error::preflight("the schema archive is not in custom format").hint("dump with --format=custom")
            );
        }
        self.skip_compression(format)?;
        Ok(format)
    }

    fn format_version(&mut self) -> Result<FormatVersion> {
        let format = FormatVersion { major: self.byte()?, minor: self.byte()?, revision: self.byte()? };
        if (OLDEST..=NEWEST).contains(&format) {
            return Ok(format);
        }
        Err(Error::preflight(format!(
            "the schema archive has format {format}; this Lifeboat reads {OLDEST} to {NEWEST}"
        ))
        .hint("use the version of Lifeboat that made the backup, or a newer one"))
    }

    fn width(&mut self, of: &str) -> Result<usize> {
        match self.byte()? {
            width @ 1..=8 => Ok(width.into()),
            width => Err(self.damaged(&format!("{of} of {width} bytes"))),
        }
    }

    fn skip_compression(&mut self, format: FormatVersion) -> Result<()> {
        if format.minor >= WITH_COMPRESSION_NAME { self.byte().map(drop) } else { self.integer().map(drop) }
    }

    fn skip_creation_time(&mut self) -> Result<()> {
        for _second_to_daylight_saving in 0..7 {
            self.integer()?;
        }
        Ok(())
    }

    fn entry(&mut self, format: FormatVersion) -> Result<Entry> {
        let dump_id = self.dump_id()?;
        let had_dumper = self.integer()? != 0;
        let (catalog_oid, oid) = (self.number()?, self.number()?);
        let (tag, desc) = (self.string_or_empty()?, self.string_or_empty()?);
        let section = self.section()?;
        let definition = self.string_or_empty()?;
        let (drop_statement, copy_statement) = (self.string_or_empty()?, self.string_or_empty()?);
        let schema = self.string()?.filter(|name| !name.is_empty());
        let tablespace = self.string()?;
        let access_method = if format.minor >= WITH_ACCESS_METHOD { self.string()? } else { None };
        let relkind = if format.minor >= WITH_RELKIND { self.relkind()? } else { None };
        let owner = self.string_or_empty()?;
        let _always_false_with_oids = self.string()?;
        let dependencies = self.dependencies()?;
        self.skip_data_offset()?;
        Ok(Entry {
            dump_id,
            catalog_oid,
            oid,
            tag,
            desc,
            section,
            definition,
            drop_statement,
            copy_statement,
            schema,
            tablespace,
            access_method,
            relkind,
            owner,
            dependencies,
            had_dumper,
        })
    }

    fn dump_id(&mut self) -> Result<DumpId> {
        match self.count()? {
            0 => Err(self.damaged("an entry has number 0")),
            id => Ok(DumpId(id)),
        }
    }

    fn section(&mut self) -> Result<Section> {
        match self.integer()? {
            1 => Ok(Section::None),
            2 => Ok(Section::PreData),
            3 => Ok(Section::Data),
            4 => Ok(Section::PostData),
            other => Err(self.damaged(&format!("no section has number {other}"))),
        }
    }

    fn relkind(&mut self) -> Result<Option<char>> {
        match u8::try_from(self.integer()?) {
            Ok(0) => Ok(None),
            Ok(kind) if kind.is_ascii_alphabetic() => Ok(Some(kind.into())),
            _ => Err(self.damaged("a relation's kind is not a letter")),
        }
    }

    fn dependencies(&mut self) -> Result<Vec<DumpId>> {
        let mut dependencies = Vec::new();
        while let Some(id) = self.string()? {
            dependencies.push(DumpId(id.parse().map_err(|_| self.damaged("a dependency is not a number"))?));
        }
        Ok(dependencies)
    }

    fn skip_data_offset(&mut self) -> Result<()> {
        match self.byte()? {
            1..=3 => self.take(self.offset_bytes).map(drop),
            flag => Err(self.damaged(&format!("no data offset has flag {flag}"))),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::fuzz::fuzz;
    use proptest::prelude::*;

    /// An entry of `desc` named `tag` for tests of pure code; tests fill in what they are about.
    pub(crate) fn entry(dump_id: u32, desc: &str, tag: &str, dependencies: &[u32]) -> Entry {
        let section = match desc {
            "ACL" | "COMMENT" | "SECURITY LABEL" => Section::None,
            "TABLE DATA" | "SEQUENCE SET" => Section::Data,
            "INDEX"
            | "CONSTRAINT"
            | "FK CONSTRAINT"
            | "CHECK CONSTRAINT"
            | "TRIGGER"
            | "RULE"
            | "POLICY"
            | "ROW SECURITY"
            | "INDEX ATTACH"
            | "STATISTICS"
            | "EVENT TRIGGER"
            | "PUBLICATION"
            | "PUBLICATION TABLE"
            | "DEFAULT ACL"
            | "MATERIALIZED VIEW DATA" => Section::PostData,
            _ => Section::PreData,
        };
        Entry {
            dump_id: DumpId(dump_id),
            catalog_oid: 0,
            oid: 0,
            tag: tag.to_owned(),
            desc: desc.to_owned(),
            section,
            definition: format!("CREATE {desc} {tag};\n"),
            drop_statement: format!("DROP {desc} {tag};\n"),
            copy_statement: String::new(),
            schema: None,
            tablespace: None,
            access_method: None,
            relkind: None,
            owner: String::new(),
            dependencies: dependencies.iter().copied().map(DumpId).collect(),
            had_dumper: false,
        }
    }

    /// An archive of a PostgreSQL 18 server.
    pub(crate) fn archive(entries: Vec<Entry>) -> Archive {
        archive_of(16, entries)
    }

    /// Writes what `Archive::parse` reads, with 4-byte integers as every `pg_dump` does.
    #[derive(Default)]
    struct Writer(Vec<u8>);

    impl Writer {
        fn integer(&mut self, value: i32) {
            self.0.push(u8::from(value < 0));
            self.0.extend(value.unsigned_abs().to_le_bytes());
        }

        fn string(&mut self, value: Option<&str>) {
            let Some(value) = value else { return self.integer(-1) };
            self.integer(value.len() as i32);
            self.0.extend(value.as_bytes());
        }

        fn header(&mut self, header: &Header) {
            self.0.extend(MAGIC);
            self.0.extend([header.format.major, header.format.minor, header.format.revision, 4, 8, CUSTOM_FORMAT]);
            if header.format.minor >= WITH_COMPRESSION_NAME {
                self.0.push(1)
            } else {
                self.integer(-1)
            }
            [5, 4, 3, 21, 10, 126, -1].into_iter().for_each(|n| self.integer(n));
            [&header.database, &header.server_version, &header.pg_dump_version]
                .into_iter()
                .for_each(|s| self.string(Some(s)));
        }

        fn entry(&mut self, entry: &Entry, format: FormatVersion) {
            self.integer(entry.dump_id.0 as i32);
            self.integer(entry.had_dumper.into());
            [entry.catalog_oid, entry.oid].into_iter().for_each(|n| self.string(Some(&n.to_string())));
            [&entry.tag, &entry.desc].into_iter().for_each(|s| self.string(Some(s)));
            self.integer(entry.section as i32 + 1);
            [&entry.definition, &entry.drop_statement, &entry.copy_statement]
                .into_iter()
                .for_each(|s| self.string(Some(s)));
            self.string(entry.schema.as_deref());
            self.string(entry.tablespace.as_deref());
            if format.minor >= WITH_ACCESS_METHOD {
                self.string(entry.access_method.as_deref());
            }
            if format.minor >= WITH_RELKIND {
                self.integer(entry.relkind.map_or(0, |kind| kind as i32));
            }
            self.string(Some(&entry.owner));
            self.string(Some("false"));
            entry.dependencies.iter().for_each(|id| self.string(Some(&id.to_string())));
            self.string(None);
            self.0.push(3);
            self.0.extend([0; 8]);
        }
    }

    fn bytes(archive: &Archive) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.header(&archive.header);
        writer.integer(archive.entries.len() as i32);
        archive.entries.iter().for_each(|entry| writer.entry(entry, archive.header.format));
        writer.0
    }

    fn archive_of(minor: u8, entries: Vec<Entry>) -> Archive {
        Archive {
            header: Header {
                format: FormatVersion { major: 1, minor, revision: 0 },
                database: "shop".to_owned(),
                server_version: "18.4 (Debian 18.4-1)".to_owned(),
                pg_dump_version: "18.6".to_owned(),
            },
            entries,
        }
    }

    fn any_entry() -> impl Strategy<Value = Entry> {
        let names = (any::<u32>(), "[A-Z ]{1,12}", "\\PC{0,20}", "\\PC{0,80}", "\\PC{0,8}");
        let options =
            (proptest::option::of("\\PC{1,8}"), proptest::option::of("\\PC{0,8}"), proptest::option::of("[a-z]"));
        (names, options, proptest::collection::vec(1..i32::MAX as u32, 0..5), 0..4usize).prop_map(
            |((oid, desc, tag, definition, owner), (schema, tablespace, kind), dependencies, section)| Entry {
                oid,
                definition,
                owner,
                schema,
                tablespace,
                section: [Section::None, Section::PreData, Section::Data, Section::PostData][section],
                access_method: kind.as_ref().map(|_| "heap".to_owned()),
                relkind: kind.and_then(|kind| kind.chars().next()),
                ..entry(1, &desc, &tag, &dependencies)
            },
        )
    }

    fn any_archive() -> impl Strategy<Value = Archive> {
        (12..=16u8, proptest::collection::vec(any_entry(), 0..6)).prop_map(|(minor, mut entries)| {
            for (n, entry) in entries.iter_mut().enumerate() {
                entry.dump_id = DumpId(n as u32 + 1);
                if minor < WITH_ACCESS_METHOD {
                    entry.access_method = None;
                }
                if minor < WITH_RELKIND {
                    entry.relkind = None;
                }
            }
            archive_of(minor, entries)
        })
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_in_every_supported_version(archive in any_archive()) {
            prop_assert_eq!(Archive::parse(&bytes(&archive)).unwrap(), archive);
        }

        #[test]
        fn a_cut_archive_is_refused(archive in any_archive(), cut in any::<prop::sample::Index>()) {
            let whole = bytes(&archive);
            let error = Archive::parse(&whole[..cut.index(whole.len())]).unwrap_err();
            prop_assert_eq!(error.kind(), ErrorKind::Verification);
        }

        #[test]
        fn a_mutated_archive_is_read_or_refused_and_never_panics(
            archive in any_archive(),
            changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        ) {
            let mut bytes = bytes(&archive);
            for (at, value) in changes {
                let at = at.index(bytes.len());
                bytes[at] = value;
            }
            if let Ok(read) = Archive::parse(&bytes) {
                let text: usize = read.entries.iter().map(|e| e.definition.len() + e.tag.len() + e.owner.len()).sum();
                prop_assert!(text <= bytes.len());
            }
        }

        #[test]
        fn noise_is_refused(noise in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(Archive::parse(&noise).is_err());
        }
    }

    #[test]
    fn an_archive_with_anything_changed_takes_no_more_memory_than_it_has_bytes() {
        let mut table = entry(3, "TABLE", "orders", &[2, 1]);
        table.schema = Some("public".to_owned());
        table.relkind = Some('r');
        let all = || vec![entry(1, "SCHEMA", "public", &[]), entry(2, "TYPE", "mood", &[1]), table.clone()];
        let samples = [12, 14, 15, 16].map(|minor| bytes(&archive_of(minor, all())));
        fuzz(&samples.each_ref().map(Vec::as_slice), |bytes| {
            let mut again = bytes.to_vec();
            let _ = forget_creation_time(&mut again);
            let Ok(archive) = Archive::parse(bytes) else { return };
            let text: usize = archive.entries.iter().map(|e| e.definition.len() + e.tag.len() + e.owner.len()).sum();
            assert!(text + archive.entries.len() <= bytes.len());
            let _ = (archive.tables().count(), archive.encoding(), archive.header.server_major());
        });
    }

    #[test]
    fn an_enormous_length_is_refused_without_allocating_it() {
        let mut writer = Writer::default();
        writer.header(&archive_of(16, Vec::new()).header);
        writer.integer(i32::MAX);
        writer.integer(1);
        writer.integer(0);
        writer.integer(i32::MAX);
        assert_eq!(Archive::parse(&writer.0).unwrap_err().kind(), ErrorKind::Verification);
    }

    #[test]
    fn unknown_versions_and_formats_are_refused_with_the_next_step() {
        for minor in [11, 17] {
            let error = Archive::parse(&bytes(&archive_of(minor, Vec::new()))).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Preflight);
            assert!(error.message().contains(&format!("1.{minor}")), "{error}");
            assert!(error.hint_text().is_some());
        }
        let mut tar = bytes(&archive_of(16, Vec::new()));
        tar[10] = 3;
        assert!(Archive::parse(&tar).unwrap_err().message().contains("custom format"));
    }

    #[test]
    fn an_entry_that_occurs_twice_is_refused() {
        let twice = archive_of(16, vec![entry(7, "TABLE", "a", &[]), entry(7, "TABLE", "b", &[])]);
        assert!(Archive::parse(&bytes(&twice)).unwrap_err().message().contains("twice"));
    }

    #[test]
    fn text_in_another_encoding_is_refused_unless_it_is_ascii() {
        let encoding = Entry {
            definition: "SET client_encoding = 'LATIN1';\n".to_owned(),
            ..entry(1, "ENCODING", "ENCODING", &[])
        };
        let plain = archive_of(16, vec![encoding.clone(), entry(2, "TABLE", "orders", &[])]);
        assert_eq!(Archive::parse(&bytes(&plain)).unwrap().encoding(), Some("LATIN1"));
        let accented = archive_of(16, vec![encoding, entry(2, "TABLE", "\u{c3}\u{a9}", &[])]);
        assert_eq!(Archive::parse(&bytes(&accented)).unwrap_err().kind(), ErrorKind::Preflight);
    }

    #[test]
    fn debug_shows_no_definition() {
        let mapping = Entry {
            definition: "CREATE USER MAPPING FOR app SERVER s OPTIONS (password 'hunter2');".to_owned(),
            ..entry(3, "USER MAPPING", "USER MAPPING app SERVER s", &[])
        };
        assert!(!format!("{mapping:?}").contains("hunter2"));
    }

    #[test]
    fn the_servers_major_version_is_read_from_its_name() {
        let mut header = archive_of(16, Vec::new()).header;
        assert_eq!(header.server_major(), Some(18));
        header.server_version = "devel".to_owned();
        assert_eq!(header.server_major(), None);
    }
}

//! Import and export of users, links and events as CSV and JSON Lines.
//!
//! Layout: `splitter` (bytes -> records), `csv_row` and `json_row` (records -> columns), `row` (columns -> users, links, events),
//! `parser` (all of these, pure, fuzzed), `import` (parser -> store), `export` (store -> bytes), `source` (files as streams).

mod csv_row;
mod export;
mod import;
mod json_row;
mod kind;
mod parser;
mod report;
mod row;
mod source;
mod splitter;

pub use export::{ExportError, Exported, Format, export};
pub use import::{CHUNK_BYTES, CHUNK_ROWS, ImportError, Watcher, import, users};
pub use kind::{Kind, Refusal, Row};
pub use parser::{HeaderError, Parser};
pub use report::{Fate, Reason, Remark, Report};
pub use source::{Source, SourceError};
pub use splitter::{FIELDS_MAX, RECORD_BYTES_MAX};

//! Sample: users.csv, urls.csv and events.csv in the seed formats, from nothing but a seed.
//!
//! Promised: the same request writes the same bytes on every machine; each row is a function of the seed and its number, so millions of
//! rows take no more memory than one. Without oddities the files are what a careful service would have exported; with them they hold
//! what real exports hold (see [`SampleSpec::odd`]). Existing files are replaced.

mod rows;
mod words;

use std::{fs::File, io, path::Path};

pub use rows::Sample;

/// How much, and how strange.
#[derive(Clone, Copy, Debug)]
pub struct SampleSpec {
    pub users: u64,
    pub links: u64,
    pub events: u64,
    pub seed: u64,
    /// Duplicate usernames (2 %), wholly duplicate people (0.2 %), links older than their owner, events older than their link, and
    /// deleted links that are active all the same.
    pub odd: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum SampleError {
    #[error("links belong to users and events to links: ask for at least one of each")]
    NoParents,
    #[error("a sample has at most {max} links", max = crate::shuffle::Codes::MAX)]
    TooManyLinks,
    #[error("{path}: {source}")]
    Io { path: String, source: io::Error },
    #[error("{path}: {source}")]
    Csv { path: String, source: csv::Error },
}

/// The file is written in blocks of this size.
const WRITE_BUFFER_BYTES: usize = 1 << 20;

fn write_file(path: &Path, header: &[&str], rows: u64, row: impl Fn(u64) -> Vec<String>) -> Result<(), SampleError> {
    let name = || path.display().to_string();
    let csv_error = |source| SampleError::Csv { path: name(), source };
    let file = File::create(path).map_err(|source| SampleError::Io { path: name(), source })?;
    let mut writer = csv::WriterBuilder::new().buffer_capacity(WRITE_BUFFER_BYTES).from_writer(file);
    writer.write_record(header).map_err(csv_error)?;
    for index in 0..rows {
        writer.write_record(row(index)).map_err(csv_error)?;
    }
    writer.flush().map_err(|source| SampleError::Io { path: name(), source })
}

/// Writes the three files into `dir`, which is made if need be.
pub fn write(spec: &SampleSpec, dir: &Path) -> Result<(), SampleError> {
    if (spec.links > 0 && spec.users == 0) || (spec.events > 0 && spec.links == 0) {
        return Err(SampleError::NoParents);
    }
    if spec.links > crate::shuffle::Codes::MAX {
        return Err(SampleError::TooManyLinks);
    }
    std::fs::create_dir_all(dir).map_err(|source| SampleError::Io { path: dir.display().to_string(), source })?;
    let sample = Sample::new(spec);
    write_file(&dir.join("users.csv"), &["id", "username", "email", "created_at"], spec.users, |n| sample.user(n).into_csv())?;
    write_file(
        &dir.join("urls.csv"),
        &["id", "user_id", "short_code", "original_url", "title", "is_active", "created_at", "updated_at"],
        spec.links,
        |n| sample.link(n).into_csv(),
    )?;
    write_file(&dir.join("events.csv"), &["id", "url_id", "user_id", "event_type", "timestamp", "details"], spec.events, |n| {
        sample.event(n).into_csv()
    })
}

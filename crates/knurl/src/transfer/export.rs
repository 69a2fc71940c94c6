//! Export: the store's rows as the files an import reads, page by page.
//!
//! Promised: memory is one page, whatever the store holds; what is exported, imported into an empty store and exported again is the same
//! to the byte. Refused: a snapshot (rows that change meanwhile are written as they are when their page is read; `knurl backup` is
//! one) and deleted links, which the API does not show either.

use std::{borrow::Cow, io::Write};

use knurl_core::{Event, Link, Page, UnixMillis, User};
use knurl_store::{EventFilter, LinkFilter, Store, StoreError};
use serde::Serialize;
use serde_json::value::RawValue;

use super::Kind;

/// Rows read at once.
const PAGE_ROWS: u32 = 2_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Csv,
    /// CSV with the seed's columns only: how a link redirects and when it expires are left out.
    SeedCsv,
    JsonLines,
}

#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("cannot write: {0}")]
    Output(#[from] std::io::Error),
}

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exported {
    pub rows: u64,
    /// Links whose status or expiry [`Format::SeedCsv`] has no column for.
    pub links_curtailed: u64,
}

/// Writes all rows of a kind in ascending id. `progress` is told the rows of each page.
pub async fn export(
    store: &dyn Store,
    kind: Kind,
    format: Format,
    out: &mut (dyn Write + Send),
    progress: &mut (dyn FnMut(u64) + Send),
) -> Result<Exported, ExportError> {
    let mut pen = Pen::new(kind, format, out)?;
    let mut after = 0;
    loop {
        let page = Page::after(after, PAGE_ROWS);
        let (rows, last) = match kind {
            Kind::Users => pen.page(&store.list_users(page).await?.rows, |user| user.id.0)?,
            Kind::Links => pen.page(&store.list_links(LinkFilter::default(), page).await?.rows, |link| link.id.0)?,
            Kind::Events => pen.page(&store.list_events(EventFilter::default(), page).await?.rows, |event| event.id.0)?,
        };
        let Some(last) = last else { break };
        after = last;
        progress(rows);
    }
    pen.finish()
}

/// One row in either format.
trait Written {
    fn csv(&self, format: Format, csv: &mut csv::Writer<Vec<u8>>) -> csv::Result<()>;
    fn json(&self, line: &mut Vec<u8>) -> serde_json::Result<()>;
    /// Whether the seed's columns cannot hold all of it.
    fn is_curtailed(&self) -> bool {
        false
    }
}

struct Pen<'o> {
    format: Format,
    /// Flushed into `out` page by page.
    csv: csv::Writer<Vec<u8>>,
    out: &'o mut (dyn Write + Send),
    exported: Exported,
}

impl<'o> Pen<'o> {
    fn new(kind: Kind, format: Format, out: &'o mut (dyn Write + Send)) -> Result<Self, ExportError> {
        let mut csv = fresh();
        let ours = if format == Format::Csv { kind.optional_columns() } else { &[] };
        if format != Format::JsonLines {
            csv.write_record(kind.columns().iter().chain(ours)).map_err(std::io::Error::other)?;
        }
        Ok(Self { format, csv, out, exported: Exported::default() })
    }

    /// How many rows there were, and the id of the last.
    fn page<T: Written>(&mut self, rows: &[T], id: fn(&T) -> i64) -> Result<(u64, Option<i64>), ExportError> {
        let mut lines = Vec::new();
        for row in rows {
            match self.format {
                Format::Csv | Format::SeedCsv => row.csv(self.format, &mut self.csv).map_err(std::io::Error::other)?,
                Format::JsonLines => {
                    row.json(&mut lines).map_err(std::io::Error::other)?;
                    lines.push(b'\n');
                }
            }
            self.exported.links_curtailed += u64::from(self.format == Format::SeedCsv && row.is_curtailed());
        }
        self.flush()?;
        self.out.write_all(&lines)?;
        self.exported.rows += rows.len() as u64;
        Ok((rows.len() as u64, rows.last().map(id)))
    }

    fn flush(&mut self) -> Result<(), ExportError> {
        let written =
            std::mem::replace(&mut self.csv, fresh()).into_inner().map_err(|error| std::io::Error::other(error.to_string()))?;
        self.out.write_all(&written)?;
        Ok(())
    }

    fn finish(mut self) -> Result<Exported, ExportError> {
        self.flush()?;
        self.out.flush()?;
        Ok(self.exported)
    }
}

fn fresh() -> csv::Writer<Vec<u8>> {
    csv::WriterBuilder::new().from_writer(Vec::new())
}

/// The seed's form; what was created here has milliseconds besides, and keeps them.
fn csv_time(at: UnixMillis) -> String {
    match at.0.rem_euclid(1_000) {
        0 => at.to_csv(),
        ms => format!("{}.{ms:03}", at.to_csv()),
    }
}

fn json_time(at: UnixMillis) -> String {
    format!("{}Z", csv_time(at).replacen(' ', "T", 1))
}

fn id_or_nothing(id: Option<i64>) -> String {
    id.map(|id| id.to_string()).unwrap_or_default()
}

impl Written for User {
    fn csv(&self, _: Format, csv: &mut csv::Writer<Vec<u8>>) -> csv::Result<()> {
        csv.write_record([&self.id.0.to_string(), &self.username, &self.email, &csv_time(self.created_at)])
    }

    fn json(&self, line: &mut Vec<u8>) -> serde_json::Result<()> {
        #[derive(Serialize)]
        struct Line<'a> {
            id: i64,
            username: &'a str,
            email: &'a str,
            created_at: String,
        }
        let created_at = json_time(self.created_at);
        serde_json::to_writer(line, &Line { id: self.id.0, username: &self.username, email: &self.email, created_at })
    }
}

impl Written for Link {
    fn csv(&self, format: Format, csv: &mut csv::Writer<Vec<u8>>) -> csv::Result<()> {
        let (id, owner) = (self.id.0.to_string(), id_or_nothing(self.owner.map(|owner| owner.0)));
        let (created_at, updated_at) = (csv_time(self.created_at), csv_time(self.updated_at));
        let is_active = if self.is_active { "True" } else { "False" };
        let title = self.title.as_deref().unwrap_or_default();
        let columns = [&id, &owner, self.short_code.as_str(), self.target.as_str(), title, is_active, &created_at, &updated_at];
        if format == Format::SeedCsv {
            return csv.write_record(columns);
        }
        let status = self.status.as_u16().to_string();
        let expires_at = self.expires_at.map(csv_time).unwrap_or_default();
        csv.write_record(columns.into_iter().chain([status.as_str(), &expires_at]))
    }

    fn json(&self, line: &mut Vec<u8>) -> serde_json::Result<()> {
        #[derive(Serialize)]
        struct Line<'a> {
            id: i64,
            user_id: Option<i64>,
            short_code: &'a str,
            original_url: &'a str,
            title: Option<&'a str>,
            is_active: bool,
            created_at: String,
            updated_at: String,
            redirect_status: u16,
            expires_at: Option<String>,
        }
        let row = Line {
            id: self.id.0,
            user_id: self.owner.map(|owner| owner.0),
            short_code: self.short_code.as_str(),
            original_url: self.target.as_str(),
            title: self.title.as_deref(),
            is_active: self.is_active,
            created_at: json_time(self.created_at),
            updated_at: json_time(self.updated_at),
            redirect_status: self.status.as_u16(),
            expires_at: self.expires_at.map(json_time),
        };
        serde_json::to_writer(line, &row)
    }

    fn is_curtailed(&self) -> bool {
        self.status.as_u16() != 302 || self.expires_at.is_some()
    }
}

impl Written for Event {
    fn csv(&self, _: Format, csv: &mut csv::Writer<Vec<u8>>) -> csv::Result<()> {
        let (id, link, user) = (self.id.0.to_string(), self.link_id.0.to_string(), id_or_nothing(self.user_id.map(|user| user.0)));
        let details = self.details.as_deref().unwrap_or_default();
        csv.write_record([id.as_str(), &link, &user, self.event_type.as_str(), &csv_time(self.at), details])
    }

    fn json(&self, line: &mut Vec<u8>) -> serde_json::Result<()> {
        #[derive(Serialize)]
        struct Line<'a> {
            id: i64,
            url_id: i64,
            user_id: Option<i64>,
            event_type: &'a str,
            timestamp: String,
            details: Option<Box<RawValue>>,
        }
        let row = Line {
            id: self.id.0,
            url_id: self.link_id.0,
            user_id: self.user_id.map(|user| user.0),
            event_type: self.event_type.as_str(),
            timestamp: json_time(self.at),
            details: self.details.as_deref().map(on_one_line).transpose()?,
        };
        serde_json::to_writer(line, &row)
    }
}

/// The details as they are; line breaks in JSON are blanks (within strings they are escaped), and a line must be one line.
fn on_one_line(details: &str) -> serde_json::Result<Box<RawValue>> {
    let details = if details.contains(['\n', '\r']) { Cow::from(details.replace(['\n', '\r'], " ")) } else { Cow::from(details) };
    RawValue::from_string(details.into_owned())
}

//! Rows out of CSV records: the header says which column is where.

use super::{
    kind::{Kind, Refusal, Row},
    row::{self, EventColumns, LinkColumns, NOT_A_FLAG, NOT_AN_ID, Parsed},
    splitter::Fields,
};

/// Where each column of the kind stands in this file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) kind: Kind,
    /// Positions of [`Kind::columns`] and after them of [`Kind::optional_columns`].
    positions: Vec<Option<usize>>,
    width: usize,
    /// Columns nobody here knows: reported, not read.
    pub(super) ignored: Vec<String>,
}

impl Header {
    /// Says in a sentence what is wrong with a header that is not one of ours.
    pub(super) fn read(fields: Fields<'_>) -> Result<Self, String> {
        let names: Vec<String> =
            (0..fields.len()).map(|i| String::from_utf8_lossy(fields.get(i).unwrap_or_default()).trim().to_owned()).collect();
        let Some(kind) = Kind::of_names(names.iter().map(String::as_str)) else {
            return Err("the header is that of none of our files (users: id,username,email,created_at; urls: id,user_id,short_code,…; events: id,url_id,…)".into());
        };
        let position = |column: &&str| names.iter().position(|name| name == column);
        let missing: Vec<&str> = kind.columns().iter().copied().filter(|column| position(column).is_none()).collect();
        if !missing.is_empty() {
            return Err(format!("a {} file needs the column {}", kind.as_str(), missing.join(", ")));
        }
        if let Some(twice) = names.iter().enumerate().find(|(i, name)| names[..*i].contains(name)) {
            return Err(format!("the column {} is there twice", shorten(twice.1)));
        }
        let known = || kind.columns().iter().chain(kind.optional_columns());
        let ignored = names.iter().filter(|name| !known().any(|column| column == name)).map(|name| shorten(name)).collect();
        Ok(Self { kind, positions: known().map(position).collect(), width: names.len(), ignored })
    }

    pub(super) fn row(&self, fields: Fields<'_>) -> Parsed<Row> {
        if fields.len() != self.width {
            return Err(Refusal::row("has more or fewer fields than the header"));
        }
        match self.kind {
            Kind::Users => {
                let [id, username, email, created_at] = self.texts(fields)?;
                row::user(id_of("id", id)?, username, email, created_at).map(Row::User)
            }
            Kind::Links => self.link(fields),
            Kind::Events => {
                let [id, url_id, user_id, event_type, timestamp, details] = self.texts(fields)?;
                let (id, url_id, user_id) = (id_of("id", id)?, id_of("url_id", url_id)?, optional_id("user_id", user_id)?);
                row::event(&EventColumns { id, url_id, user_id, event_type, timestamp, details }).map(Row::Event)
            }
        }
    }

    fn link(&self, fields: Fields<'_>) -> Parsed<Row> {
        let texts: [&str; 10] = self.texts(fields)?;
        let [id, user_id, short_code, original_url, title, is_active, created_at, updated_at, redirect_status, expires_at] = texts;
        let columns = LinkColumns {
            id: id_of("id", id)?,
            user_id: optional_id("user_id", user_id)?,
            short_code,
            original_url,
            title,
            is_active: flag(is_active)?,
            created_at,
            updated_at,
            // What is not a number is not a status either; 0 says so.
            redirect_status: (!redirect_status.is_empty()).then(|| redirect_status.parse().unwrap_or(0)),
            expires_at,
        };
        row::link(&columns).map(|link| Row::Link(Box::new(link)))
    }

    /// The known columns as text, an absent optional one as the empty text.
    fn texts<'f, const N: usize>(&self, fields: Fields<'f>) -> Parsed<[&'f str; N]> {
        let mut texts = [""; N];
        let columns = self.kind.columns().iter().chain(self.kind.optional_columns());
        for ((text, position), column) in texts.iter_mut().zip(&self.positions).zip(columns) {
            let bytes = position.and_then(|i| fields.get(i)).unwrap_or_default();
            *text = std::str::from_utf8(bytes).map_err(|_| Refusal::of(column, "is not UTF-8"))?;
        }
        Ok(texts)
    }
}

/// A stranger's column name, short enough for a message.
fn shorten(name: &str) -> String {
    const CHARS_MAX: usize = 40;
    name.chars().take(CHARS_MAX).filter(|c| !c.is_control()).collect()
}

fn id_of(field: &'static str, text: &str) -> Parsed<i64> {
    text.trim().parse().map_err(|_| Refusal::of(field, NOT_AN_ID))
}

fn optional_id(field: &'static str, text: &str) -> Parsed<Option<i64>> {
    if text.is_empty() { Ok(None) } else { id_of(field, text).map(Some) }
}

fn flag(text: &str) -> Parsed<bool> {
    match text {
        "True" | "true" | "TRUE" | "1" => Ok(true),
        "False" | "false" | "FALSE" | "0" => Ok(false),
        _ => Err(Refusal::of("is_active", NOT_A_FLAG)),
    }
}

//! Creates that happen once, however often they are asked for, of links and of events: what is asked, what is remembered, and how it is written down.
//!
//! Remembered are ids and codes, not answers: whoever asks again sends the rest again (the fingerprint says that it is the same), so a
//! row stays small and holds nothing a client wrote.

use knurl_core::{Event, EventId, LinkId, ShortCode, UnixMillis, event::NewEvent, link::NewLink};
use serde::{Deserialize, Serialize};

use crate::{StoreError, store::Result};

/// A create and its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Once {
    /// A hash of the name the client gave it, and of who the client is.
    pub id: [u8; 32],
    /// A hash of all that was asked.
    pub fingerprint: [u8; 32],
}

/// A link about to be created, and the codes to take instead where its own is taken: they are tried in the same transaction.
#[derive(Clone, Debug)]
pub struct Candidate {
    pub link: NewLink,
    pub spare_codes: Vec<ShortCode>,
}

/// What became of one [`Candidate`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkFate {
    Created {
        id: LinkId,
        short_code: ShortCode,
    },
    /// And every spare one.
    CodeTaken,
    NoSuchUser,
}

/// What became of a create: now, or the first time it was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// When it was done.
    pub at: UnixMillis,
    /// In the order of the candidates.
    pub fates: Vec<LinkFate>,
    /// It was done before; nothing was changed now.
    pub is_replay: bool,
}

impl Done {
    /// Where no link was made there is nothing to make twice: not remembered, so that another attempt may succeed.
    pub(crate) fn is_worth_remembering(&self) -> bool {
        self.fates.iter().any(|fate| matches!(fate, LinkFate::Created { .. }))
    }
}

/// An event that was posted: now, or the first time it was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Posted {
    pub event: Event,
    /// It was done before; nothing was changed now.
    pub is_replay: bool,
}

/// Of an event its id is written down.
pub(crate) fn write_event(event: &Event) -> String {
    event.id.0.to_string()
}

/// As [`read`], of an event: `new` is the request, which is the same.
pub(crate) fn read_event(once: &Once, at: UnixMillis, fingerprint: &[u8], id: &str, new: &NewEvent) -> Result<Posted> {
    refuse_unless_same(once, fingerprint)?;
    let id =
        id.parse().map_err(|_| StoreError::Corrupt("the outcome of an event that was to happen once cannot be read".into()))?;
    let NewEvent { link_id, user_id, event_type, details, .. } = new.clone();
    Ok(Posted { event: Event { id: EventId(id), link_id, user_id, event_type, at, details }, is_replay: true })
}

fn refuse_unless_same(once: &Once, fingerprint: &[u8]) -> Result<()> {
    if fingerprint == once.fingerprint { Ok(()) } else { Err(StoreError::Reused) }
}

/// A fate as it is written down: `[5,"fGk3x9Q"]`, `"code_taken"` or `"no_such_user"`.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Written {
    Created(i64, String),
    Refused(Refused),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Refused {
    CodeTaken,
    NoSuchUser,
}

pub(crate) fn write(fates: &[LinkFate]) -> Result<String> {
    let written: Vec<_> = fates
        .iter()
        .map(|fate| match fate {
            LinkFate::Created { id, short_code } => Written::Created(id.0, short_code.as_str().to_owned()),
            LinkFate::CodeTaken => Written::Refused(Refused::CodeTaken),
            LinkFate::NoSuchUser => Written::Refused(Refused::NoSuchUser),
        })
        .collect();
    serde_json::to_string(&written).map_err(|error| StoreError::Internal(Box::new(error)))
}

/// A row of the table: when it was done, under which fingerprint, and the fates as [`write`] wrote them.
pub(crate) fn read(once: &Once, at: UnixMillis, fingerprint: &[u8], fates: &str) -> Result<Done> {
    refuse_unless_same(once, fingerprint)?;
    let corrupt = || StoreError::Corrupt("the outcome of a create that was to happen once cannot be read".into());
    let written: Vec<Written> = serde_json::from_str(fates).map_err(|_| corrupt())?;
    let fates = written.into_iter().map(|written| {
        Ok(match written {
            Written::Created(id, code) => {
                LinkFate::Created { id: LinkId(id), short_code: ShortCode::parse(&code).map_err(|_| corrupt())? }
            }
            Written::Refused(Refused::CodeTaken) => LinkFate::CodeTaken,
            Written::Refused(Refused::NoSuchUser) => LinkFate::NoSuchUser,
        })
    });
    Ok(Done { at, fates: fates.collect::<Result<_>>()?, is_replay: true })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONCE: Once = Once { id: [1; 32], fingerprint: [2; 32] };

    #[test]
    fn what_is_written_is_read_again() {
        let created = LinkFate::Created { id: LinkId(5), short_code: ShortCode::parse("abc").unwrap() };
        let fates = vec![created, LinkFate::CodeTaken, LinkFate::NoSuchUser];
        let text = write(&fates).unwrap();
        assert_eq!(text, r#"[[5,"abc"],"code_taken","no_such_user"]"#);
        let done = read(&ONCE, UnixMillis(7), &[2; 32], &text).unwrap();
        assert_eq!(done, Done { at: UnixMillis(7), fates, is_replay: true });
    }

    #[test]
    fn another_fingerprint_is_another_request_and_nonsense_is_damage() {
        assert!(matches!(read(&ONCE, UnixMillis(7), &[3; 32], "[]"), Err(StoreError::Reused)));
        for nonsense in ["", "{}", "[5]", r#"["gone"]"#, r#"[[5,"a b"]]"#] {
            assert!(matches!(read(&ONCE, UnixMillis(7), &[2; 32], nonsense), Err(StoreError::Corrupt(_))), "{nonsense}");
        }
    }
}

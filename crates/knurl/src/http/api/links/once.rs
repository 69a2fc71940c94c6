//! Creates under an `Idempotency-Key`: the links of a request in one transaction with the memory of it, and the answer made from both.

use knurl_core::{Link, UnixMillis};
use knurl_store::{
    Conflict, Reference, StoreError,
    once::{Candidate, Done, LinkFate},
};

use super::{
    super::once::Keyed,
    create::{code_for, refused},
    draft::Draft,
};
use crate::http::{
    HttpState,
    error::{Code, Error},
};

/// Codes drawn beforehand beside the first, to be tried where it is taken. The third is longer by one character and each one after it by
/// one more, so that the last is drawn from a space no table can fill.
const SPARE_CODES: u32 = 8;

/// Creates what the drafts ask for, or finds it created; an outcome for each draft.
pub(super) async fn create(
    state: &HttpState,
    keyed: &Keyed,
    drafts: &[&Draft],
    now: UnixMillis,
) -> Result<(Done, Vec<Result<Link, Error>>), Error> {
    let candidates = drafts.iter().map(|draft| candidate(state, draft)).collect();
    let done = state.store.create_once(keyed.once, candidates, now).await;
    keyed.count(state, done.as_ref().map(|done| done.is_replay));
    let done = done?;
    fail::fail_point!("api::created_once");
    let outcomes = outcomes(&done, drafts)?;
    for link in outcomes.iter().flatten() {
        // "No such code" may be remembered; also by a node that did not make the link.
        state.resolver.created(link.short_code.as_str());
    }
    Ok((done, outcomes))
}

/// The outcome of an earlier request with this key.
pub(super) async fn recall(state: &HttpState, keyed: &Keyed, draft: &Draft) -> Result<Option<Result<Link, Error>>, Error> {
    let done = state.store.recall_once(keyed.once).await;
    keyed.count(state, done.as_ref().map(Option::is_some));
    let Some(done) = done? else { return Ok(None) };
    Ok(outcomes(&done, &[draft])?.pop())
}

fn candidate(state: &HttpState, draft: &Draft) -> Candidate {
    let spare_codes = match draft.code {
        Some(_) => Vec::new(),
        None => (1..=SPARE_CODES).map(|attempt| code_for(state, draft, attempt)).collect(),
    };
    Candidate { link: draft.to_link(code_for(state, draft, 0)), spare_codes }
}

/// The links as they were when they were made: what is not remembered of them stands in the request, which is the same.
fn outcomes(done: &Done, drafts: &[&Draft]) -> Result<Vec<Result<Link, Error>>, Error> {
    if done.fates.len() != drafts.len() {
        // The same bytes were read under other rules (an option was changed in between): they ask for something else now.
        return Err(Error::new(Code::IdempotencyKeyReused));
    }
    let outcome = |(fate, draft): (&LinkFate, &&Draft)| match fate {
        LinkFate::Created { id, short_code } => Ok(draft.to_link(short_code.clone()).into_link(*id, done.at)),
        LinkFate::CodeTaken if draft.code.is_none() => Err(Error::new(Code::NoFreeCode)),
        LinkFate::CodeTaken => Err(refused(StoreError::Conflict(Conflict::ShortCode), draft)),
        LinkFate::NoSuchUser => Err(StoreError::MissingReference(Reference::User).into()),
    };
    Ok(done.fates.iter().zip(drafts).map(outcome).collect())
}

//! `find_if_exists`: the owner's own live link to the same target, if there is one.

use knurl_core::{Link, UnixMillis};

use super::draft::Draft;
use crate::http::{HttpState, error::Error};

/// The oldest active, unexpired link of the same owner to exactly this target. Two concurrent creates may both find none: then there
/// are twins, as there would be without asking.
pub(super) async fn existing(state: &HttpState, draft: &Draft, now: UnixMillis) -> Result<Option<Link>, Error> {
    Ok(state.store.link_to(draft.owner, &draft.target, now).await?)
}

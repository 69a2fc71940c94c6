//! `find_if_exists`: the owner's own live link to the same target, if there is one.

use knurl_core::{Link, Page, UnixMillis};
use knurl_store::LinkFilter;

use super::draft::Draft;
use crate::http::{HttpState, error::Error};

/// The oldest active, unexpired link of the same owner to exactly this target. Two concurrent creates may both find none: then there
/// are twins, as there would be without asking.
pub(super) async fn existing(state: &HttpState, draft: &Draft, now: UnixMillis) -> Result<Option<Link>, Error> {
    let filter = LinkFilter {
        owner: draft.owner,
        is_active: Some(true),
        target: Some(draft.target.as_str().to_owned()),
        ..LinkFilter::default()
    };
    let same = |link: &Link| link.target == draft.target && link.owner == draft.owner && link.expires_at.is_none_or(|at| at > now);
    let mut page = Page::first(Page::PER_PAGE_MAX);
    // Ends with the rows; the request's deadline bounds it besides.
    loop {
        let rows = state.store.list_links(filter.clone(), page).await?.rows;
        let last = rows.last().map(|link| link.id.0);
        let full = rows.len() >= Page::PER_PAGE_MAX as usize;
        if let Some(found) = rows.into_iter().find(same) {
            return Ok(Some(found));
        }
        match last {
            Some(id) if full => page = Page::after(id, Page::PER_PAGE_MAX),
            _ => return Ok(None),
        }
    }
}

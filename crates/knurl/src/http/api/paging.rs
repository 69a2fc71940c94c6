//! Slices of lists: `page` and `per_page`, `limit` and `offset`, or `after_id`; totals and neighbours in headers.
//!
//! The body is always a plain array: clients of the contract expect one, paged or not.

use std::fmt::Write;

use axum::body::Body;
use http::{HeaderName, HeaderValue, Response, header};
use knurl_core::Page;

use super::query::{Parameters, Query};

const TOTAL: HeaderName = HeaderName::from_static("x-total-count");
/// Rows of a numbered page where `per_page` is not given.
const PER_PAGE_DEFAULT: i64 = 20;

/// How a list was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Paging {
    /// Everything, up to [`Page::UNPAGED_MAX`] rows after `after_id`.
    Whole {
        after_id: i64,
    },
    Numbered {
        number: i64,
        per_page: i64,
    },
    Slice {
        offset: i64,
        limit: i64,
    },
}

impl Paging {
    pub(super) fn of(asked: &mut Parameters<'_>) -> Self {
        let (number, per_page) = (asked.integer("page"), asked.integer("per_page"));
        let (limit, offset) = (asked.integer("limit"), asked.integer("offset"));
        let after_id = asked.integer("after_id");
        let rows_max = i64::from(Page::PER_PAGE_MAX);
        if number.is_some() || per_page.is_some() {
            let per_page = per_page.unwrap_or(PER_PAGE_DEFAULT).clamp(1, rows_max);
            // So far on that the rows before it can still be counted.
            let number = number.unwrap_or(1).clamp(1, i64::MAX / rows_max);
            return Self::Numbered { number, per_page };
        }
        if limit.is_some() || offset.is_some() {
            let limit = limit.unwrap_or(i64::from(Page::UNPAGED_MAX)).clamp(1, i64::from(Page::UNPAGED_MAX));
            return Self::Slice { offset: offset.unwrap_or(0).max(0), limit };
        }
        Self::Whole { after_id: after_id.unwrap_or(0).max(0) }
    }

    pub(super) fn page(self) -> Page {
        match self {
            Self::Whole { after_id } => Page::after(after_id, Page::UNPAGED_MAX),
            Self::Numbered { number, per_page } => Page::numbered(number, per_page),
            Self::Slice { offset, limit } => Page { after_id: 0, offset: offset as u64, limit: limit as u32 },
        }
    }

    /// Adds `X-Total-Count` and `Link`. `rows` and `last_id` are of the page that was read.
    pub(super) fn annotate(self, response: &mut Response<Body>, query: &Query, total: u64, rows: usize, last_id: Option<i64>) {
        response.headers_mut().insert(TOTAL, HeaderValue::from(total));
        let links = self.neighbours(total, rows, last_id);
        let text = link_header(query, &links);
        if let (false, Ok(value)) = (text.is_empty(), HeaderValue::from_str(&text)) {
            response.headers_mut().insert(header::LINK, value);
        }
    }

    fn neighbours(self, total: u64, rows: usize, last_id: Option<i64>) -> Vec<Neighbour> {
        match self {
            Self::Numbered { number, per_page } => {
                let last = i64::try_from(total).unwrap_or(i64::MAX).saturating_add(per_page - 1) / per_page;
                let last = last.max(1);
                let at = |rel, number: i64| Neighbour { rel, parameters: vec![("page", number), ("per_page", per_page)] };
                let mut links = vec![at("first", 1)];
                if number > 1 {
                    links.push(at("prev", (number - 1).min(last)));
                }
                if number < last {
                    links.push(at("next", number + 1));
                }
                links.push(at("last", last));
                links
            }
            Self::Slice { offset, limit } => {
                let end = offset.saturating_add(limit);
                let more = i64::try_from(total).unwrap_or(i64::MAX) > end;
                if more { vec![Neighbour { rel: "next", parameters: vec![("limit", limit), ("offset", end)] }] } else { Vec::new() }
            }
            Self::Whole { .. } => match last_id {
                Some(id) if rows >= Page::UNPAGED_MAX as usize => {
                    vec![Neighbour { rel: "next", parameters: vec![("after_id", id)] }]
                }
                _ => Vec::new(),
            },
        }
    }
}

struct Neighbour {
    rel: &'static str,
    parameters: Vec<(&'static str, i64)>,
}

/// The words of slicing; every other parameter (a filter) is carried along.
const OWN: [&str; 5] = ["page", "per_page", "limit", "offset", "after_id"];

/// Paths, not whole addresses: right behind any proxy, under any name.
fn link_header(query: &Query, links: &[Neighbour]) -> String {
    let mut filters = url::form_urlencoded::Serializer::new(String::new());
    filters.extend_pairs(query.pairs().filter(|(name, _)| !OWN.contains(&name.as_ref())));
    let filters = filters.finish();
    let mut text = String::new();
    for link in links {
        let separator = if text.is_empty() { "" } else { ", " };
        let _ = write!(text, "{separator}<{}?{filters}", query.path());
        for (index, (name, value)) in link.parameters.iter().enumerate() {
            let and = if index == 0 && filters.is_empty() { "" } else { "&" };
            let _ = write!(text, "{and}{name}={value}");
        }
        let _ = write!(text, ">; rel=\"{}\"", link.rel);
    }
    text
}

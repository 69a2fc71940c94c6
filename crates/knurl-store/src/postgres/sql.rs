//! Every statement, one `.sql` file each, named as SQLite's: `diff -ru` of the two `queries/` is the review of the dialects.

/// A statement and its name: the file's stem.
#[derive(Clone, Copy, Debug)]
pub(super) struct Query {
    pub(super) name: &'static str,
    pub(super) text: &'static str,
}

macro_rules! queries {
    ($all:ident: $($name:ident = $stem:literal;)*) => {
        $(pub(super) const $name: Query = Query { name: $stem, text: include_str!(concat!("queries/", $stem, ".sql")) };)*

        #[cfg(test)]
        pub(super) const $all: &[Query] = &[$($name),*];
    };
}

queries! { OF_FEED:
    FEED_CHANGES = "feed_changes";
    FEED_HEAD = "feed_head";
    FEED_PAGE = "feed_page";
}

queries! { OF_COHERENCE:
    FOREIGN_CHANGES = "foreign_changes";
    PING = "ping";
}

queries! { OF_EVENTS:
    EVENT_IDS = "event_ids";
}

queries! { OF_CLICKS:
    CLICK_LEDGER = "click_ledger";
    CLICKS_COPY = "clicks_copy";
    CLICKS_PURGE = "clicks_purge";
    COUNTER_ADD = "counter_add";
    CURSOR_BEGIN = "cursor_begin";
    CURSOR_GET = "cursor_get";
    CURSOR_LOCK = "cursor_lock";
    CURSOR_PUT = "cursor_put";
    MONTH_ROWS = "month_rows";
    MONTH_STRAYS = "month_strays";
    MONTHS_LOCK = "months_lock";
    MONTHS_OF = "months_of";
    RETENTION_TRY_LOCK = "retention_try_lock";
    SALT_GET = "salt_get";
    SALT_PUT = "salt_put";
    SALTS_DESTROY = "salts_destroy";
}

queries! { OF_ROLL_UPS:
    AGENTS_OF_LINK = "agents_of_link";
    DAY_ADD = "day_add";
    DAY_SKETCH = "day_sketch";
    DAYS_OF_LINK = "days_of_link";
    HOUR_ADD = "hour_add";
    HOUR_SKETCH = "hour_sketch";
    HOURS_OF_LINK = "hours_of_link";
    LINKS_TOP = "links_top";
    REFERRER_ADD = "referrer_add";
    REFERRERS_COUNT = "referrers_count";
    REFERRERS_KNOWN = "referrers_known";
    REFERRERS_OF_LINK = "referrers_of_link";
    ROLL_UPS_OF_ALL_LOCK = "roll_ups_of_all_lock";
    TOTAL_ADD = "total_add";
    TOTAL_OF_LINK = "total_of_link";
}

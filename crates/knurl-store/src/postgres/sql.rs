//! Every statement, one `.sql` file each, named as SQLite's: `diff -ru` of the two `queries/` is the review of the dialects.

/// A statement and its name: the file's stem.
#[derive(Clone, Copy, Debug)]
pub(super) struct Query {
    pub(super) name: &'static str,
    pub(super) text: &'static str,
}

/// Every statement there is.
#[cfg(test)]
pub(super) fn all() -> impl Iterator<Item = Query> {
    [OF_CLICKS, OF_COHERENCE, OF_EVENTS, OF_FEED, OF_IMPORTS, OF_LINKS, OF_MOVES, OF_PEOPLE, OF_ROLL_UPS].concat().into_iter()
}

macro_rules! queries {
    ($all:ident: $($name:ident = $stem:literal;)*) => {
        $(pub(super) const $name: Query = Query { name: $stem, text: include_str!(concat!("queries/", $stem, ".sql")) };)*

        #[cfg(test)]
        const $all: &[Query] = &[$($name),*];
    };
}

queries! { OF_FEED:
    FEED_CHANGES = "feed_changes";
    FEED_HEAD = "feed_head";
    FEED_PAGE = "feed_page";
}

queries! { OF_CLICKS:
    ACCEPTANCE_PUT = "acceptance_put";
    ACCEPTANCES_LOCK = "acceptances_lock";
    ACCEPTANCES = "acceptances";
    CLICK_LEDGER = "click_ledger";
    CLICKS_COPY = "clicks_copy";
    CLICKS_PURGE = "clicks_purge";
    COUNTER_ADD = "counter_add";
    COUNTER_GET = "counter_get";
    CURSOR_BEGIN = "cursor_begin";
    CURSOR_GET = "cursor_get";
    CURSOR_LOCK = "cursor_lock";
    CURSOR_PUT = "cursor_put";
    LINKS_CLICKED = "links_clicked";
    LINKS_EMPTIED_AT = "links_emptied_at";
    LINKS_MARK = "links_mark";
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
    DAY_CHANGE = "day_change";
    DAY_INSERT = "day_insert";
    DAY_SKETCH = "day_sketch";
    DAYS_OF_LINK = "days_of_link";
    HOUR_CHANGE = "hour_change";
    HOUR_INSERT = "hour_insert";
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

queries! { OF_COHERENCE:
    COUNTS = "counts";
    EDITS_FOLD = "edits_fold";
    EDITS_ROWS = "edits_rows";
    FOREIGN_CHANGES = "foreign_changes";
    TIME = "time";
    PING = "ping";
    SHARDS_TRY_LOCK = "shards_try_lock";
}

queries! { OF_EVENTS:
    CLICK_INSERT = "click_insert";
    EVENT_BY_ID = "event_by_id";
    EVENT_IDS = "event_ids";
    EVENT_INSERT = "event_insert";
    EVENTS_COUNT_OF_LINK = "events_count_of_link";
    EVENTS_COUNT_OF_TYPE = "events_count_of_type";
    EVENTS_COUNT_OF_USER = "events_count_of_user";
    EVENTS_INSERT = "events_insert";
    EVENTS_LIST = "events_list";
    EVENTS_LIST_OF_LINK = "events_list_of_link";
    EVENTS_LIST_OF_TYPE = "events_list_of_type";
    EVENTS_LIST_OF_USER = "events_list_of_user";
}

queries! { OF_IMPORTS:
    CLICK_IMPORT = "click_import";
    EVENT_IDS_LOCK = "event_ids_lock";
    EVENT_IDS_PAST = "event_ids_past";
    EVENT_IMPORT = "event_import";
    EVENT_IMPORTS_LOCK = "event_imports_lock";
    EVENTS_BY_IDS = "events_by_ids";
    LINK_CODE_TAKEN = "link_code_taken";
    LINK_IDENTITY = "link_identity";
    LINK_IDS_BEHIND = "link_ids_behind";
    LINK_IDS_LOCK = "link_ids_lock";
    LINK_IDS_PAST = "link_ids_past";
    LINK_IMPORT = "link_import";
    USER_CREATED_AT = "user_created_at";
    LINKS_KEPT = "links_kept";
    USER_IDS_BEHIND = "user_ids_behind";
    USER_IDS_LOCK = "user_ids_lock";
    USER_IDS_PAST = "user_ids_past";
    USER_IMPORT = "user_import";
    USER_NAMES_TAKEN = "user_names_taken";
    USERS_BY_IDS = "users_by_ids";
}

queries! { OF_LINKS:
    LINK_BY_CODE = "link_by_code";
    LINK_BY_ID = "link_by_id";
    LINK_DELETE = "link_delete";
    LINK_TO_CHANGE = "link_to_change";
    LINK_OF_NOBODY_TO = "link_of_nobody_to";
    LINK_OF_OWNER_TO = "link_of_owner_to";
    LINK_UPDATE = "link_update";
    LINKS_COUNT = "links_count";
    LINKS_COUNT_OF_CODE = "links_count_of_code";
    LINKS_COUNT_OF_OWNER = "links_count_of_owner";
    LINKS_CREATE = "links_create";
    LINKS_LIST = "links_list";
    LINKS_LIST_OF_CODE = "links_list_of_code";
    LINKS_LIST_OF_OWNER = "links_list_of_owner";
    ONCE_GET = "once_get";
    ONCE_PUT = "once_put";
    ONCE_TRY_LOCK = "once_try_lock";
    ONCES_SWEEP = "onces_sweep";
}

queries! { OF_PEOPLE:
    KEY_BY_HASH = "key_by_hash";
    KEY_BY_ID = "key_by_id";
    KEY_INSERT = "key_insert";
    KEY_REVOKE = "key_revoke";
    KEYS_LIST = "keys_list";
    DELETED_USER_CREATED_AT = "deleted_user_created_at";
    DELETED_USER_PUT = "deleted_user_put";
    USER_BY_ID = "user_by_id";
    USER_DELETE = "user_delete";
    USER_EXISTS = "user_exists";
    USER_INSERT = "user_insert";
    USER_LINKS_CODES = "user_links_codes";
    USER_LINKS_DELETE = "user_links_delete";
    USER_LINKS_EVENTS = "user_links_events";
    USER_NAMES_LOCK = "user_names_lock";
    USER_PROMOTE_EMAIL = "user_promote_email";
    USER_PROMOTE_USERNAME = "user_promote_username";
    USER_TO_CHANGE = "user_to_change";
    USER_UPDATE_EMAIL = "user_update_email";
    USER_UPDATE_USERNAME = "user_update_username";
    USERS_LIST = "users_list";
}

queries! { OF_MOVES:
    MOVING_ACCEPTANCES_PUT = "moving_acceptances_put";
    MOVING_ACCEPTANCES_REMOVE = "moving_acceptances_remove";
    MOVING_ACCEPTANCES_ROWS = "moving_acceptances_rows";
    MOVING_DELETED_USERS_PUT = "moving_deleted_users_put";
    MOVING_DELETED_USERS_REMOVE = "moving_deleted_users_remove";
    MOVING_DELETED_USERS_ROWS = "moving_deleted_users_rows";
    MOVING_CLICKS_PUT = "moving_clicks_put";
    MOVING_CLICKS_REMOVE = "moving_clicks_remove";
    MOVING_COUNTERS_PUT = "moving_counters_put";
    MOVING_COUNTERS_REMOVE = "moving_counters_remove";
    MOVING_COUNTERS_ROWS = "moving_counters_rows";
    MOVING_COUNTS = "moving_counts";
    MOVING_CURSORS_PUT = "moving_cursors_put";
    MOVING_CURSORS_REMOVE = "moving_cursors_remove";
    MOVING_CURSORS_ROWS = "moving_cursors_rows";
    MOVING_DAYS_PUT = "moving_days_put";
    MOVING_DAYS_REMOVE = "moving_days_remove";
    MOVING_DAYS_ROWS = "moving_days_rows";
    MOVING_EMPTY = "moving_empty";
    MOVING_EVENTS_PUT = "moving_events_put";
    MOVING_EVENTS_REMOVE = "moving_events_remove";
    MOVING_EVENTS_ROWS = "moving_events_rows";
    MOVING_HOURS_PUT = "moving_hours_put";
    MOVING_HOURS_REMOVE = "moving_hours_remove";
    MOVING_HOURS_ROWS = "moving_hours_rows";
    MOVING_KEYS_PUT = "moving_keys_put";
    MOVING_KEYS_REMOVE = "moving_keys_remove";
    MOVING_KEYS_ROWS = "moving_keys_rows";
    MOVING_LEAVE = "moving_leave";
    MOVING_LINKS_PUT = "moving_links_put";
    MOVING_LINKS_REMOVE = "moving_links_remove";
    MOVING_LINKS_ROWS = "moving_links_rows";
    MOVING_LOCK = "moving_lock";
    MOVING_NOTES = "moving_notes";
    MOVING_NOTES_CLEAR = "moving_notes_clear";
    MOVING_NOTES_FORGET = "moving_notes_forget";
    MOVING_ONCES_PUT = "moving_onces_put";
    MOVING_ONCES_REMOVE = "moving_onces_remove";
    MOVING_ONCES_ROWS = "moving_onces_rows";
    MOVING_REFERRERS_PUT = "moving_referrers_put";
    MOVING_REFERRERS_REMOVE = "moving_referrers_remove";
    MOVING_REFERRERS_ROWS = "moving_referrers_rows";
    MOVING_RETENTION_LOCK = "moving_retention_lock";
    MOVING_SALTS_PUT = "moving_salts_put";
    MOVING_SALTS_REMOVE = "moving_salts_remove";
    MOVING_SALTS_ROWS = "moving_salts_rows";
    MOVING_SEQUENCES_PUT = "moving_sequences_put";
    MOVING_SEQUENCES_REMOVE = "moving_sequences_remove";
    MOVING_SEQUENCES_ROWS = "moving_sequences_rows";
    MOVING_STAND = "moving_stand";
    MOVING_STANDING = "moving_standing";
    MOVING_TOTALS_PUT = "moving_totals_put";
    MOVING_TOTALS_REMOVE = "moving_totals_remove";
    MOVING_TOTALS_ROWS = "moving_totals_rows";
    MOVING_USERS_DISPLACE = "moving_users_displace";
    MOVING_USERS_PUT = "moving_users_put";
    MOVING_USERS_REMOVE = "moving_users_remove";
    MOVING_USERS_ROWS = "moving_users_rows";
}

/// What a move makes and unmakes beside the schema: scripts, which take no parameters.
pub(super) mod scripts {
    pub(crate) const WATCH: &str = include_str!("fences/moving_watch.sql");
    pub(crate) const UNWATCH: &str = include_str!("fences/moving_unwatch.sql");
    pub(crate) const FENCE_CLICKS: &str = include_str!("fences/moving_fence_clicks.sql");
    pub(crate) const FENCE_WRITES: &str = include_str!("fences/moving_fence_writes.sql");
    pub(crate) const UNFENCE: &str = include_str!("fences/moving_unfence.sql");
}

//! Every statement, one `.sql` file each; the file's stem is its name everywhere.

macro_rules! queries {
    ($($name:ident = $stem:literal;)*) => {
        $(pub(super) const $name: &str = include_str!(concat!("queries/", $stem, ".sql"));)*

        /// Stem and text of every statement.
        pub(super) const ALL: &[(&str, &str)] = &[$(($stem, $name)),*];
    };
}

queries! {
    ACCEPTANCE_PUT = "acceptance_put";
    ACCEPTANCES = "acceptances";
    CLICK_LEDGER = "click_ledger";
    CLICKS_PURGE = "clicks_purge";
    COUNTER_ADD = "counter_add";
    COUNTER_COUNT = "counter_count";
    COUNTER_GET = "counter_get";
    COUNTER_PUT = "counter_put";
    COUNTERS_RECOUNT = "counters_recount";
    CURSOR_GET = "cursor_get";
    CURSOR_PUT = "cursor_put";
    DAY_ADD = "day_add";
    DAY_SKETCH = "day_sketch";
    DAYS_OF_LINK = "days_of_link";
    EVENT_BY_ID = "event_by_id";
    EVENT_IMPORT = "event_import";
    EVENT_INSERT = "event_insert";
    EVENTS_COUNT_OF_LINK = "events_count_of_link";
    EVENTS_COUNT_OF_TYPE = "events_count_of_type";
    EVENTS_COUNT_OF_USER = "events_count_of_user";
    EVENTS_LIST = "events_list";
    EVENTS_LIST_OF_LINK = "events_list_of_link";
    EVENTS_LIST_OF_TYPE = "events_list_of_type";
    EVENTS_LIST_OF_USER = "events_list_of_user";
    HOUR_ADD = "hour_add";
    HOUR_SKETCH = "hour_sketch";
    HOURS_OF_LINK = "hours_of_link";
    KEY_BY_HASH = "key_by_hash";
    KEY_BY_ID = "key_by_id";
    KEY_INSERT = "key_insert";
    KEY_REVOKE = "key_revoke";
    KEYS_LIST = "keys_list";
    LINK_BY_CODE = "link_by_code";
    LINK_BY_ID = "link_by_id";
    LINK_CODE_TAKEN = "link_code_taken";
    LINK_DELETE = "link_delete";
    LINK_IDENTITY = "link_identity";
    LINK_IMPORT = "link_import";
    LINK_INSERT = "link_insert";
    LINK_KEPT = "link_kept";
    LINK_OF_NOBODY_TO = "link_of_nobody_to";
    LINK_OF_OWNER_TO = "link_of_owner_to";
    LINK_UPDATE = "link_update";
    LINKS_CLICKED = "links_clicked";
    LINKS_COUNT = "links_count";
    LINKS_COUNT_OF_CODE = "links_count_of_code";
    LINKS_COUNT_OF_OWNER = "links_count_of_owner";
    LINKS_EMPTIED_AT = "links_emptied_at";
    LINKS_LIST = "links_list";
    LINKS_LIST_OF_CODE = "links_list_of_code";
    LINKS_LIST_OF_OWNER = "links_list_of_owner";
    LINKS_TOP = "links_top";
    MOVING_ACCEPTANCES_PUT = "moving_acceptances_put";
    MOVING_ACCEPTANCES_REMOVE = "moving_acceptances_remove";
    MOVING_ACCEPTANCES_ROWS = "moving_acceptances_rows";
    MOVING_DELETED_USERS_PUT = "moving_deleted_users_put";
    MOVING_DELETED_USERS_REMOVE = "moving_deleted_users_remove";
    MOVING_DELETED_USERS_ROWS = "moving_deleted_users_rows";
    MOVING_AGENTS_PUT = "moving_agents_put";
    MOVING_AGENTS_REMOVE = "moving_agents_remove";
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
    MOVING_NOTES = "moving_notes";
    MOVING_NOTES_CLEAR = "moving_notes_clear";
    MOVING_ONCES_PUT = "moving_onces_put";
    MOVING_ONCES_REMOVE = "moving_onces_remove";
    MOVING_ONCES_ROWS = "moving_onces_rows";
    MOVING_RECOUNT = "moving_recount";
    MOVING_REFERRERS_PUT = "moving_referrers_put";
    MOVING_REFERRERS_REMOVE = "moving_referrers_remove";
    MOVING_REFERRERS_ROWS = "moving_referrers_rows";
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
    ONCE_GET = "once_get";
    ONCE_PUT = "once_put";
    ONCES_SWEEP = "onces_sweep";
    SALT_GET = "salt_get";
    SALT_PUT = "salt_put";
    SALTS_DESTROY = "salts_destroy";
    SEQUENCE_BEGIN = "sequence_begin";
    SEQUENCE_KEEP = "sequence_keep";
    SHARE_ADD = "share_add";
    SHARE_GROW = "share_grow";
    SHARE_VALUES = "share_values";
    SHARES_OF_LINK = "shares_of_link";
    TOTAL_ADD = "total_add";
    TOTAL_OF_LINK = "total_of_link";
    DELETED_USER_CREATED_AT = "deleted_user_created_at";
    DELETED_USER_PUT = "deleted_user_put";
    USER_BY_ID = "user_by_id";
    USER_CREATED_AT = "user_created_at";
    USER_DELETE = "user_delete";
    USER_EXISTS = "user_exists";
    USER_IMPORT = "user_import";
    USER_INSERT = "user_insert";
    USER_NAMES_TAKEN = "user_names_taken";
    USER_LINKS_CODES = "user_links_codes";
    USER_LINKS_DELETE = "user_links_delete";
    USER_LINKS_EVENTS = "user_links_events";
    USER_PROMOTE_EMAIL = "user_promote_email";
    USER_PROMOTE_USERNAME = "user_promote_username";
    USER_UPDATE_EMAIL = "user_update_email";
    USER_UPDATE_USERNAME = "user_update_username";
    USERS_LIST = "users_list";
}

/// The stem of a statement's file; also of one that [`super::rows`] has given more rows than the file has.
pub(super) fn name_of(text: &str) -> &'static str {
    let is_it = |known: &str| text == known || known.trim_end().rsplit_once('\n').is_some_and(|(head, _)| text.starts_with(head));
    // A move's may be somebody else's to the letter: then it has that one's name.
    let exact = ALL.iter().filter(|(_, known)| *known == text).min_by_key(|(stem, _)| stem.starts_with("moving_"));
    exact.or_else(|| ALL.iter().find(|(_, known)| is_it(known))).map_or("statement", |(stem, _)| stem)
}

/// What a move makes and unmakes beside the schema: scripts, which take no parameters.
pub(super) mod scripts {
    pub(crate) const WATCH: &str = include_str!("fences/moving_watch.sql");
    pub(crate) const UNWATCH: &str = include_str!("fences/moving_unwatch.sql");
    pub(crate) const FENCE_CLICKS: &str = include_str!("fences/moving_fence_clicks.sql");
    pub(crate) const FENCE_WRITES: &str = include_str!("fences/moving_fence_writes.sql");
    pub(crate) const UNFENCE: &str = include_str!("fences/moving_unfence.sql");
}

//! Every statement, one `.sql` file each; the file's stem is its name everywhere.

macro_rules! queries {
    ($($name:ident = $stem:literal;)*) => {
        $(pub(super) const $name: &str = include_str!(concat!("queries/", $stem, ".sql"));)*

        /// Stem and text of every statement.
        #[cfg(test)]
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
    LINK_UPDATE = "link_update";
    LINKS_COUNT = "links_count";
    LINKS_COUNT_OF_CODE = "links_count_of_code";
    LINKS_COUNT_OF_OWNER = "links_count_of_owner";
    LINKS_LIST = "links_list";
    LINKS_LIST_OF_CODE = "links_list_of_code";
    LINKS_LIST_OF_OWNER = "links_list_of_owner";
    LINKS_TOP = "links_top";
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

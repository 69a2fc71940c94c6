//! The REST contract, from outside: every endpoint, every riddle, every quirk of the lists; each sentence on both databases.
//!
//! A sentence that is not in the list below is dead code, which the compiler reports.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod test_app;

#[path = "contract/auth.rs"]
mod auth;
#[path = "contract/bulk.rs"]
mod bulk;
#[path = "contract/codes.rs"]
mod codes;
#[path = "contract/documented.rs"]
mod documented;
#[path = "contract/emptied.rs"]
mod emptied;
#[path = "contract/endpoints.rs"]
mod endpoints;
#[path = "contract/events.rs"]
mod events;
#[path = "contract/idempotency.rs"]
mod idempotency;
#[path = "contract/lists.rs"]
mod lists;
#[path = "contract/riddles.rs"]
mod riddles;
#[path = "contract/stats.rs"]
mod stats;
#[path = "contract/vanished.rs"]
mod vanished;
#[path = "contract/versions.rs"]
mod versions;

use std::future::Future;

use test_app::Backend;

fn run<F: Future<Output = ()>>(on: Backend, sentence: fn(Backend) -> F) {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(sentence(on));
}

/// On PostgreSQL a module's sentences are one test: the server is started once for them, and the last sentence named in the output is the
/// one that does not hold.
macro_rules! on_both_databases {
    ($($module:ident { $($sentence:ident,)* })*) => {
        mod sqlite {
            $(mod $module {
                $(#[test]
                fn $sentence() {
                    crate::run(crate::Backend::Sqlite, crate::$module::$sentence);
                })*
            })*
        }

        mod postgres {
            $(mod $module {
                #[test]
                fn every_sentence_holds() {
                    let _kept = crate::Backend::Postgres.kept();
                    $(
                        println!(stringify!($sentence));
                        crate::run(crate::Backend::Postgres, crate::$module::$sentence);
                    )*
                }
            })*
        }
    };
}

on_both_databases! {
    auth {
        the_api_needs_a_key_and_visitors_do_not,
        a_revoked_key_stops_and_a_new_one_starts,
    }
    bulk {
        every_item_of_a_bulk_create_is_judged_by_itself,
        a_users_file_is_imported_with_its_ids_and_times,
        rows_that_cannot_be_users_are_skipped_and_told,
        what_is_no_users_file_is_refused,
    }
    codes {
        a_code_asked_for_is_given_once,
        an_impossible_code_is_refused_with_its_field,
        a_visitor_who_was_early_sees_the_link_once_it_is_there,
        a_full_code_space_still_creates,
    }
    documented {
        the_page_has_a_heading_for_every_method_of_every_route_and_no_other,
        the_page_shows_every_field_of_every_object,
    }
    emptied {
        emptied_tables_are_counted_as_empty_and_their_links_lend_nothing_to_the_next_ones,
        clicks_that_are_still_in_the_spool_are_never_the_next_links,
        a_server_whose_every_table_is_emptied_goes_on,
        a_total_that_was_lost_is_counted_anew,
    }
    endpoints {
        health_is_exactly_ok,
        users_are_created_shown_changed_and_deleted,
        links_are_created_shown_changed_and_deleted,
        a_redirect_leads_to_the_target_by_all_its_addresses,
        shorten_needs_no_user_and_takes_either_name_of_the_target,
        a_link_may_say_how_and_until_when_it_redirects,
        times_have_no_zone_at_the_root_and_z_under_v1,
        metrics_are_prometheus_text,
        what_no_number_names_is_not_found,
        a_clients_request_id_comes_back,
    }
    events {
        an_event_is_posted_and_shown_as_it_came,
        a_posted_click_counts,
        a_wrong_event_is_refused_with_its_field,
    }
    idempotency {
        a_create_that_is_sent_again_is_answered_as_the_first_time,
        the_same_key_with_another_request_is_422_and_without_one_every_create_is_its_own,
        what_failed_is_not_remembered,
        a_create_whose_answer_was_lost_is_found_again,
        an_event_whose_answer_was_lost_is_found_again,
        of_many_at_once_one_makes_the_link_and_the_others_are_told,
        find_if_exists_and_a_key_go_together,
        one_clients_key_is_not_anothers,
        a_key_is_forgotten_after_its_time,
    }
    lists {
        pages_are_arrays_with_totals_and_neighbours,
        numbers_out_of_range_are_clamped_and_what_is_no_number_is_refused,
        links_are_filtered_by_owner_state_code_title_and_target,
        events_are_filtered_by_link_user_and_type,
        an_unpaged_list_stops_at_its_bound_and_says_how_to_go_on,
    }
    riddles {
        twins_get_different_codes_unless_the_existing_one_is_asked_for,
        every_create_update_click_and_delete_leaves_its_event,
        a_click_is_counted_before_the_next_read,
        a_stranger_without_a_proper_name_and_address_is_refused,
        a_sleeping_link_is_hidden_from_visitors_and_leaves_no_click,
        a_deleted_users_links_go_with_the_user,
        types_are_checked_and_never_coerced,
        a_vessel_that_is_no_json_object_is_refused,
    }
    stats {
        a_links_clicks_are_counted_by_time_and_kind,
        a_range_ends_before_its_last_instant_so_that_neighbours_share_no_click,
        all_links_are_counted_together,
        a_wrong_question_is_refused_with_its_parameter,
        an_answer_that_may_miss_clicks_says_so,
    }
    vanished {
        when_users_links_and_events_vanish_the_server_goes_on_with_what_is_there,
        when_all_rows_but_the_cursors_vanish_and_ids_begin_again_the_server_goes_on_all_the_same,
    }
    versions {
        what_the_client_has_already_is_304,
        a_change_is_made_only_to_the_version_it_was_meant_for,
        what_was_created_says_where_it_stands,
    }
}

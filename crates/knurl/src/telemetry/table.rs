//! The one table of metrics: what each is called, what it says of itself, and what it is told apart by.
//!
//! Promised: nothing is exposed that does not stand here, and everything that stands here is exposed (where this process has what it speaks
//! of); `docs/reference/metrics.md` is made of it. Refused: a label whose values come from a request.

use prometheus_client::{
    encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
};

use super::histogram::Histogram;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows; exposed with `_total` behind its name.
    Counter,
    Gauge,
    /// Of seconds.
    Histogram,
}

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Family {
    /// Of a counter without its `_total`, which the encoder adds.
    pub name: &'static str,
    pub kind: Kind,
    pub labels: &'static [&'static str],
    pub help: &'static str,
}

pub(super) type Encoded = Result<(), std::fmt::Error>;
pub(super) type Out<'a> = DescriptorEncoder<'a>;

impl Family {
    /// As Prometheus knows it.
    pub fn exposed(&self) -> String {
        match self.kind {
            Kind::Counter => format!("{}_total", self.name),
            Kind::Gauge | Kind::Histogram => self.name.to_owned(),
        }
    }

    /// Begins it; without a series in it, its name is there all the same.
    pub(super) fn of<'a>(&self, out: &'a mut Out<'_>) -> Result<MetricEncoder<'a>, std::fmt::Error> {
        let kind = match self.kind {
            Kind::Counter => MetricType::Counter,
            Kind::Gauge => MetricType::Gauge,
            Kind::Histogram => MetricType::Histogram,
        };
        out.encode_descriptor(self.name, self.help, None, kind)
    }

    pub(super) fn count(&self, out: &mut Out<'_>, total: u64) -> Encoded {
        ConstCounter::new(total).encode(self.of(out)?)
    }

    pub(super) fn gauge(&self, out: &mut Out<'_>, value: f64) -> Encoded {
        ConstGauge::new(value).encode(self.of(out)?)
    }

    pub(super) fn seconds(&self, out: &mut Out<'_>, total: f64) -> Encoded {
        ConstCounter::new(total).encode(self.of(out)?)
    }

    pub(super) fn histogram(&self, out: &mut Out<'_>, value: &Histogram) -> Encoded {
        value.encode(self.of(out)?)
    }

    /// One series for each value of its only label.
    pub(super) fn counts(&self, out: &mut Out<'_>, series: impl IntoIterator<Item = (&'static str, u64)>) -> Encoded {
        let mut family = self.of(out)?;
        let label = self.labels.first().copied().unwrap_or_default();
        for (value, total) in series {
            ConstCounter::new(total).encode(family.encode_family(&[(label, value)])?)?;
        }
        Ok(())
    }

    /// Of whole numbers: a state, or yes and no.
    pub(super) fn levels(&self, out: &mut Out<'_>, series: impl IntoIterator<Item = (&'static str, u64)>) -> Encoded {
        let mut family = self.of(out)?;
        let label = self.labels.first().copied().unwrap_or_default();
        for (value, level) in series {
            ConstGauge::new(level).encode(family.encode_family(&[(label, value)])?)?;
        }
        Ok(())
    }

    pub(super) fn gauges(&self, out: &mut Out<'_>, series: impl IntoIterator<Item = (&'static str, f64)>) -> Encoded {
        let mut family = self.of(out)?;
        let label = self.labels.first().copied().unwrap_or_default();
        for (value, gauge) in series {
            ConstGauge::new(gauge).encode(family.encode_family(&[(label, value)])?)?;
        }
        Ok(())
    }
}

macro_rules! table {
    ($($title:literal: $($id:ident = $kind:ident $name:literal [$($label:literal)*] $help:literal;)*)*) => {
        $($(pub const $id: Family = Family { name: $name, kind: Kind::$kind, labels: &[$($label),*], help: $help };)*)*
        /// By what they are about, in the order of their exposition and of the page.
        pub const ALL: &[(&str, &[Family])] = &[$(($title, &[$($id),*])),*];
    };
}

table! {
    "The process":
    BUILD = Gauge "knurl_build_info" ["version"] "1, with the version as a label.";
    CONFIG = Gauge "knurl_config_info" ["auth" "database" "durability" "redis" "replica"] "1, with what this node was configured to be.";
    START_TIME = Gauge "process_start_time_seconds" [] "When the process started, in seconds since 1970.";
    UPTIME = Gauge "knurl_uptime_seconds" [] "How long the process has run, by the monotonic clock.";
    LAST_RUN_UNCLEAN = Gauge "knurl_last_run_unclean" [] "1 where the run before this one on the same data directory was not stopped but ended.";
    UNCLEAN_ENDS = Counter "knurl_unclean_ends" [] "Runs on this data directory, ever, that were not stopped but ended: killed, aborted, without power.";
    READY = Gauge "knurl_ready" [] "1 while `/readyz` says that this node can redirect, 0 while it starts, stops or could not.";
    CLOCK = Gauge "knurl_clock_seconds" [] "The wall clock of this node at the scrape, in seconds since 1970.";
    CLOCK_STEPS = Counter "knurl_clock_steps" [] "Times the wall clock moved against the monotonic one by a second or more.";
    RUNTIME_SILENCE = Counter "knurl_runtime_silence_seconds" [] "Time in which no worker turned, in silences of a quarter second or more, as the watchdog saw them.";
    DATA_DIR_FREE = Gauge "knurl_data_dir_free_bytes" [] "What is left of the file system that the data directory is on; looked at every five seconds.";
    DATA_DIR_SIZE = Gauge "knurl_data_dir_size_bytes" [] "All of that file system that may be used.";
    SPOOL_BYTES_MAX = Gauge "knurl_spool_bytes_max" [] "What the spool may take of it.";
    CPU = Counter "process_cpu_seconds" [] "User and system CPU time spent.";
    OPEN_FDS = Gauge "process_open_fds" [] "Open file descriptors.";
    MAX_FDS = Gauge "process_max_fds" [] "Most file descriptors this process may open.";
    VIRTUAL_MEMORY = Gauge "process_virtual_memory_bytes" [] "Virtual memory.";
    RESIDENT_MEMORY = Gauge "process_resident_memory_bytes" [] "Resident memory.";
    THREADS = Gauge "process_threads" [] "Threads.";

    "Redirects":
    REDIRECTS = Counter "knurl_redirects" ["outcome"] "Requests for a short code, by what they got.";
    RESOLVES = Counter "knurl_resolves" ["tier"] "Short codes resolved, by where the link was found.";
    REDIRECT_DURATION = Histogram "knurl_redirect_duration_seconds" [] "From the end of the request's header to the answer handed to the connection; guesses that were refused, or waited in the slow lanes for nothing, are left out.";

    "The API":
    API_DURATION = Histogram "http_server_request_duration_seconds" ["http_request_method" "http_route" "http_response_status_code"] "Time an API request took, by method, route pattern and status.";
    IDEMPOTENCY_REPEATS = Counter "knurl_idempotency_repeats" ["told"] "Creates whose Idempotency-Key was known, by what they were told.";
    IDEMPOTENCY_FORGOTTEN = Counter "knurl_idempotency_forgotten" [] "Idempotency keys forgotten after their time.";

    "Connections":
    CONNECTIONS_ACCEPTED = Counter "knurl_connections_accepted" [] "Connections accepted.";
    CONNECTIONS_OPEN = Gauge "knurl_connections_open" [] "Connections open.";
    CONNECTIONS_REFUSED = Counter "knurl_connections_refused" [] "Connections answered 503 because the cap was reached.";
    ACCEPT_ERRORS = Counter "knurl_accept_errors" [] "accept() calls that failed.";
    REQUESTS_MALFORMED = Counter "knurl_requests_malformed" [] "Requests refused because they were not acceptable HTTP.";
    CONNECTION_PANICS = Counter "knurl_connection_panics" [] "Panics caught while serving a connection.";
    CONNECTION_TIMEOUTS = Counter "knurl_connection_timeouts" ["kind"] "Connections closed because the peer was too slow, by what was waited for.";

    "Admission and limits":
    IN_FLIGHT = Gauge "knurl_admission_in_flight" ["class"] "Requests at work, by class; redirects only where memory did not know the code.";
    PLACES = Gauge "knurl_admission_places" ["class"] "Requests that may be at work at once, by class: in flight over places is the saturation.";
    WAITING = Gauge "knurl_admission_waiting" ["class"] "Requests waiting for a place, by class.";
    SHED = Counter "knurl_admission_shed" ["class"] "Requests answered 503 because there was too much to do, by class.";
    REFUSAL = Histogram "knurl_admission_refusal_duration_seconds" [] "Time from a request's asking for a place until it was refused one.";
    RUNG = Gauge "knurl_admission_rung" [] "Classes narrowed for the sake of those above them: 1 exports, 2 reads too, 3 creates too.";
    WORKER_LAG = Gauge "knurl_admission_worker_lag_seconds" [] "Longest a task has waited for a worker since the last scrape.";
    LIMITS = Counter "knurl_limits" ["limit" "verdict"] "Requests that a limit counted, by limit and verdict.";
    LIMITS_COUNTED = Counter "knurl_limits_counted" ["by"] "Requests that a limit counted, by who counted them: the fleet in Redis, or this node alone.";
    LIMITS_FORGOTTEN = Counter "knurl_limits_forgotten" [] "Clients forgotten by the table of limits although they still owed something: more clients than it holds.";
    LANES_FULL = Counter "knurl_limits_lanes_full" [] "Guesses of short codes refused without a look, because too many of them were waiting.";

    "A click's life":
    CLICKS_ANSWERED = Counter "knurl_clicks_answered" [] "Clicks answered, ever, by this node's spool.";
    CLICKS_DELIVERED = Counter "knurl_clicks_delivered" [] "Clicks delivered to the store.";
    CLICKS_DROPPED = Counter "knurl_clicks_dropped" [] "Clicks given up because the spool was full or broken.";
    CLICKS_LOST = Gauge "knurl_clicks_lost" [] "Clicks answered and neither in the spool nor delivered nor dropped: what the conservation law lacks.";
    CLICKS_UNDECODABLE = Counter "knurl_clicks_undecodable" [] "Spool records that could not be read.";
    CLICKS_ASIDE = Counter "knurl_clicks_aside" [] "Clicks the database refused for good, kept as files beside the spool.";
    CLICKS_UNSYNCED = Counter "knurl_clicks_unsynced" [] "Answers that left before the fsync they waited for.";
    CLICKS_PURGED = Counter "knurl_clicks_purged" [] "Click events removed by retention.";
    BACKLOG = Gauge "knurl_clicks_backlog" [] "Clicks in the spool, not yet delivered.";
    BACKLOG_BYTES = Gauge "knurl_clicks_backlog_bytes" [] "Bytes of the spool, not yet delivered.";
    BACKLOG_SECONDS = Gauge "knurl_clicks_backlog_seconds" [] "Age of the oldest click in the spool that is not yet delivered.";
    STARVED = Gauge "knurl_spool_starved" [] "1 while no room can be made for more clicks.";
    FSYNC = Histogram "knurl_spool_fsync_duration_seconds" [] "Time of the spool's fsync.";
    FSYNC_ERRORS = Counter "knurl_spool_fsync_errors" [] "Failed fsyncs of the spool.";
    DRAIN = Histogram "knurl_drain_duration_seconds" [] "Time to deliver one batch of clicks.";
    DRAIN_ERRORS = Counter "knurl_drain_errors" [] "Batches that could not be delivered and are tried again.";
    CANARY_INTERVAL = Gauge "knurl_canary_interval_seconds" [] "How often the canary's link is clicked; 0: never.";
    CANARY_AGE = Gauge "knurl_canary_age_seconds" [] "Since the canary last saw its click in the roll-ups, or since the start.";
    CANARY_DELAY = Histogram "knurl_canary_delay_seconds" [] "From the canary's click to its place in the roll-ups.";
    CANARY_FAILURES = Counter "knurl_canary_failures" ["step"] "Clicks of the canary that were not seen in the roll-ups in time, by the step that failed.";

    "The database":
    STORE_UP = Gauge "knurl_store_up" [] "1 while a trivial write goes through; tried every five seconds.";
    STORE_PING = Histogram "knurl_store_ping_duration_seconds" [] "Time of that trivial write.";
    STORE_ERRORS = Counter "knurl_store_errors" ["kind"] "Calls to the store that failed, by kind.";
    STORE_QUEUE = Gauge "knurl_store_queue" [] "Writes waiting for a commit.";
    STORE_WRITES = Counter "knurl_store_writes" [] "Writes taken from the queue.";
    STORE_COMMITS = Counter "knurl_store_commits" [] "Groups of writes committed.";
    STORE_COMMIT_SECONDS = Counter "knurl_store_commit_seconds" [] "Time spent in commits; over commits it is their mean duration.";
    STORE_FAILED_GROUPS = Counter "knurl_store_failed_groups" [] "Groups of writes whose commit failed.";
    STORE_WRITER_PANICS = Counter "knurl_store_writer_panics" [] "Writes that panicked.";

    "Memory and the tiers below it":
    CACHE_LINKS = Gauge "knurl_cache_links" [] "Links held in memory.";
    CACHE_BYTES = Gauge "knurl_cache_bytes" [] "Memory the held links take, their table included.";
    CACHE_NEGATIVE = Gauge "knurl_cache_negative" [] "Codes remembered as absent.";
    CACHE_FORGOTTEN = Counter "knurl_cache_forgotten" [] "Times all of memory was set aside after a foreign change.";
    TIER_ANSWERS = Counter "knurl_tier_answers" ["tier" "said"] "Questions to the tiers below memory, by tier and what it said.";
    TIER_DURATION = Histogram "knurl_tier_duration_seconds" ["tier"] "Time a tier below memory took to answer, or was waited for.";
    TIER_RETRIES = Counter "knurl_tier_retries" [] "Reads of the database made again after a failure; at most a tenth of all.";
    RETRY_BUDGET = Gauge "knurl_retry_budget" [] "Reads of the database that may be made again now.";
    REPLICA_LINKS = Gauge "knurl_replica_links" [] "Links in this node's replica, deleted ones left out.";
    REPLICA_COMPLETE = Gauge "knurl_replica_complete" [] "1 once the replica has every link of the database.";
    REPLICA_COMPARED = Gauge "knurl_replica_compared" [] "1 while no part of the replica is to be compared with the database.";
    REPLICA_AGE = Gauge "knurl_replica_age_seconds" [] "How long ago the replica held all that the database held.";
    REPLICA_FAILURES = Counter "knurl_replica_failures" [] "Reads and writes of the replica's file that failed.";
    REPLICA_LOOKS = Counter "knurl_replica_looks" [] "Looks at the database's changes.";
    REPLICA_LOOK_ERRORS = Counter "knurl_replica_look_errors" [] "Looks at the database's changes that failed.";
    REPLICA_ROWS = Counter "knurl_replica_rows" [] "Rows of links read from the database to keep up with it.";
    REPLICA_COMPARISONS = Counter "knurl_replica_comparisons" [] "Times the whole table began to be compared.";
    FEED_UNANNOUNCED = Counter "knurl_feed_unannounced" [] "Looks at the database's changes that found edits of which no notification came within a second.";

    "What is depended on":
    DEPENDENCY_UP = Gauge "knurl_dependency_up" ["dependency"] "1 while the dependency is reached and asked as usual, 0 while it is away or given up.";
    BREAKER_STATE = Gauge "knurl_breaker_state" ["dependency"] "0 closed, 1 half-open (one probe is under way), 2 open (it is not asked).";
    BREAKER_TRANSITIONS = Counter "knurl_breaker_transitions" ["dependency" "to"] "Changes of a breaker's state, by what it became.";
    REDIS_CALLS = Counter "knurl_redis_calls" ["call" "outcome"] "Calls to Redis, by what was asked and what came of it.";
    REDIS_LINKS = Counter "knurl_redis_links" ["found"] "Looks for a link cached in Redis, by what was found.";
    REDIS_HINTS = Counter "knurl_redis_hints" ["hint"] "News of edits by way of Redis, by what became of them.";
    REDIS_CONNECTED = Gauge "knurl_redis_connected" [] "1 while there is a connection to Redis.";
    REDIS_CONNECTS = Counter "knurl_redis_connects" [] "Connections made to Redis.";
    REDIS_PUTS_REFUSED = Counter "knurl_redis_puts_refused" [] "Links not cached: a change came between, or the leave had lapsed.";
    REDIS_DISTRUSTED = Counter "knurl_redis_distrusted" [] "Times cached links were set aside: a change may not have reached Redis.";

    "Upkeep":
    BACKUP_AGE = Gauge "knurl_backup_age_seconds" [] "Since the last backup, or since this data directory could have had one; SQLite only.";
    BACKUP_LAST_FAILED = Gauge "knurl_backup_last_failed" [] "1 where the last run of `knurl backup` made none; SQLite only.";
    JOB_PANICS = Counter "knurl_job_panics" [] "Panics of background jobs; each job is restarted.";
    JOB_ERRORS = Counter "knurl_job_errors" [] "Steps of background jobs that failed and are tried again.";
    LOG_DROPPED = Counter "knurl_log_dropped" [] "Log lines dropped because the reader was too slow.";
    TRACES_DROPPED = Counter "knurl_traces_dropped" ["reason"] "Traces that were to be sent and were not, by reason.";
    TRACES_EXPORTED = Counter "knurl_traces_exported" [] "Traces that the collector has taken.";
    TRACES_EXPORT_FAILURES = Counter "knurl_traces_export_failures" [] "Attempts to send traces that failed.";
    TRACES_QUEUED_SPANS = Gauge "knurl_traces_queued_spans" [] "Spans that wait to be sent.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_stands_once_and_says_in_a_sentence_what_it_is() {
        let mut names = std::collections::BTreeSet::new();
        for family in ALL.iter().flat_map(|(_, families)| *families) {
            assert!(names.insert(family.exposed()), "{} stands twice", family.name);
            assert!(["knurl_", "process_", "http_server_"].iter().any(|prefix| family.name.starts_with(prefix)), "{}", family.name);
            assert!(!family.name.ends_with("_total"), "{}: the encoder adds it", family.name);
            assert!(family.help.ends_with('.'), "{}", family.name);
            assert_eq!(
                family.kind == Kind::Histogram,
                family.name.ends_with("_duration_seconds") || family.name == "knurl_canary_delay_seconds",
                "{}",
                family.name
            );
        }
    }
}

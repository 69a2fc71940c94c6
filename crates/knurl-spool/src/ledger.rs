//! The counters that outlive the process.

/// A look at the ledger page.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Ledger {
    /// Clicks (or whatever the records are) that were answered, ever.
    pub answered: u64,
    /// Of those, the ones that could not be appended.
    pub dropped: u64,
    /// Syncs of the ledger page that failed since open.
    pub sync_failures: u64,
}

//! Worlds that break a promise on purpose: each must be found out, or the simulation shows nothing.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    /// A batch of clicks is applied, its cursor is not kept.
    CursorIsForgotten,
    /// A batch of clicks is acknowledged and not applied.
    ClicksAreNotApplied,
    /// The feed does not say which transactions are still open.
    FeedMissesLateCommits,
    /// The feed shows now and then, under a link's new version, what it was before.
    FeedShowsOldRows,
    /// The feed says nothing of deletions.
    FeedMissesDeletions,
    /// Notifications never arrive, and nobody says that they are lost.
    NoticesAreSilent,
    /// The cache all nodes share takes and gives any version at any time.
    SharedCacheIsUnversioned,
    /// A database that is away says "no such link".
    AwayIsNone,
    /// The disk says that it has synced, and has not.
    SyncIsALie,
}

//! The database's feed of changed links, as one node's follower reads it.

use std::{collections::BTreeMap, sync::Arc};

use knurl::jobs::{Changing, Follows, follower};
use knurl_store::{
    StoreError,
    replica::{
        LinkCopy, Replica, State,
        follow::{Forget, Head, Source},
        position::{Position, Range},
    },
};
use tokio::sync::Notify;

use super::{
    broken::Broken,
    trace::note,
    world::{Moment, World, gone},
};

type Result<T> = std::result::Result<T, StoreError>;

/// One node's access to it.
pub(crate) struct NodeFeed {
    pub(crate) world: World,
    pub(crate) node: usize,
}

impl Changing for NodeFeed {
    fn follower(&self, replica: Option<&Replica>, forget: Forget) -> (Box<dyn Follows>, Arc<Notify>) {
        let heard = self.world.listen(self.node);
        let feed = Feed { world: self.world.clone(), node: self.node, look: None, read: BTreeMap::new() };
        (follower(feed, replica, forget), heard)
    }

    fn is_up(&self) -> bool {
        self.world.is_up(self.node)
    }
}

struct Feed {
    world: World,
    node: usize,
    look: Option<Moment>,
    /// What this look has brought.
    read: BTreeMap<String, i64>,
}

impl Feed {
    fn lies(&self, row: &LinkCopy) -> bool {
        self.world.broken == Some(Broken::FeedMissesDeletions) && row.state == State::Deleted
    }
}

impl Source for Feed {
    async fn look(&mut self) -> Result<Head> {
        (self.look, self.read) = (None, BTreeMap::new());
        self.world.arrive(self.node).await?;
        let moment = self.world.moment();
        let head = Head {
            database: "the only one".into(),
            lineage: "1".into(),
            generation: "1".into(),
            now: Position::parse(&moment.snapshot)?,
            links: moment.links.values().filter(|(_, row)| row.state != State::Deleted || self.lies(row)).count() as u64,
        };
        self.look = Some(moment);
        self.world.depart(self.node).await?;
        Ok(head)
    }

    async fn changes(&mut self, range: Range, limit: u32) -> Result<Vec<(u64, LinkCopy)>> {
        self.world.arrive(self.node).await?;
        let moment = self.look.as_ref().ok_or_else(|| gone("no look has begun"))?;
        let within = |(xid, row): &&(u64, LinkCopy)| (*xid, row.id.0) > range.above && *xid < range.below && !self.lies(row);
        let mut rows: Vec<(u64, LinkCopy)> = moment.links.values().filter(within).cloned().collect();
        rows.sort_by_key(|(xid, row)| (*xid, row.id.0));
        rows.truncate(limit as usize);
        self.read.extend(rows.iter().map(|(_, row)| (row.short_code.clone(), row.version)));
        if self.world.broken == Some(Broken::FeedShowsOldRows) {
            for (_, row) in &mut rows {
                if self.world.roll(3) == 0
                    && let Some(former) = self.world.former(row.id.0)
                {
                    row.state = former;
                }
            }
        }
        self.world.depart(self.node).await?;
        Ok(rows)
    }

    async fn looked(&mut self) -> Result<()> {
        self.world.arrive(self.node).await?;
        // All of it has been applied and told by now.
        for (code, version) in std::mem::take(&mut self.read) {
            note!(self.world.trace, "n{} has heard of {code} version {version}", self.node);
            self.world.books.saw(self.node, &code, version);
        }
        self.world.depart(self.node).await
    }

    async fn page(&mut self, above: i64, limit: u32) -> Result<Vec<LinkCopy>> {
        self.world.arrive(self.node).await?;
        let links = self.world.links_now();
        let rows = links.range(above.saturating_add(1)..).map(|(_, (_, row))| row.clone()).filter(|row| !self.lies(row));
        let rows = rows.take(limit as usize).collect();
        self.world.depart(self.node).await?;
        Ok(rows)
    }
}

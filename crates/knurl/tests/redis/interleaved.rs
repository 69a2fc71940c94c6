//! Several nodes, slow look-ups, lost forgets, an emptied Redis, in any order: nobody is given what is older than the newest change whose
//! forget was acknowledged to him who asks, or to anybody whose forgets arrive.

use knurl::redis::{Lease, Links, Looked, links::Tell};
use knurl_core::ShortCode;
use knurl_lab::servers::Redis as Server;
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};

use crate::{link, node, until};

const NODES: usize = 3;
const CASES: u32 = 250;

#[derive(Clone, Copy, Debug)]
enum Step {
    /// Asks Redis, and the database where that does not know.
    Look(usize),
    /// Puts the oldest, or the newest, of what that node has looked up and not put yet.
    Put(usize, bool),
    /// Commits a change; the forget comes later.
    Change,
    /// A node hears of all changes so far.
    Forget(usize),
    /// Or: that does not reach Redis.
    Lose(usize),
    Flush,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let node = 0..NODES;
    let step = prop_oneof![
        6 => node.clone().prop_map(Step::Look),
        5 => (node.clone(), any::<bool>()).prop_map(|(node, newest)| Step::Put(node, newest)),
        3 => Just(Step::Change),
        3 => node.clone().prop_map(Step::Forget),
        1 => node.prop_map(Step::Lose),
        1 => Just(Step::Flush),
    ];
    prop::collection::vec(step, 1..60)
}

#[test]
fn nobody_gets_what_is_older_than_the_newest_acknowledged_change() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let server = Server::start().unwrap();
    let nodes: Vec<_> = (0..NODES).map(|_| runtime.block_on(node(&server.url())).0).collect();
    let links: Vec<_> = nodes.iter().map(knurl::redis::Redis::links).collect();
    let case = std::cell::Cell::new(0);
    let hits = std::cell::Cell::new(0);
    let mut runner = TestRunner::new(Config { cases: CASES, failure_persistence: None, ..Config::default() });
    let law = |steps: Vec<Step>| {
        case.set(case.get() + 1);
        let code = ShortCode::parse(&format!("code{}", case.get())).unwrap();
        hits.set(hits.get() + runtime.block_on(World::new(&server, &links, code).run(&steps))?);
        Ok(())
    };
    runner.run(&steps(), law).unwrap();
    assert!(hits.get() > CASES, "{} hits: the property was about nothing", hits.get());
}

struct World<'a> {
    server: &'a Server,
    links: &'a [Links],
    code: ShortCode,
    /// What the database says.
    version: i64,
    /// Of each node: what it looked up, and under which leave.
    looked_up: Vec<Vec<(Lease, i64)>>,
    /// Of each node: changes up to this one were heard of by it; Redis has the forget or the node distrusts what was before.
    heard: Vec<i64>,
    /// The newest change that reached Redis.
    acknowledged: i64,
    hits: u32,
}

impl<'a> World<'a> {
    fn new(server: &'a Server, links: &'a [Links], code: ShortCode) -> Self {
        Self {
            server,
            links,
            code,
            version: 1,
            looked_up: vec![Vec::new(); NODES],
            heard: vec![0; NODES],
            acknowledged: 0,
            hits: 0,
        }
    }

    async fn run(mut self, steps: &[Step]) -> Result<u32, TestCaseError> {
        for step in steps {
            match *step {
                Step::Look(node) => self.look(node).await?,
                Step::Put(node, newest) => self.put(node, newest).await,
                Step::Change => self.version += 1,
                Step::Forget(node) => {
                    self.links[node].forget("", &self.code, self.version, Tell::Nobody).await.unwrap();
                    self.heard[node] = self.version;
                    self.acknowledged = self.version;
                }
                Step::Lose(node) => {
                    self.links[node].distrust();
                    self.heard[node] = self.version;
                    let trusted = async || {
                        matches!(self.links[node].get("", &ShortCode::parse("probe").unwrap()).await, Ok(Looked::Miss(Some(_))))
                    };
                    until("it trusts again", trusted).await;
                }
                Step::Flush => {
                    self.server.command(&["flushall"]).unwrap();
                }
            }
        }
        for node in 0..NODES {
            self.look(node).await?;
        }
        Ok(self.hits)
    }

    async fn look(&mut self, node: usize) -> Result<(), TestCaseError> {
        match self.links[node].get("", &self.code).await.unwrap() {
            Looked::Hit(found) => {
                self.hits += 1;
                let least = self.acknowledged.max(self.heard[node]);
                prop_assert!(found.version >= least, "node {} got {} after {}", node, found.version, least);
                prop_assert_eq!(found.clone(), link(found.version));
            }
            Looked::Miss(Some(lease)) => self.looked_up[node].push((lease, self.version)),
            Looked::Miss(None) => {}
        }
        Ok(())
    }

    async fn put(&mut self, node: usize, newest: bool) {
        let waiting = &mut self.looked_up[node];
        if waiting.is_empty() {
            return;
        }
        let (lease, version) = waiting.remove(if newest { waiting.len() - 1 } else { 0 });
        self.links[node].put(&lease, &link(version)).await.unwrap();
    }
}

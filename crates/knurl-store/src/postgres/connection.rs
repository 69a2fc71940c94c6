//! One connection: set up, its statements prepared once, every call bounded.
//!
//! Promised: a call ends within the connection's time, whatever server and network do; a connection whose server did not keep to it is
//! never used again. Many may ask at a time: their questions are pipelined. A statement that nobody waits for any more is cancelled, a commit never.

use std::{
    collections::HashMap,
    future::{Future, poll_fn},
    ops::Deref,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Waker},
    time::Duration,
};

use tokio::{sync::Notify, task::AbortHandle, time::timeout};
use tokio_postgres::{
    AsyncMessage, Client, Config, Row, Statement,
    types::{FromSql, ToSql},
};

use super::{
    failure::{distrusts_connection, says_refused, store_error, unavailable},
    options::PostgresOptions,
    sql::Query,
    tls::Handshake,
};
use crate::{StoreError, store::Result, witness};

/// Beyond the time in which the server ends a statement by itself: for its answer to travel.
const GRACE: Duration = Duration::from_millis(500);
/// A transaction that we left open by a mistake, or whose node vanished, gives its locks back after this.
const IDLE_IN_TRANSACTION: Duration = Duration::from_secs(10);

/// For a request to stop to reach the server.
const INTERRUPT_TIME: Duration = Duration::from_secs(2);

/// Of the time for a host, what one address of its name may take to be reached: a silent one leaves time for the next, and a first packet
/// that is lost (sent again after a second) for its second.
const ADDRESS_SHARE: f64 = 0.45;

/// As OpenTelemetry calls it.
pub(super) const SYSTEM: &str = "postgresql";

pub(super) type Param<'a> = &'a (dyn ToSql + Sync);

/// How connections are made.
#[derive(Debug)]
pub(super) struct Connector {
    hosts: Vec<Config>,
    /// Which of them took a connection last. Begun with: hosts before it that are silent would use up everybody's time.
    first: AtomicUsize,
    handshake: Handshake,
    connect_timeout: Duration,
    lock_timeout: Duration,
    /// Answers of the server on all connections so far: signs of life.
    answers: Arc<AtomicU64>,
    /// Who we are in the database's own notes on edits.
    pub(super) node: String,
}

impl Connector {
    pub(super) fn new(options: &PostgresOptions) -> Result<Self> {
        let mut hosts = options.url.hosts.clone();
        for host in &mut hosts {
            let address_time = options.connect_timeout.mul_f64(ADDRESS_SHARE);
            host.connect_timeout(host.get_connect_timeout().map_or(address_time, |given| address_time.min(*given)));
        }
        Ok(Self {
            hosts,
            first: AtomicUsize::new(0),
            handshake: Handshake::new(&options.url)?,
            connect_timeout: options.connect_timeout,
            lock_timeout: options.lock_timeout,
            answers: Arc::default(),
            node: format!("{:032x}", rand::random::<u128>()),
        })
    }

    pub(super) fn answers(&self) -> u64 {
        self.answers.load(Ordering::Relaxed)
    }

    /// To the first host that answers and lets us write, beginning with the one that did so last. `statement_time` bounds every statement.
    pub(super) async fn connect(&self, statement_time: Duration) -> Result<Connection> {
        self.connect_hearing(statement_time, &Arc::default()).await
    }

    /// As [`Connector::connect`]; `heard` is rung by every notification.
    pub(super) async fn connect_hearing(&self, statement_time: Duration, heard: &Arc<Notify>) -> Result<Connection> {
        let (mut refused, mut last) = (None, unavailable("no host is named"));
        let first = self.first.load(Ordering::Relaxed);
        for at in (first..self.hosts.len()).chain(0..first) {
            // Each by itself: one that accepts and says nothing must not keep us from the next.
            match timeout(self.connect_timeout, self.connect_to(&self.hosts[at], statement_time, heard)).await {
                Ok(Ok(connection)) => {
                    self.first.store(at, Ordering::Relaxed);
                    return Ok(connection);
                }
                // That one lives: it is said rather than what the others did not say.
                Ok(Err(error)) if says_refused(&error) => refused = refused.or(Some(error)),
                Ok(Err(error)) => last = error,
                Err(_) => last = unavailable("connecting took too long"),
            }
        }
        Err(refused.unwrap_or(last))
    }

    async fn connect_to(&self, host: &Config, statement_time: Duration, heard: &Arc<Notify>) -> Result<Connection> {
        let (client, mut driver) = host.connect(self.handshake.clone()).await.map_err(store_error)?;
        let heard = heard.clone();
        // Its errors reach whoever waits for an answer; one that comes while nobody does is seen by `is_usable`.
        let driver = tokio::spawn(async move {
            while let Some(Ok(message)) = poll_fn(|cx| driver.poll_message(cx)).await {
                if matches!(message, AsyncMessage::Notification(_)) {
                    heard.notify_one();
                }
            }
        });
        let driver = driver.abort_handle();
        let connection = Connection {
            client,
            cutter: Cutter { driver, distrusted: Arc::default() },
            statements: Mutex::default(),
            handshake: self.handshake.clone(),
            answers: self.answers.clone(),
            abandoned: AtomicBool::new(false),
            commits: AtomicBool::new(false),
            answer_time: statement_time + GRACE,
        };
        connection.client.batch_execute(&self.settings(statement_time)).await.map_err(store_error)?;
        Ok(connection)
    }

    fn settings(&self, statement_time: Duration) -> String {
        format!(
            "set statement_timeout = {}; set lock_timeout = {}; set idle_in_transaction_session_timeout = {}; \
             set default_transaction_isolation = 'read committed'; set jit = off; set knurl.node = '{}'; \
             select set_config('synchronous_commit', 'on', false) where current_setting('synchronous_commit') = 'off'",
            statement_time.as_millis(),
            self.lock_timeout.min(statement_time).as_millis(),
            IDLE_IN_TRANSACTION.as_millis(),
            self.node,
        )
    }
}

pub(super) struct Connection {
    pub(super) client: Client,
    cutter: Cutter,
    statements: Mutex<HashMap<&'static str, Statement>>,
    handshake: Handshake,
    answers: Arc<AtomicU64>,
    /// A caller left while the server was at work for it.
    abandoned: AtomicBool,
    /// A commit was sent and its answer has not come.
    commits: AtomicBool,
    answer_time: Duration,
}

/// Closes a connection under whoever uses it: their calls fail at once.
#[derive(Clone, Debug)]
pub(super) struct Cutter {
    driver: AbortHandle,
    distrusted: Arc<AtomicBool>,
}

impl Cutter {
    pub(super) fn cut(&self) {
        self.distrusted.store(true, Ordering::Release);
        self.driver.abort();
    }

    pub(super) fn is_done(&self) -> bool {
        self.driver.is_finished()
    }
}

impl Connection {
    pub(super) fn is_usable(&self) -> bool {
        !self.client.is_closed() && !self.cutter.distrusted.load(Ordering::Acquire)
    }

    pub(super) fn cutter(&self) -> &Cutter {
        &self.cutter
    }

    pub(super) fn is_abandoned(&self) -> bool {
        self.abandoned.load(Ordering::Acquire)
    }

    /// Within the connection's time; any failure that casts doubt on the connection cuts it.
    pub(super) async fn bounded<T>(&self, call: impl Future<Output = std::result::Result<T, tokio_postgres::Error>>) -> Result<T> {
        let left = Left(Some(&self.abandoned));
        let answer = match timeout(self.answer_time, call).await {
            Ok(answer) => answer.map_err(store_error),
            Err(_) => Err(unavailable("the server did not answer in time")),
        };
        left.stayed();
        if answer.is_ok() {
            self.answers.fetch_add(1, Ordering::Relaxed);
        }
        if answer.as_ref().is_err_and(distrusts_connection) {
            self.cutter.cut();
        }
        answer
    }

    pub(super) async fn rows(&self, query: Query, params: &[Param<'_>]) -> Result<Vec<Row>> {
        let running = witness::running(SYSTEM, || query.name);
        running.ended(self.bounded(async { self.client.query(&self.prepared(query).await?, params).await }).await)
    }

    pub(super) async fn row(&self, query: Query, params: &[Param<'_>]) -> Result<Row> {
        let running = witness::running(SYSTEM, || query.name);
        running.ended(self.bounded(async { self.client.query_one(&self.prepared(query).await?, params).await }).await)
    }

    pub(super) async fn row_opt(&self, query: Query, params: &[Param<'_>]) -> Result<Option<Row>> {
        let running = witness::running(SYSTEM, || query.name);
        running.ended(self.bounded(async { self.client.query_opt(&self.prepared(query).await?, params).await }).await)
    }

    /// How many rows it changed.
    pub(super) async fn execute(&self, query: Query, params: &[Param<'_>]) -> Result<u64> {
        let running = witness::running(SYSTEM, || query.name);
        running.ended(self.bounded(async { self.client.execute(&self.prepared(query).await?, params).await }).await)
    }

    /// Two who come first at once prepare it twice, which harms nobody.
    pub(super) async fn prepared(&self, query: Query) -> std::result::Result<Statement, tokio_postgres::Error> {
        let known = self.statements.lock().unwrap_or_else(PoisonError::into_inner).get(query.name).cloned();
        if let Some(statement) = known {
            return Ok(statement);
        }
        let statement = self.client.prepare(query.text).await?;
        self.statements.lock().unwrap_or_else(PoisonError::into_inner).insert(query.name, statement.clone());
        Ok(statement)
    }

    /// What is pipelined afterwards reaches the server in the order in which it is asked for: none of it waits for a statement of its own.
    pub(super) async fn prepare(&self, queries: &[Query]) -> Result<()> {
        for query in queries {
            self.bounded(self.prepared(*query)).await?;
        }
        Ok(())
    }

    /// Statements of a script, which take no parameters.
    pub(super) async fn batch(&self, script: &str) -> Result<()> {
        self.bounded(self.client.batch_execute(script)).await
    }

    /// Everything until [`Tx::commit`] is one transaction; without it, none of it was.
    pub(super) async fn begin(&mut self) -> Result<Tx<'_>> {
        // Before the question is put: a caller that leaves now has a transaction to undo.
        let tx = Tx { connection: self, open: true };
        tx.batch("begin").await?;
        Ok(tx)
    }

    /// Asks the server to stop what it is at, and closes the connection. But for a commit: one that waits for its synchronous standby would end its
    /// wait and stand, with no standby that has it, and whoever looks then takes for made, or for delivered, what a failover loses.
    pub(super) fn interrupt(self) {
        if self.commits.load(Ordering::Acquire) {
            return;
        }
        let (cancel, handshake) = (self.client.cancel_token(), self.handshake.clone());
        drop(self);
        tokio::spawn(async move {
            // It ends by itself at its statement timeout, should this fail.
            drop(timeout(INTERRUPT_TIME, cancel.cancel_query(handshake)).await);
        });
    }

    fn undo(&self) {
        let mut rollback = std::pin::pin!(self.client.batch_execute("rollback"));
        // The first poll sends it; nobody waits for the answer.
        let _ = rollback.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.cutter.driver.abort();
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("usable", &self.is_usable()).finish_non_exhaustive()
    }
}

/// A transaction. Its statements are the connection's.
#[derive(Debug)]
pub(super) struct Tx<'c> {
    connection: &'c mut Connection,
    open: bool,
}

impl Tx<'_> {
    /// An error leaves open whether it was committed, unless the server said that it was not.
    pub(super) async fn commit(mut self) -> Result<()> {
        self.open = false;
        self.connection.commits.store(true, Ordering::Release);
        let running = witness::running(SYSTEM, || "commit");
        let committed = running.ended(self.connection.batch("commit").await);
        if committed.is_err() {
            // Whatever state it is in, it is not to be guessed.
            self.connection.cutter.cut();
        }
        self.connection.commits.store(false, Ordering::Release);
        committed
    }

    pub(super) async fn roll_back(mut self) -> Result<()> {
        self.open = false;
        self.connection.batch("rollback").await
    }
}

impl Deref for Tx<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.connection
    }
}

impl Drop for Tx<'_> {
    /// The caller left, or failed: the server is told before it hears anything else on this connection. What is under way is waited for
    /// by whoever uses the connection next.
    fn drop(&mut self) {
        if self.open && self.connection.is_usable() {
            self.connection.undo();
        }
    }
}

/// Dropped with the future of a caller who left.
struct Left<'a>(Option<&'a AtomicBool>);

impl Left<'_> {
    fn stayed(mut self) {
        self.0 = None;
    }
}

impl Drop for Left<'_> {
    fn drop(&mut self) {
        if let Some(abandoned) = self.0 {
            abandoned.store(true, Ordering::Release);
        }
    }
}

/// A column that must be there, and of this type.
pub(super) fn get<'r, T: FromSql<'r>>(row: &'r Row, column: usize) -> Result<T> {
    row.try_get(column).map_err(|e| StoreError::Internal(Box::new(e)))
}

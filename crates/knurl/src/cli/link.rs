//! `knurl link`: the same rules as the API's, without a server.

use std::{process::ExitCode, sync::Arc};

use clap::{Args, Subcommand};
use knurl_core::{
    Link, LinkId, Page, ShortCode, Target, UserId,
    link::{DEFAULT_DOMAIN, Expected, LinkPatch, NewLink, RedirectStatus, TITLE_CHARS_MAX},
    stats::LinkTotal,
};
use knurl_store::{Conflict, LinkFilter, Reference, Store, StoreError};

use super::{
    args::Global,
    failure::Failure,
    link_stats::{self, StatsArgs},
    now,
    open::{Database, with_store},
    out::{Out, plain},
    shape::LinkShape,
    table::Table,
    when::When,
};
use crate::config::Config;

/// Draws before we believe that there is no free code; each from the third on is one character longer.
const DRAWS_MAX: u32 = 32;

#[derive(Debug, Subcommand)]
pub(super) enum LinkCommand {
    /// Shorten a URL
    Create(CreateArgs),
    /// Show one link
    Show(WhichLink),
    /// List links, oldest first
    List(ListArgs),
    /// Change a link
    Edit(EditArgs),
    /// Stop a link from redirecting; it can be enabled again
    Disable(WhichLink),
    /// Let a disabled link redirect again
    Enable(WhichLink),
    /// Delete a link for good; its short code is never given again, its events are kept
    Delete(WhichLink),
    /// Clicks of a link by day or hour
    Stats(StatsArgs),
}

/// One link.
#[derive(Debug, Args)]
pub(super) struct WhichLink {
    /// The short code, or the whole short URL
    #[arg(required_unless_present = "id", conflicts_with = "id")]
    code: Option<String>,
    /// The link's id instead
    #[arg(long)]
    id: Option<i64>,
}

#[derive(Debug, Args)]
pub(super) struct CreateArgs {
    /// Where the link leads
    url: String,
    /// The short code you want instead of a random one
    #[arg(long)]
    code: Option<String>,
    /// Id of the user who owns the link
    #[arg(long)]
    user: Option<i64>,
    #[arg(long, help = "A title")]
    title: Option<String>,
    /// Redirect with this status: 301, 302, 307 or 308
    #[arg(long, value_parser = status, default_value = "302")]
    status: RedirectStatus,
    /// Answer 410 from then on: an instant (2026-12-31, 2026-12-31T18:00:00Z) or a span (12h, 30d)
    #[arg(long, value_name = "WHEN")]
    expires: Option<When>,
}

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// Only links of this user
    #[arg(long)]
    user: Option<i64>,
    /// Only links that do (true) or do not (false) redirect
    #[arg(long)]
    active: Option<bool>,
    /// Only links whose title contains this
    #[arg(long, value_name = "TEXT")]
    title: Option<String>,
    /// Only links whose target contains this
    #[arg(long, value_name = "TEXT")]
    url: Option<String>,
    /// At most this many
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
    /// Only ids greater than this: the next page
    #[arg(long, default_value_t = 0, value_name = "ID")]
    after: i64,
}

#[derive(Debug, Args)]
pub(super) struct EditArgs {
    #[command(flatten)]
    which: WhichLink,
    /// Lead here from now on
    #[arg(long)]
    url: Option<String>,
    /// The new title; an empty one removes it
    #[arg(long)]
    title: Option<String>,
    /// Redirect with this status: 301, 302, 307 or 308
    #[arg(long, value_parser = status)]
    status: Option<RedirectStatus>,
    /// Answer 410 from then on
    #[arg(long, value_name = "WHEN", conflicts_with = "never_expires")]
    expires: Option<When>,
    /// Remove the expiry
    #[arg(long)]
    never_expires: bool,
}

impl EditArgs {
    fn changes_nothing(&self) -> bool {
        let Self { which: _, url, title, status, expires, never_expires } = self;
        url.is_none() && title.is_none() && status.is_none() && expires.is_none() && !never_expires
    }
}

fn status(text: &str) -> Result<RedirectStatus, &'static str> {
    text.parse().ok().and_then(RedirectStatus::from_u16).ok_or("allowed: 301, 302, 307, 308")
}

pub(super) fn run(global: &Global, out: Out, command: LinkCommand) -> Result<ExitCode, Failure> {
    if matches!(&command, LinkCommand::Edit(args) if args.changes_nothing()) {
        return Err(Failure::usage("nothing to change: name --url, --title, --status, --expires or --never-expires"));
    }
    let database = if matches!(command, LinkCommand::Create(_)) { Database::MayCreate } else { Database::MustExist };
    with_store(global, database, |store, config| async move {
        let desk = Desk { store, config, out };
        match command {
            LinkCommand::Create(args) => desk.create(args).await,
            LinkCommand::Show(which) => desk.show(&desk.find(&which).await?).await,
            LinkCommand::List(args) => desk.list(args).await,
            LinkCommand::Edit(args) => desk.edit(args).await,
            LinkCommand::Disable(which) => desk.change(&which, LinkPatch { is_active: Some(false), ..LinkPatch::default() }).await,
            LinkCommand::Enable(which) => desk.change(&which, LinkPatch { is_active: Some(true), ..LinkPatch::default() }).await,
            LinkCommand::Delete(which) => desk.delete(&which).await,
            LinkCommand::Stats(args) => {
                let link = desk.find(&args.which).await?;
                link_stats::run(desk.store.as_ref(), &desk.config, desk.out, &link, &args).await
            }
        }
    })?;
    Ok(ExitCode::SUCCESS)
}

struct Desk {
    store: Arc<dyn Store>,
    config: Config,
    out: Out,
}

impl Desk {
    async fn create(&self, args: CreateArgs) -> Result<(), Failure> {
        let custom = args.code.as_deref().map(ShortCode::custom).transpose().map_err(|error| Failure::usage(error.to_string()))?;
        let mut new = NewLink {
            domain: DEFAULT_DOMAIN.to_owned(),
            short_code: custom.clone().unwrap_or_else(|| self.draw(0)),
            target: self.target(&args.url)?,
            title: args.title.map(title).transpose()?.flatten(),
            is_active: true,
            status: args.status,
            owner: args.user.map(UserId),
            expires_at: args.expires.map(|when| when.after(now())),
        };
        for attempt in 1..=DRAWS_MAX {
            match self.store.create_link(new.clone(), now()).await {
                Err(StoreError::Conflict(Conflict::ShortCode)) if custom.is_none() => new.short_code = self.draw(attempt),
                Err(StoreError::Conflict(Conflict::ShortCode)) => {
                    return Err(Failure::failed("this short code is taken (deleted links keep theirs)"));
                }
                Err(StoreError::MissingReference(Reference::User)) => return Err(Failure::failed("there is no such user")),
                created => return self.show(&created?).await,
            }
        }
        Err(Failure::failed("no free short code was found; raise links.code_length"))
    }

    fn draw(&self, attempt: u32) -> ShortCode {
        self.config.links.code_shape.draw(&mut rand::rng(), attempt)
    }

    fn target(&self, url: &str) -> Result<Target, Failure> {
        Target::parse(url, &self.config.links.target_rules).map_err(|error| Failure::usage(error.to_string()))
    }

    async fn find(&self, which: &WhichLink) -> Result<Link, Failure> {
        let found = match (which.id, &which.code) {
            (Some(id), _) => self.store.link(LinkId(id)).await?,
            (None, Some(text)) => {
                // People copy the whole thing from their browser.
                let code = text.split_once("://").and_then(|(_, rest)| rest.rsplit('/').next()).unwrap_or(text);
                let code = ShortCode::parse(code).map_err(|error| Failure::usage(error.to_string()))?;
                self.store.link_by_code(DEFAULT_DOMAIN, &code).await?
            }
            (None, None) => None,
        };
        found.ok_or_else(|| Failure::failed("there is no such link"))
    }

    async fn show(&self, link: &Link) -> Result<(), Failure> {
        let total = self.store.link_totals(&[link.id]).await?.remove(&link.id).unwrap_or_default();
        let shape = LinkShape::new(link, &self.config.base_url, total);
        self.out.show(&shape, || page(&shape))
    }

    async fn list(&self, args: ListArgs) -> Result<(), Failure> {
        let filter = LinkFilter {
            owner: args.user.map(UserId),
            is_active: args.active,
            short_code: None,
            title: args.title,
            target: args.url,
        };
        let listed = self.store.list_links(filter, Page::after(args.after, args.limit)).await?;
        let ids: Vec<LinkId> = listed.rows.iter().map(|link| link.id).collect();
        let totals = self.store.link_totals(&ids).await?;
        let total = |id: LinkId| totals.get(&id).copied().unwrap_or_default();
        let shapes: Vec<LinkShape> =
            listed.rows.iter().map(|link| LinkShape::new(link, &self.config.base_url, total(link.id))).collect();
        self.out.show(&shapes, || {
            let mut table = Table::new(self.out, &["#ID", "CODE", "#CLICKS", "STATE", "TARGET", "TITLE"]);
            for link in &shapes {
                let state = if link.is_active { "active" } else { "disabled" };
                let cells = [
                    link.id.to_string(),
                    link.short_code.clone(),
                    link.click_count.to_string(),
                    state.into(),
                    link.original_url.clone(),
                    link.title.clone().unwrap_or_default(),
                ];
                table.row(&cells);
            }
            let more =
                shapes.last().filter(|_| shapes.len() == args.limit as usize).map(|last| format!("\nmore: --after {}", last.id));
            format!("{}{}", table.text(), more.unwrap_or_default())
        })
    }

    async fn edit(&self, args: EditArgs) -> Result<(), Failure> {
        let expires_at = if args.never_expires { Some(None) } else { args.expires.map(|when| Some(when.after(now()))) };
        let patch = LinkPatch {
            expected: Expected::Any,
            target: args.url.as_deref().map(|url| self.target(url)).transpose()?,
            title: args.title.map(title).transpose()?,
            is_active: None,
            status: args.status,
            expires_at,
        };
        self.change(&args.which, patch).await
    }

    async fn change(&self, which: &WhichLink, patch: LinkPatch) -> Result<(), Failure> {
        let id = self.find(which).await?.id;
        let changed = self.store.update_link(id, patch, now()).await?;
        self.show(&changed.ok_or_else(|| Failure::failed("the link was deleted meanwhile"))?).await
    }

    async fn delete(&self, which: &WhichLink) -> Result<(), Failure> {
        let id = self.find(which).await?.id;
        let gone = self.store.delete_link(id, Expected::Any, "deleted from the command line", now()).await?;
        let gone = gone.ok_or_else(|| Failure::failed("the link was deleted meanwhile"))?;
        let shape = LinkShape::new(&gone, &self.config.base_url, LinkTotal::default());
        let deleted = serde_json::json!({ "deleted": { "id": shape.id, "short_code": shape.short_code } });
        self.out.show(&deleted, || format!("deleted {} (it led to {})", shape.short_url, plain(&shape.original_url)))
    }
}

/// Empty removes it.
fn title(text: String) -> Result<Option<String>, Failure> {
    if text.chars().nth(TITLE_CHARS_MAX).is_some() {
        return Err(Failure::usage(format!("a title has at most {TITLE_CHARS_MAX} characters")));
    }
    Ok((!text.is_empty()).then_some(text))
}

fn page(link: &LinkShape) -> String {
    let mut lines = vec![link.short_url.clone(), format!("  leads to   {}", plain(&link.original_url))];
    if let Some(title) = &link.title {
        lines.push(format!("  title      {}", plain(title)));
    }
    lines.push(format!("  state      {}", if link.is_active { "active" } else { "disabled" }));
    lines.push(format!("  status     {}", link.redirect_status));
    if let Some(at) = &link.expires_at {
        lines.push(format!("  expires    {at}"));
    }
    if let Some(owner) = link.user_id {
        lines.push(format!("  user       {owner}"));
    }
    lines.push(format!("  clicks     {}", link.click_count));
    lines.push(format!("  id         {}", link.id));
    lines.push(format!("  created    {}", link.created_at));
    lines.join("\n")
}

//! `knurl user`.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use knurl_core::{
    Page, UserId,
    user::{Email, UserError, Username},
};
use knurl_store::{Conflict, Store, StoreError};

use super::{
    args::Global,
    failure::Failure,
    now,
    open::{Database, with_store},
    out::{Out, plain},
    shape::UserShape,
    table::Table,
};

#[derive(Debug, Subcommand)]
pub(super) enum UserCommand {
    /// Create a user
    Create { username: String, email: String },
    /// Show one user
    Show { id: i64 },
    /// List users, oldest first
    List(ListArgs),
    /// Change a user's name or e-mail address
    Edit {
        id: i64,
        #[arg(long)]
        username: Option<String>,
        #[arg(long)]
        email: Option<String>,
    },
    /// Delete a user and all links of the user
    Delete { id: i64 },
}

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// At most this many
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
    /// Only ids greater than this: the next page
    #[arg(long, default_value_t = 0, value_name = "ID")]
    after: i64,
}

pub(super) fn run(global: &Global, out: Out, command: UserCommand) -> Result<ExitCode, Failure> {
    if matches!(command, UserCommand::Edit { username: None, email: None, .. }) {
        return Err(Failure::usage("nothing to change: name --username or --email"));
    }
    let database = if matches!(command, UserCommand::Create { .. }) { Database::MayCreate } else { Database::MustExist };
    with_store(global, database, |store, _| async move {
        let store = store.as_ref();
        match command {
            UserCommand::Create { username, email } => {
                let created = store.create_user(name(&username)?, address(&email)?, now()).await;
                show(out, &UserShape::from(&created.map_err(conflict)?))
            }
            UserCommand::Show { id } => show(out, &UserShape::from(&store.user(UserId(id)).await?.ok_or_else(no_such_user)?)),
            UserCommand::List(args) => list(store, out, &args).await,
            UserCommand::Edit { id, username, email } => {
                let (username, email) = (username.as_deref().map(name).transpose()?, email.as_deref().map(address).transpose()?);
                let changed = store.update_user(UserId(id), username, email).await.map_err(conflict)?;
                show(out, &UserShape::from(&changed.ok_or_else(no_such_user)?))
            }
            UserCommand::Delete { id } => delete(store, out, id).await,
        }
    })?;
    Ok(ExitCode::SUCCESS)
}

async fn list(store: &dyn Store, out: Out, args: &ListArgs) -> Result<(), Failure> {
    let listed = store.list_users(Page::after(args.after, args.limit)).await?;
    let shapes: Vec<UserShape> = listed.rows.iter().map(UserShape::from).collect();
    out.show(&shapes, || {
        let mut table = Table::new(out, &["#ID", "USERNAME", "EMAIL", "CREATED"]);
        shapes
            .iter()
            .for_each(|user| table.row(&[user.id.to_string(), user.username.clone(), user.email.clone(), user.created_at.clone()]));
        let more = shapes.last().filter(|_| shapes.len() == args.limit as usize).map(|last| format!("\nmore: --after {}", last.id));
        format!("{}{}", table.text(), more.unwrap_or_default())
    })
}

async fn delete(store: &dyn Store, out: Out, id: i64) -> Result<(), Failure> {
    let codes = store.delete_user(UserId(id), now()).await?.ok_or_else(no_such_user)?;
    let deleted = serde_json::json!({ "deleted": { "id": id, "links": codes.len() } });
    out.show(&deleted, || format!("deleted user {id} and {} links", codes.len()))
}

fn show(out: Out, user: &UserShape) -> Result<(), Failure> {
    out.show(user, || {
        let (username, email) = (plain(&user.username), plain(&user.email));
        format!("{username}\n  e-mail     {email}\n  id         {}\n  created    {}", user.id, user.created_at)
    })
}

fn name(text: &str) -> Result<Username, Failure> {
    Username::parse(text).map_err(wrong)
}

fn address(text: &str) -> Result<Email, Failure> {
    Email::parse(text).map_err(wrong)
}

#[allow(clippy::needless_pass_by_value, reason = "the shape map_err asks for")]
fn wrong(error: UserError) -> Failure {
    Failure::usage(error.to_string())
}

fn conflict(error: StoreError) -> Failure {
    match error {
        StoreError::Conflict(Conflict::Username) => Failure::failed("another user has this name"),
        StoreError::Conflict(Conflict::Email) => Failure::failed("another user has this e-mail address"),
        other => other.into(),
    }
}

fn no_such_user() -> Failure {
    Failure::failed("there is no such user")
}

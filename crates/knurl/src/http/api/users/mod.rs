//! Users: who owns links.

pub(super) mod bulk;

use std::sync::Arc;

use axum::{body::Body, extract::State};
use http::Response;
use knurl_core::{
    User,
    page::Listed,
    user::{Email, Username},
};
use serde::Serialize;

use super::{body::JsonBody, fields::Fields, form::Form, now, paging::Paging, path_id::PathId, query::Query, reply, whole::whole};
use crate::http::{
    HttpState,
    error::{Code, Error},
};

const NAMES: &[&str; 2] = &["username", "email"];
const USERNAME: usize = 0;
const EMAIL: usize = 1;

const ROW_BYTES_TYPICAL: usize = 128;

#[derive(Serialize)]
struct UserOut<'a> {
    id: i64,
    username: &'a str,
    email: &'a str,
    created_at: String,
}

impl<'a> UserOut<'a> {
    fn of(user: &'a User, form: Form) -> Self {
        Self { id: user.id.0, username: &user.username, email: &user.email, created_at: form.time(user.created_at) }
    }
}

fn not_found() -> Error {
    Error::new(Code::UserNotFound)
}

pub(super) async fn list(State(state): State<Arc<HttpState>>, form: Form, query: Query) -> Result<Response<Body>, Error> {
    let mut asked = query.parameters();
    let paging = Paging::of(&mut asked);
    asked.finish()?;
    let Listed { rows, total } = state.store.list_users(paging.page()).await?;
    let (count, last) = (rows.len(), rows.last().map(|user| user.id.0));
    let encode = move || reply::ok(&rows.iter().map(|user| UserOut::of(user, form)).collect::<Vec<_>>());
    let mut response = reply::encoded(count * ROW_BYTES_TYPICAL, encode).await?;
    paging.annotate(&mut response, &query, total, count, last);
    Ok(response)
}

pub(super) async fn show(State(state): State<Arc<HttpState>>, id: PathId, form: Form) -> Result<Response<Body>, Error> {
    let user = state.store.user(id.user()?).await?.ok_or_else(not_found)?;
    reply::ok(&UserOut::of(&user, form))
}

pub(super) async fn create(State(state): State<Arc<HttpState>>, form: Form, body: JsonBody) -> Result<Response<Body>, Error> {
    let mut fields = Fields::parse(&body.0, NAMES)?;
    let (username, email) = (fields.required_string(USERNAME), fields.required_string(EMAIL));
    let username = username.and_then(|text| parse_username(&mut fields, &text));
    let email = email.and_then(|text| parse_email(&mut fields, &text));
    fields.finish()?;
    let (Some(username), Some(email)) = (username, email) else { return Err(Error::internal("a user without a name passed")) };
    let user = whole(async move { Ok(state.store.create_user(username, email, now()).await?) }).await?;
    reply::created(&UserOut::of(&user, form)).map(|response| reply::located(response, form, "users", user.id.0))
}

pub(super) async fn update(
    State(state): State<Arc<HttpState>>,
    id: PathId,
    form: Form,
    body: JsonBody,
) -> Result<Response<Body>, Error> {
    let mut fields = Fields::parse(&body.0, NAMES)?;
    if !fields.any() {
        return Err(Error::new(Code::NoKnownField));
    }
    let (username, email) = (fields.string_not_null(USERNAME), fields.string_not_null(EMAIL));
    let username = username.and_then(|text| parse_username(&mut fields, &text));
    let email = email.and_then(|text| parse_email(&mut fields, &text));
    fields.finish()?;
    let id = id.user()?;
    let user = whole(async move { state.store.update_user(id, username, email).await?.ok_or_else(not_found) }).await?;
    reply::ok(&UserOut::of(&user, form))
}

/// The user's links go with the user; their codes stop redirecting before this is acknowledged.
pub(super) async fn delete(State(state): State<Arc<HttpState>>, id: PathId) -> Result<Response<Body>, Error> {
    let id = id.user()?;
    whole(async move {
        let deleted = state.store.delete_user(id, now()).await;
        let codes = deleted.inspect_err(|error| state.resolver.unsure(error))?.ok_or_else(not_found)?;
        for code in &codes {
            state.resolver.changed(code.as_str(), None);
        }
        Ok(())
    })
    .await?;
    Ok(reply::no_content())
}

fn parse_username(fields: &mut Fields<'_, 2>, text: &str) -> Option<Username> {
    Username::parse(text).map_err(|error| fields.fail(USERNAME, "invalid_username", format!("{error}."))).ok()
}

fn parse_email(fields: &mut Fields<'_, 2>, text: &str) -> Option<Email> {
    Email::parse(text).map_err(|error| fields.fail(EMAIL, "invalid_email", format!("{error}."))).ok()
}

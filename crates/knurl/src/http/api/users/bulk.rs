//! `POST /users/bulk`: a users file, as a multipart field `file` or as the body itself, imported as its bytes arrive.

use std::sync::Arc;

use axum::{body::Body, extract::State};
use http::{HeaderMap, Request, Response, header};
use knurl_store::ImportMode;
use serde::Serialize;

use super::super::{
    body::accept_plain,
    multipart::{self, MultipartError},
    reply,
    upload::{self, Cut},
};
use crate::{
    http::{
        HttpState,
        error::{Code, Error},
    },
    transfer::{self, Fate, ImportError, Report},
};

const FIELD: &str = "file";

#[derive(Serialize)]
struct Answer<'a> {
    /// Rows of the file that are in the store now: inserted by this request, or there already.
    count: u64,
    /// Of those, inserted by this request.
    imported: u64,
    skipped: Vec<Remark<'a>>,
    /// Taken, and odd.
    notes: Vec<Remark<'a>>,
}

#[derive(Serialize)]
struct Remark<'a> {
    field: &'a str,
    reason: &'a str,
    count: u64,
    /// The first lines it was found on.
    lines: &'a [u64],
}

pub(in crate::http::api) async fn import(
    State(state): State<Arc<HttpState>>,
    request: Request<Body>,
) -> Result<Response<Body>, Error> {
    accept_plain(request.headers())?;
    let boundary = boundary(request.headers())?;
    let http = &state.config.http;
    let (pieces, ending) = upload::pieces(request.into_body(), http.bulk_body_bytes_max, http.request_timeout);
    let report = match boundary {
        None => transfer::users(&state.store, pieces, ImportMode::Commit).await,
        Some(boundary) => {
            let field = multipart::field(pieces, &boundary, FIELD).await.map_err(|error| no_field(error, ending.cut()))?;
            transfer::users(&state.store, field, ImportMode::Commit).await
        }
    };
    let report = report.map_err(|error| match error {
        ImportError::Input(source) => failed(source, ending.cut()),
        // Both sentences are the importer's own and speak of columns and kinds only.
        ImportError::Header(_) | ImportError::OtherKind { .. } => Error::new(Code::InvalidFile).with_detail(format!("{error}.")),
        ImportError::Store(error) => error.into(),
    })?;
    reply::created(&Answer {
        count: report.inserted + report.already_there + report.kept,
        imported: report.inserted,
        skipped: remarks(&report, |fate| fate != Fate::Taken),
        notes: remarks(&report, |fate| fate == Fate::Taken),
    })
}

fn remarks(report: &Report, told: fn(Fate) -> bool) -> Vec<Remark<'_>> {
    let reasons = report.reasons.iter().filter(|reason| told(reason.fate));
    reasons
        .map(|reason| Remark { field: reason.field, reason: reason.reason, count: reason.count, lines: &reason.first_lines })
        .collect()
}

/// Why the bytes could not be read: by a bound of ours, or because they are not what they claim to be.
fn failed(source: impl Into<Box<dyn std::error::Error + Send + Sync>>, cut: Option<Cut>) -> Error {
    let error = match cut {
        Some(Cut::TooLarge(bytes_max)) => {
            Error::new(Code::BodyTooLarge).with_detail(format!("The file is larger than {bytes_max} bytes."))
        }
        Some(Cut::TooSlow) => Error::new(Code::BodyTimeout),
        Some(Cut::Broken) => Error::new(Code::BadRequest).with_detail("The body broke off."),
        None => Error::new(Code::InvalidFile),
    };
    error.caused_by(source)
}

/// Its sentences are our own and speak of the form only.
fn no_field(error: MultipartError, cut: Option<Cut>) -> Error {
    let sentence = format!("{error}.");
    match failed(error, cut) {
        invalid if invalid.code() == Code::InvalidFile => invalid.with_detail(sentence),
        cut => cut,
    }
}

/// `None` where the body is the file itself.
fn boundary(headers: &HeaderMap) -> Result<Option<String>, Error> {
    let unsupported = || {
        Error::new(Code::UnsupportedMediaType)
            .with_detail("Send the file as multipart/form-data with the field 'file', or as the body with Content-Type: text/csv.")
    };
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return Ok(None) };
    let text = value.to_str().map_err(|_| unsupported())?;
    let kind = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match kind.as_str() {
        "text/csv" | "application/csv" | "text/plain" | "application/octet-stream" => Ok(None),
        "multipart/form-data" => multipart::boundary(text)
            .map(Some)
            .ok_or_else(|| Error::new(Code::InvalidFile).with_detail("The multipart boundary is missing or wrong.")),
        _ => Err(unsupported()),
    }
}

//! A file (or standard input) as a stream of pieces, its kind found out beforehand.

use std::{
    io::Read,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use futures_util::Stream;

use super::{Kind, Parser, splitter::RECORD_BYTES_MAX};

const PIECE_BYTES: usize = 256 * 1024;
/// Pieces read ahead of the importer.
const PIECES_AHEAD_MAX: usize = 4;

#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    #[error("cannot read {}: {error}", path.display())]
    Unreadable { path: PathBuf, error: std::io::Error },
    #[error("{}: {reason}", path.display())]
    NotOurs { path: PathBuf, reason: String },
}

/// An input whose first bytes have been looked at.
pub struct Source {
    pub path: PathBuf,
    pub kind: Kind,
    /// `None` for what is no regular file.
    pub bytes: Option<u64>,
    head: Vec<u8>,
    rest: Box<dyn Read + Send>,
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Source")
            .field("path", &self.path)
            .field("kind", &self.kind)
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}

impl Source {
    /// `-` is standard input. Reads no further than the header needs.
    pub fn open(path: &Path) -> Result<Self, SourceError> {
        let unreadable = |error| SourceError::Unreadable { path: path.to_owned(), error };
        if path == Path::new("-") {
            return Self::look(path, None, Box::new(std::io::stdin()));
        }
        let file = std::fs::File::open(path).map_err(unreadable)?;
        let meta = file.metadata().map_err(unreadable)?;
        if meta.is_dir() {
            return Err(SourceError::NotOurs { path: path.to_owned(), reason: "it is a directory".into() });
        }
        Self::look(path, meta.is_file().then_some(meta.len()), Box::new(file))
    }

    fn look(path: &Path, bytes: Option<u64>, mut rest: Box<dyn Read + Send>) -> Result<Self, SourceError> {
        let mut head = Vec::new();
        let kind = loop {
            let not_ours = |reason: String| SourceError::NotOurs { path: path.to_owned(), reason };
            let seen = head.len();
            let taken = rest.by_ref().take(PIECE_BYTES as u64).read_to_end(&mut head);
            let taken = taken.map_err(|error| SourceError::Unreadable { path: path.to_owned(), error })?;
            let mut parser = Parser::default();
            let fed = parser.feed(&head, &mut |_, _, _| ());
            let fed = if taken == 0 { fed.and_then(|()| parser.finish(&mut |_, _, _| ())) } else { fed };
            fed.map_err(|error| not_ours(error.to_string()))?;
            if let Some(kind) = parser.kind() {
                break kind;
            }
            if seen > RECORD_BYTES_MAX {
                return Err(not_ours("its header has no end".into()));
            }
        };
        Ok(Self { path: path.to_owned(), kind, bytes, head, rest })
    }

    /// Read by a thread of its own, a few pieces ahead.
    pub fn stream(self) -> impl Stream<Item = std::io::Result<Bytes>> + Send + Unpin {
        let (send, receive) = tokio::sync::mpsc::channel(PIECES_AHEAD_MAX);
        let (head, mut rest) = (self.head, self.rest);
        tokio::task::spawn_blocking(move || {
            let mut piece = Ok(Bytes::from(head));
            loop {
                let is_last = piece.is_err();
                // Nobody listens any more: the import has failed and said so.
                if send.blocking_send(piece).is_err() || is_last {
                    return;
                }
                let mut bytes = vec![0; PIECE_BYTES];
                piece = match rest.read(&mut bytes) {
                    Ok(0) => return,
                    Ok(taken) => {
                        bytes.truncate(taken);
                        Ok(Bytes::from(bytes))
                    }
                    Err(error) if error.kind() == std::io::ErrorKind::Interrupted => Ok(Bytes::new()),
                    Err(error) => Err(error),
                };
            }
        });
        Box::pin(futures_util::stream::unfold(receive, |mut receive| async { receive.recv().await.map(|piece| (piece, receive)) }))
    }
}

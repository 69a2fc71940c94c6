//! Every statement, one `.sql` file each, named as SQLite's: `diff -ru` of the two `queries/` is the review of the dialects.

/// A statement and its name: the file's stem.
#[derive(Clone, Copy, Debug)]
pub(super) struct Query {
    pub(super) name: &'static str,
    pub(super) text: &'static str,
}

macro_rules! queries {
    ($all:ident: $($name:ident = $stem:literal;)*) => {
        $(pub(super) const $name: Query = Query { name: $stem, text: include_str!(concat!("queries/", $stem, ".sql")) };)*

        #[cfg(test)]
        pub(super) const $all: &[Query] = &[$($name),*];
    };
}

queries! { OF_COHERENCE:
    FOREIGN_CHANGES = "foreign_changes";
    PING = "ping";
}

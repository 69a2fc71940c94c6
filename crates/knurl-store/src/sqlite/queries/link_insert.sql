-- ?1 domain, ?2 short_code, ?3 target, ?4 title, ?5 is_active, ?6 status, ?7 owner, ?8 expires_at, ?9 now
-- Not `insert … select … where exists (owner)`: that form makes SQLite keep a journal of its own for each statement.
insert into links (domain, short_code, target, title, is_active, status, owner, expires_at, created_at, updated_at, version)
values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?9, 1)

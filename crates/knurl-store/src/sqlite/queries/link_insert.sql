-- ? domain, ? short_code, ? target, ? title, ? is_active, ? status, ? owner, ? expires_at, ? now, ? now again: a row's, see rows.rs
-- Not `insert … select … where exists (owner)`: that form makes SQLite keep a journal of its own for each statement.
insert or fail into links (
  domain, short_code, target, title, is_active, status, owner, expires_at, created_at, updated_at, version
)
values
  (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1)

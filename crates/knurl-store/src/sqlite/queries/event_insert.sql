-- ? link, ? user, ? type, ? at, ? details, ? source (null: no click, 0: spool, 1: import or client): a row's, see rows.rs
insert or fail into events (link_id, user_id, event_type, at, details, source)
values
  (?, ?, ?, ?, ?, ?)

-- How far each spool has been delivered; changes in the transaction that writes its clicks.
create table cursors (
  spool_id blob primary key,
  segment integer not null,
  offset integer not null,
  seq integer not null
) strict, without rowid;

-- Roll-ups. Link 0 stands for all links together. `visitors` is the sketch's estimate, kept beside it for reading.
create table link_hours (
  link_id integer not null,
  hour integer not null,
  total integer not null,
  human integer not null,
  visitors integer not null,
  sketch blob,
  primary key (link_id, hour)
) strict, without rowid;

create table link_days (
  link_id integer not null,
  day integer not null,
  total integer not null,
  human integer not null,
  visitors integer not null,
  sketch blob,
  primary key (link_id, day)
) strict, without rowid;

create index link_days_by_day on link_days (day, link_id, total);

create table link_totals (
  link_id integer primary key,
  total integer not null,
  human integer not null,
  last_click_at integer not null
) strict;

-- `dimension`: 0 referrer, 1 agent class, 2 browser, 3 operating system.
create table link_shares (
  link_id integer not null,
  dimension integer not null,
  day integer not null,
  value text not null,
  total integer not null,
  primary key (link_id, dimension, day, value)
) strict, without rowid;

create table visitor_salts (
  day integer primary key,
  salt blob not null
) strict;

insert into counters (name, value)
values
  ('clicks_purged', 0),
  ('clicks_undecodable', 0),
  ('clicks_external', 0);

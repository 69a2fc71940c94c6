-- Who owns links. `*_key` is the folded form uniqueness is judged by; `*_twin` is 0, or the row's own id where an import brought
-- a name that is another's already: such a row is kept, and the key stays taken for everybody created afterwards.
create table users (
  id integer primary key autoincrement,
  username text not null,
  email text not null,
  username_key text not null,
  username_twin integer not null default 0,
  email_key text not null,
  email_twin integer not null default 0,
  created_at integer not null
) strict;

create unique index users_by_username on users (username_key, username_twin);

create unique index users_by_email on users (email_key, email_twin);

-- Deleted links stay, so that their codes are never given twice. `twin` as above.
create table links (
  id integer primary key autoincrement,
  domain text not null default '',
  short_code text not null,
  twin integer not null default 0,
  target text not null,
  title text,
  is_active integer not null,
  status integer not null,
  owner integer,
  expires_at integer,
  created_at integer not null,
  updated_at integer not null,
  deleted_at integer,
  version integer not null
) strict;

create unique index links_by_code on links (domain, short_code, twin);

create index links_by_owner on links (owner) where deleted_at is null and owner is not null;

-- What happened to links. No foreign keys: events outlive their links and users. `source` is null where the event is no click,
-- 0 where it came from a spool, 1 where it came from an import or a client.
create table events (
  id integer primary key autoincrement,
  link_id integer not null,
  user_id integer,
  event_type text not null,
  at integer not null,
  details text,
  source integer
) strict;

create index events_by_link on events (link_id);

create index events_by_user on events (user_id) where user_id is not null;

create index events_by_type on events (event_type);

create index events_clicks_by_time on events (at, source) where source is not null;

create table keys (
  id integer primary key autoincrement,
  name text not null,
  hash blob not null unique,
  created_at integer not null,
  revoked_at integer
) strict;

-- Running totals, so that no list has to count a whole table.
create table counters (
  name text primary key,
  value integer not null
) strict, without rowid;

insert into counters (name, value)
values
  ('users', 0),
  ('links', 0),
  ('events', 0),
  ('pings', 0);

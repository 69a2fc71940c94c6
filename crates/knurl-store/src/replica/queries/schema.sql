-- A node's own copy of the link table: what a redirect needs of each link, and how far the copy has come.

create table links (
  id integer primary key,
  domain text not null,
  short_code text not null,
  twin integer not null,
  -- 0 a link, 1 deleted (its code stays taken), 2 a link that only the database can answer for
  state integer not null,
  target text not null,
  is_active integer not null,
  status integer not null,
  owner integer,
  expires_at integer,
  version integer not null,
  check_sum integer not null
) strict;

create unique index links_by_code on links (domain, short_code, twin);

create table progress (
  one integer primary key check (one = 1),
  state text not null,
  check_sum integer not null
) strict;

-- Clicks, their roll-ups and how far each spool has been delivered. Ready to be distributed by `link_id` (Citus): it is part of every
-- primary key, nothing refers to another table, and no sequence is asked per click. Advisory locks: (1802400364, 6) the roll-ups of all
-- links together, (1802400364, 7) a month being made, (1802400364, 8) old clicks being removed.

-- How far each spool has been delivered; changes in the transaction that writes its clicks.
create table cursors (
  spool_id bytea primary key,
  segment bigint not null,
  "offset" bigint not null,
  seq bigint not null
) with (fillfactor = 50);

-- Raw click events, a partition for each month. `source`: 0 from a spool, 1 from an import or a client. Ids as in `events`.
create table clicks (
  id bigint not null,
  link_id bigint not null,
  user_id bigint,
  at bigint not null,
  source smallint not null,
  details text,
  primary key (link_id, id, at)
) partition by range (at);

-- Months without a partition of their own: long ago, or a clock that is wrong.
create table clicks_default partition of clicks default;

create index clicks_by_id on clicks (id);

create index clicks_by_user on clicks (user_id, id) where user_id is not null;

create index clicks_by_time on clicks (at);

create index clicks_external on clicks (at) where source = 1;

-- Months on their way out: retention moves a month here, counts it at leisure and drops it, while `clicks` is in use.
create table clicks_gone (
  id bigint not null,
  link_id bigint not null,
  user_id bigint,
  at bigint not null,
  source smallint not null,
  details text
) partition by range (at);

-- Rows that come are counted by those who write them (`knurl_count('clicks', …)`: a trigger would copy each batch once more), and so are
-- those that go with a partition; rows that are deleted count themselves.
create trigger clicks_went after delete on clicks referencing old table as went for each statement execute function knurl_rows_went('clicks');

create trigger clicks_emptied after truncate on clicks for each statement execute function knurl_rows_emptied('clicks');

-- Roll-ups. Link 0 stands for all links together. `visitors` is the sketch's estimate, kept beside it for reading. Room in the pages,
-- because rows are changed far more often than they are added.
create table link_hours (
  link_id bigint not null,
  hour bigint not null,
  total bigint not null,
  human bigint not null,
  visitors bigint not null,
  sketch bytea,
  primary key (link_id, hour)
) with (fillfactor = 70);

-- `agents` is clicks by dimension and value, but for referrers: {"browser": {"firefox": 3}}.
create table link_days (
  link_id bigint not null,
  day bigint not null,
  total bigint not null,
  human bigint not null,
  visitors bigint not null,
  sketch bytea,
  agents jsonb not null,
  primary key (link_id, day)
) with (fillfactor = 70);

-- Sketches do not get smaller by compression.
alter table link_hours alter column sketch set storage external;

alter table link_days alter column sketch set storage external;

-- Without the total, unlike SQLite's: an indexed column that changes with every batch would cost each its index entry.
create index link_days_by_day on link_days (day, link_id);

create table link_totals (
  link_id bigint primary key,
  total bigint not null,
  human bigint not null,
  last_click_at bigint not null
) with (fillfactor = 70);

create table link_referrers (
  link_id bigint not null,
  day bigint not null,
  host text collate "C" not null,
  total bigint not null,
  primary key (link_id, day, host)
) with (fillfactor = 70);

create table visitor_salts (
  day bigint primary key,
  salt bytea not null
);

create function knurl_forget_roll_ups() returns void language plpgsql as $$
begin
  delete from link_hours;
  delete from link_days;
  delete from link_totals;
  delete from link_referrers;
end
$$;

-- Clicks are events to everybody who looks from outside: whoever empties `events` means them too. Knurl removes no row from it.
create function knurl_events_removed() returns trigger language plpgsql as $$
begin
  if tg_op = 'TRUNCATE' then
    delete from counters where name = 'events';
  elsif not exists (select 1 from went) then
    return null;
  else
    perform knurl_count('events', -(select count(*) from went));
  end if;
  if not exists (select 1 from events) and exists (select 1 from clicks) then
    truncate clicks;
  end if;
  return null;
end
$$;

create trigger events_went after delete on events referencing old table as went for each statement execute function knurl_events_removed();

create trigger events_emptied after truncate on events for each statement execute function knurl_events_removed();

-- Totals that somebody has thrown away are counted anew at once. Knurl itself removes single names only.
create function knurl_recount() returns trigger language plpgsql as $$
begin
  if exists (select 1 from counters) then
    return null;
  end if;
  perform knurl_count('users', (select count(*) from users) - knurl_total('users'));
  perform knurl_count('links', (select count(*) from links where deleted_at is null) - knurl_total('links'));
  perform knurl_count('events', (select count(*) from events) - knurl_total('events'));
  perform knurl_count('clicks', (select count(*) from clicks) - knurl_total('clicks'));
  perform knurl_note_edit();
  return null;
end
$$;

create trigger counters_went after delete or truncate on counters for each statement execute function knurl_recount();

-- Knurl itself deletes rows in two places only (a user, a purged click), but it shares its database with whoever opens it: an operator,
-- a test suite that empties the tables between its cases. Totals follow their deletes too, in their own transaction.
create trigger users_deleted after delete on users
begin
  update counters set value = value - 1 where name = 'users';
end;

create trigger links_deleted after delete on links when old.deleted_at is null
begin
  update counters set value = value - 1 where name = 'links';
end;

create trigger events_deleted after delete on events
begin
  update counters set value = value - 1 where name = 'events';
end;

-- Links are only marked as deleted, so no row is left only where somebody has emptied the table; the roll-ups of the links that were there
-- must not become those of the next links, whose ids may begin at 1 again.
create trigger links_emptied after delete on links when not exists (select 1 from links)
begin
  delete from link_hours;
  delete from link_days;
  delete from link_totals;
  delete from link_shares;
end;

-- Somebody else has emptied the table of links, and ids may begin at 1 again: what the links that were there have left is no other's. Their
-- roll-ups go, as they did, and so does what is remembered of their creates (none of them could be answered again); of clicks that are still in a spool it is known from now on that they are older than every link there is.
-- `julianday`, and not `unixepoch`: whoever empties the table may come with an older SQLite than ours.
drop trigger links_emptied;

create trigger links_emptied after delete on links when not exists (select 1 from links)
begin
  delete from link_hours;
  delete from link_days;
  delete from link_totals;
  delete from link_shares;
  delete from onces;
  insert into counters (name, value)
  values ('links_emptied_at', cast(round((julianday('now') - 2440587.5) * 86400000) as integer))
  on conflict (name) do update
  set value = excluded.value;
end;

insert into counters (name, value)
values ('clicks_unlinked', 0);

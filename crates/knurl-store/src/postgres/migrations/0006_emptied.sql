-- Somebody else has emptied the table of links, and ids may begin at 1 again: what the links that were there have left is no other's. Their
-- roll-ups go, as they did, and so does what is remembered of their creates (none of them could be answered again); of clicks that are still in a spool it is known from now on that they are older than every link there is.
create function knurl_links_emptied() returns void language plpgsql as $$
begin
  perform knurl_forget_roll_ups();
  delete from onces;
  perform knurl_count('links_emptied_at', (extract(epoch from clock_timestamp()) * 1000)::bigint - knurl_total('links_emptied_at'));
end
$$;

create or replace function knurl_links_removed() returns trigger language plpgsql as $$
begin
  if tg_op = 'TRUNCATE' then
    delete from counters where name = 'links';
  elsif not exists (select 1 from went) then
    return null;
  else
    perform knurl_count('links', -(select count(*) from went where deleted_at is null));
  end if;
  perform knurl_count('links_removed', 1);
  perform knurl_note_edit();
  perform pg_notify('knurl_links', '');
  if not exists (select 1 from links) then
    perform knurl_links_emptied();
  end if;
  return null;
end
$$;

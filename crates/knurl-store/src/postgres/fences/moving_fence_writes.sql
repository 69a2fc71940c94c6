-- Nothing is written any more, by whatever program. Salts may be: they are no answer that anybody was given.
do $$
declare
  fenced text;
begin
  foreach fenced in array array['users', 'links', 'events', 'clicks', 'keys', 'onces', 'deleted_users', 'audit_acceptances']
  loop
    -- Asked for, and not dropped and made again: that would lock out readers too.
    if not exists (select 1 from pg_trigger where tgname = 'moving_fence' and tgrelid = fenced::regclass) then
      execute format(
        'create trigger moving_fence before insert or update or delete or truncate on %I '
        'for each statement execute function knurl_moving_refuse()',
        fenced
      );
    end if;
  end loop;
end
$$;

-- Nothing is written any more, by whatever program. Salts may be: they are no answer that anybody was given.
do $$
declare
  fenced text;
begin
  foreach fenced in array array['users', 'links', 'events', 'clicks', 'keys', 'onces']
  loop
    execute format('drop trigger if exists moving_fence on %I', fenced);
    execute format(
      'create trigger moving_fence before insert or update or delete or truncate on %I '
      'for each statement execute function knurl_moving_refuse()',
      fenced
    );
  end loop;
end
$$;
